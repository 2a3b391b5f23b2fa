/**
 * Views, from the map of dimensions that each makes: PyTorch's propagation, with its refusals. A dimension that is passed on
 * keeps its cut; of dimensions that are merged the first keeps a Shard and the others become StridedShards; a dimension that is
 * taken apart must be cut into its first part (a StridedShard: into the part that its split factor names).
 */
import {
  isShardLike,
  type Placement,
  type Placements,
  Shard,
  ShardPlacement,
  StridedShard,
  StridedShardPlacement,
} from '../placements.js';
import type { MeshRule, RuleCall, RuleTable } from './rule.js';
import { cannot, R } from './shared.js';

/** Where a dimension of the result comes from. */
export type Source =
  | { readonly kind: 'one' }
  | { readonly kind: 'dim'; readonly dim: number }
  | { readonly kind: 'merged'; readonly dims: readonly number[] }
  | { readonly kind: 'part'; readonly of: Source; readonly group: readonly number[]; readonly index: number }
  | { readonly kind: 'repeated'; readonly of: Source };

const one: Source = { kind: 'one' };
const fromDim = (dim: number): Source => ({ kind: 'dim', dim });

function merge(dims: readonly number[]): Source {
  if (dims.length === 0) return one;
  return dims.length === 1 ? fromDim(dims[0]!) : { kind: 'merged', dims };
}

function part(of: Source, group: readonly number[], index: number): Source {
  if (group.length === 1) return of;
  if (group[index] === 1) return one;
  const kept = group.map((_, i) => i).filter((i) => group[i] !== 1);
  return { kind: 'part', of, group: kept.map((i) => group[i]!), index: kept.indexOf(index) };
}

const numel = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Groups of dimensions of `from` and `to` that hold the same elements, smallest first. */
export function viewSources(from: readonly number[], to: readonly number[]): Source[] {
  // Without elements the groups have no bounds: what is the same from the front is passed on.
  if (numel(from) === 0)
    return to.map((_, d) => (to.slice(0, d + 1).every((n, k) => n === from[k]) ? fromDim(d) : one));
  const out: Source[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    let dims: number[] = [];
    let group: number[] = [];
    let [f, t] = [1, 1];
    if (i < from.length) {
      f = from[i]!;
      dims.push(i++);
    }
    if (j < to.length) {
      t = to[j]!;
      group.push(t);
      j++;
    }
    if (f === 1 && t !== 1) {
      j--;
      group = [];
    } else if (f !== 1 && t === 1) {
      i--;
      dims = [];
    } else {
      while (f !== t) {
        if (i < from.length && (j >= to.length || t % f === 0 || t > f)) {
          f *= from[i]!;
          dims.push(i++);
        } else if (j < to.length && (i >= from.length || f % t === 0 || f > t)) {
          t *= to[j]!;
          group.push(to[j++]!);
        } else break;
      }
    }
    const whole = merge(dims.filter((d) => from[d]! >= 1));
    group.forEach((_, k) => {
      out.push(part(whole, group, k));
    });
  }
  return out;
}

function dimsIn(source: Source): readonly number[] {
  if (source.kind === 'dim') return [source.dim];
  if (source.kind === 'merged') return source.dims;
  return source.kind === 'one' ? [] : dimsIn(source.of);
}

export interface ViewChoice {
  readonly input: Placements;
  readonly output: Placements;
}

/**
 * Where input and result of a view lie. A strict view may not move its input: it refuses where it would have to.
 * @param refuse Makes the error from a reason.
 */
export function propagateView(
  placements: Placements,
  shape: readonly number[],
  sources: readonly Source[],
  mesh: readonly number[],
  strict: boolean,
  refuse: (why: string, dim: number) => Error,
): ViewChoice {
  return new ViewPropagation(placements, shape, sources, mesh, strict, refuse).run();
}

class ViewPropagation {
  /** Per input dimension and axis: may the axis cut it? */
  readonly #allowed: boolean[][];
  /** Axes whose StridedShard has found its part. */
  readonly #matched = new Set<number>();
  /** Input dimension and axis where even a strict view moves its input. */
  readonly #moved = new Set<string>();
  /** The result dimensions of each input dimension. */
  readonly #targets = new Map<number, number[]>();

  constructor(
    readonly placements: Placements,
    readonly shape: readonly number[],
    readonly sources: readonly Source[],
    readonly mesh: readonly number[],
    readonly strict: boolean,
    readonly refuse: (why: string, dim: number) => Error,
  ) {
    const named = new Set(sources.flatMap((source) => dimsIn(source)));
    this.#allowed = shape.map((_, dim) => mesh.map(() => named.has(dim)));
  }

  run(): ViewChoice {
    this.sources.forEach((source, d) => {
      const dims = this.#analyse(source);
      if (source.kind === 'merged') for (const dim of dims) this.#targets.set(dim, [d]);
      else if (dims.length > 0) this.#target(dims[0]!, d);
      else if (source.kind === 'part') {
        let root: Source = source;
        while (root.kind === 'part') root = root.of;
        const dim = root.kind === 'dim' ? root.dim : root.kind === 'merged' ? root.dims[0]! : -1;
        if (this.#targets.has(dim)) this.#target(dim, d);
      }
    });
    const input = this.placements.map((p, axis) => {
      if (!isShardLike(p) || (this.#allowed[p.dim]![axis] && this.#targets.has(p.dim))) return p;
      if (this.strict && !this.#moved.has(`${p.dim},${axis}`)) {
        throw this.refuse(`it would remove or reshape dimension ${p.dim}, which ${p} cuts`, p.dim);
      }
      return R;
    });
    return { input, output: this.#rewrite(input) };
  }

  #target(dim: number, d: number): void {
    const list = this.#targets.get(dim);
    if (list) list.push(d);
    else this.#targets.set(dim, [d]);
  }

  /** The axis with a plain Shard of `dim`; -1 without. */
  #plainAxis(dim: number): number {
    return this.placements.findIndex((p) => p instanceof ShardPlacement && p.dim === dim);
  }

  #analyse(source: Source): readonly number[] {
    switch (source.kind) {
      case 'dim':
        return [source.dim];
      case 'merged':
        return this.#analyseMerged(source.dims);
      case 'part':
        return this.#analysePart(source);
      case 'repeated':
        for (const dim of this.#analyse(source.of)) this.#allowed[dim]!.fill(false);
        return [];
      default:
        return [];
    }
  }

  #analyseMerged(dims: readonly number[]): readonly number[] {
    const cuts: number[] = [];
    dims.forEach((dim, i) => {
      const axis = this.#plainAxis(dim);
      if (axis < 0) return;
      const [size, pieces] = [this.shape[dim]!, this.mesh[axis]!];
      const even = size % pieces === 0;
      let can = true;
      if (this.strict) {
        if (i < dims.length - 1 && !even) throw this.#uneven('flatten', dim, size, pieces);
        cuts.push(dim);
      } else if (i === 0) {
        cuts.push(dim);
        can = even;
      } else can = false;
      this.#allowed[dim]!.fill(can);
    });
    return cuts.length > 0 ? cuts : [dims[0]!];
  }

  #uneven(what: string, dim: number, size: number, pieces: number): Error {
    return this.refuse(
      `it cannot ${what} dimension ${dim}: its size ${size} is not a multiple of ${pieces} ranks`,
      dim,
    );
  }

  #analysePart(source: Source & { kind: 'part' }): readonly number[] {
    const dims = this.#analyse(source.of);
    const dim = dims[0];
    if (dim === undefined) return [];
    if (source.of.kind === 'merged') {
      // A merged dimension that is not the first would be strided in between, which the parts cannot express.
      for (const other of source.of.dims.slice(1)) {
        this.placements.forEach((p, axis) => {
          if (!(p instanceof ShardPlacement) || p.dim !== other) return;
          this.#allowed[other]![axis] = false;
          this.#moved.add(`${other},${axis}`);
        });
      }
    }
    const size = source.group[source.index]!;
    const found = this.#axisOfPart(dim, source);
    if (source.index === 0) {
      this.mesh.forEach((pieces, axis) => {
        this.#allowed[dim]![axis] = size % pieces === 0;
      });
      const axis = this.#plainAxis(dim);
      if (this.strict && axis >= 0 && !this.#allowed[dim]![axis])
        throw this.#uneven('split', source.index, size, this.mesh[axis]!);
    }
    const placement = found < 0 ? null : this.placements[found]!;
    if (placement instanceof StridedShardPlacement) {
      const last = source.index === source.group.length - 1;
      const even = size % this.mesh[found]! === 0;
      if (this.strict && !last && !even) throw this.#uneven('split', source.index, size, this.mesh[found]!);
      this.#matched.add(found);
      this.#allowed[dim]![found] = even || last;
    }
    return source.index === 0 ? [dim] : [];
  }

  /** The axis that cuts `dim` so that this part may be cut; -1 without. */
  #axisOfPart(dim: number, source: Source & { kind: 'part' }): number {
    return this.placements.findIndex((p, axis) => {
      if (!isShardLike(p) || p.dim !== dim || this.#matched.has(axis)) return false;
      return (
        p instanceof ShardPlacement ||
        this.#wantedFactor(source, dim, axis, this.placements) === p.splitFactor
      );
    });
  }

  /** The split factor of a StridedShard that cuts exactly this part, after what earlier axes have cut; null if none does. */
  #wantedFactor(
    source: Source & { kind: 'part' },
    dim: number,
    axis: number,
    placements: readonly Placement[],
  ): number | null {
    let factor = numel(source.group.slice(0, source.index));
    for (let a = 0; a < axis; a++) {
      const p = placements[a]!;
      if (!isShardLike(p) || p.dim !== dim) continue;
      if (factor % this.mesh[a]! !== 0) return null;
      factor /= this.mesh[a]!;
    }
    return factor;
  }

  #rewrite(input: Placements): Placements {
    const local = [...this.shape];
    const claimed = new Set<string>();
    return input.map((p, axis) => {
      if (!isShardLike(p)) return p;
      const targets = this.#targets.get(p.dim)!.filter((d) => !claimed.has(`${p.dim},${d}`));
      const out =
        p instanceof ShardPlacement
          ? this.#rewritePlain(p, axis, input, targets, local)
          : this.#rewriteStrided(p, axis, input, targets, claimed);
      local[p.dim] = Math.floor(local[p.dim]! / this.mesh[axis]!);
      return out;
    });
  }

  #rewritePlain(
    p: ShardPlacement,
    axis: number,
    input: Placements,
    targets: readonly number[],
    local: readonly number[],
  ): Placement {
    const target =
      targets.length === 1
        ? targets[0]!
        : targets.find((d) => {
            const source = this.sources[d]!;
            return source.kind === 'part' && source.index === 0;
          });
    if (target === undefined) throw this.refuse(`no dimension of the result can take the cut ${p}`, p.dim);
    const source = this.sources[target]!;
    if (source.kind !== 'merged') return Shard(target);
    const [first, last] = [source.dims[0]!, source.dims[source.dims.length - 1]!];
    const laterCut = input
      .slice(axis + 1)
      .some((q) => isShardLike(q) && q.dim >= p.dim && q.dim >= first && q.dim <= last);
    if (local[p.dim]! % this.mesh[axis]! !== 0 && laterCut)
      throw this.#uneven('flatten', p.dim, local[p.dim]!, this.mesh[axis]!);
    return p.dim === first ? Shard(target) : StridedShard(target, numel(local.slice(first, p.dim)));
  }

  #rewriteStrided(
    p: StridedShardPlacement,
    axis: number,
    input: Placements,
    targets: readonly number[],
    claimed: Set<string>,
  ): Placement {
    for (const d of targets) {
      const source = this.sources[d]!;
      if (source.kind !== 'part' || this.#wantedFactor(source, p.dim, axis, input) !== p.splitFactor)
        continue;
      claimed.add(`${p.dim},${d}`);
      return Shard(d);
    }
    const kept = this.#keptStrided(targets, p, axis);
    if (kept === null && this.strict && targets.some((d) => this.sources[d]!.kind === 'part')) {
      throw this.refuse(`no part of dimension ${p.dim} begins where the split factor of ${p} says`, p.dim);
    }
    const target = kept ?? targets[0];
    if (target === undefined) throw this.refuse(`no dimension of the result can take the cut ${p}`, p.dim);
    return StridedShard(target, p.splitFactor);
  }

  /** A part that holds whole pieces of the strided cut. */
  #keptStrided(targets: readonly number[], p: StridedShardPlacement, axis: number): number | null {
    const pieces = this.mesh[axis]! * p.splitFactor;
    const size = this.shape[p.dim]!;
    if (size % pieces !== 0) return null;
    for (const d of targets) {
      const source = this.sources[d]!;
      if (source.kind !== 'part') continue;
      const inner = numel(source.group.slice(source.index + 1));
      const after =
        source.of.kind === 'merged' ? source.of.dims.slice(source.of.dims.indexOf(p.dim) + 1) : [];
      const piece = (size / pieces) * numel(after.map((dim) => this.shape[dim]!));
      if (piece >= inner && piece % inner === 0) return d;
    }
    return null;
  }
}

// ---------------------------------------------------------------- the table

type ViewName = 'view' | 'expand' | 'repeat' | 'permute' | 'squeeze' | 'unsqueeze';

function viewRule<K extends ViewName>(
  sources: (call: RuleCall<K>, shape: readonly number[]) => Source[],
  strict: boolean,
  localParams?: NonNullable<MeshRule<K>['localParams']>,
): MeshRule<K> {
  return {
    kind: 'mesh',
    strategies: (call) => {
      const x = call.inputs[0]!;
      const { input, output } = propagateView(
        x.placements,
        x.shape,
        sources(call, x.shape),
        call.mesh.shape,
        strict,
        (why, dim) =>
          cannot(
            call,
            `to [${call.outputs[0]!.shape.join(', ')}]: ${why}`,
            `redistribute the tensor first, so that dimension ${dim} is whole`,
            'SB_DTENSOR_VIEW',
          ),
      );
      return [{ out: [output], in: [input], strided: 'layout' }];
    },
    ...(localParams ? { localParams } : {}),
  };
}

/** Dimensions of the input under those of an expanded shape. */
function expandSources(from: readonly number[], to: readonly number[]): Source[] {
  const shift = to.length - from.length;
  return to.map((n, d) => {
    if (d < shift) return one;
    const dim = d - shift;
    return from[dim] === n ? fromDim(dim) : { kind: 'repeated', of: fromDim(dim) };
  });
}

const wholeShape = (localShapes: readonly (readonly number[] | null)[]): readonly number[] => localShapes[0]!;

export const viewRules: RuleTable = {
  view: viewRule<'view'>(
    (call, shape) => viewSources(shape, call.outputs[0]!.shape),
    true,
    (_call, _chosen, shapes) => ({ shape: wholeShape(shapes) }),
  ),
  expand: viewRule<'expand'>(
    (call, shape) => expandSources(shape, call.outputs[0]!.shape),
    false,
    (_call, _chosen, shapes) => ({ shape: wholeShape(shapes) }),
  ),
  repeat: viewRule<'repeat'>((call, shape) => {
    const { repeats } = call.params;
    const lead = repeats.length - shape.length;
    return repeats.map((times, d): Source => {
      if (d < lead) return one;
      return times === 1 ? fromDim(d - lead) : { kind: 'repeated', of: fromDim(d - lead) };
    });
  }, false),
  permute: viewRule<'permute'>((call) => call.params.dims.map(fromDim), false),
  // Only dimensions that are of size 1 in the whole go: a part may have others.
  squeeze: viewRule<'squeeze'>(
    (call, shape) =>
      shape
        .map((_, d) => d)
        .filter((d) => shape[d] !== 1 || !call.params.dims.includes(d))
        .map(fromDim),
    true,
    (call) => ({ dims: call.params.dims.filter((d) => call.inputs[0]!.shape[d] === 1) }),
  ),
  unsqueeze: viewRule<'unsqueeze'>((call, shape) => {
    const sources = shape.map((_, d) => fromDim(d));
    sources.splice(call.params.dim, 0, one);
    return sources;
  }, false),
};
