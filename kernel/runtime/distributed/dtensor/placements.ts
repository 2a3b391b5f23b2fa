/**
 * How a tensor lies along one axis of a mesh. Placements are values: made with or without `new`, compared with `equals`, never
 * changed. `key` is their text and tells them apart, so it serves in cache keys.
 */
import { ShardbookError } from '../../base/index.js';
import { chunkExtent } from './chunk.js';

export type ReduceKind = 'sum' | 'avg' | 'min' | 'max' | 'product' | 'band' | 'bor' | 'bxor';

const KINDS: readonly ReduceKind[] = ['sum', 'avg', 'min', 'max', 'product', 'band', 'bor', 'bxor'];

abstract class Base {
  /** `S(0)`, `_S(0, 2)`, `R`, `P(sum)`. */
  abstract readonly key: string;

  /** Whether it is a plain Shard, of dimension `dim` if that is given. */
  isShard(_dim?: number): this is ShardPlacement {
    return false;
  }
  isReplicate(): this is ReplicatePlacement {
    return false;
  }
  /** Whether a reduction is pending, of kind `op` if that is given. */
  isPartial(_op?: string): this is PartialPlacement {
    return false;
  }
  equals(other: unknown): boolean {
    return other instanceof Base && other.key === this.key;
  }
  toString(): string {
    return this.key;
  }
}

/** The ranks of the axis hold consecutive pieces along `dim`. */
export class ShardPlacement extends Base {
  readonly key: string;
  constructor(readonly dim: number) {
    super();
    if (!Number.isInteger(dim)) throw notADim('Shard', dim);
    this.key = `S(${dim})`;
  }
  override isShard(dim?: number): this is ShardPlacement {
    return dim === undefined || dim === this.dim;
  }
}

/**
 * As a Shard, of a tensor that axes to the right have cut into `splitFactor` pieces before: each rank holds its part of every
 * piece. FSDP over tensor parallel makes it.
 */
export class StridedShardPlacement extends Base {
  readonly key: string;
  constructor(
    readonly dim: number,
    readonly splitFactor: number,
  ) {
    super();
    if (!Number.isInteger(dim)) throw notADim('StridedShard', dim);
    this.key = `_S(${dim}, ${splitFactor})`;
  }
}

/** Every rank of the axis holds the same. */
export class ReplicatePlacement extends Base {
  readonly key = 'R';
  override isReplicate(): this is ReplicatePlacement {
    return true;
  }
}

/** The value is the reduction of what the ranks of the axis hold. */
export class PartialPlacement extends Base {
  readonly key: string;
  constructor(
    readonly reduceOp: ReduceKind,
    key = `P(${reduceOp})`,
  ) {
    super();
    this.key = key;
  }
  override isPartial(op?: string): this is PartialPlacement {
    return op === undefined || op === this.reduceOp;
  }
}

/** The p-norm of the ranks' p-norms is pending. Not a kind that users name. */
export class NormPartialPlacement extends PartialPlacement {
  constructor(readonly normType: number) {
    super(
      normType === Number.POSITIVE_INFINITY ? 'max' : normType === Number.NEGATIVE_INFINITY ? 'min' : 'sum',
      `NormP(${normType})`,
    );
  }
}

/**
 * The pending sum of a look-up in a table cut along `tableDim`: each rank has looked up the rows it has and holds zeros for the
 * others. Two of them are equal when their tables are.
 */
export class MaskPartialPlacement extends PartialPlacement {
  constructor(
    readonly tableShape: readonly number[],
    readonly tableDim: number,
  ) {
    super('sum', `MaskP(sum, [${tableShape.join(', ')}], ${tableDim})`);
  }
}

/** What each rank along a mesh axis holds: a shard, a replica, or a summand of the whole. */
export type Placement =
  | ShardPlacement
  | StridedShardPlacement
  | ReplicatePlacement
  | PartialPlacement
  | NormPartialPlacement
  | MaskPartialPlacement;

/** One per axis of the mesh. */
export type Placements = readonly Placement[];

/** A Shard or a StridedShard. */
export function isShardLike(p: Placement | null | undefined): p is ShardPlacement | StridedShardPlacement {
  return p instanceof ShardPlacement || p instanceof StridedShardPlacement;
}

/** The same cut along another dimension. */
export function shardOn<P extends ShardPlacement | StridedShardPlacement>(
  p: P,
  dim: number,
): ShardPlacement | StridedShardPlacement {
  return p instanceof StridedShardPlacement ? StridedShard(dim, p.splitFactor) : Shard(dim);
}

export function samePlacements(a: Placements, b: Placements): boolean {
  return a.length === b.length && a.every((p, i) => p.key === b[i]!.key);
}

/** `S(0)`, or `(S(0), R)` of several axes. */
export function placementsText(placements: Placements): string {
  const parts = placements.map(String);
  return parts.length === 1 ? parts[0]! : `(${parts.join(', ')})`;
}

// ---------------------------------------------------------------- what users write

const shards = new Map<number, ShardPlacement>();
const strided = new Map<string, StridedShardPlacement>();
const replicate = new ReplicatePlacement();
const partials = new Map<string, PartialPlacement>(KINDS.map((kind) => [kind, new PartialPlacement(kind)]));
const norms = new Map<number, NormPartialPlacement>();

interface Maker<A extends unknown[], P> {
  (...args: A): P;
  new (...args: A): P;
  [Symbol.hasInstance](value: unknown): boolean;
}

function maker<A extends unknown[], P extends Placement>(
  name: string,
  type: abstract new (...args: never[]) => P,
  make: (...args: A) => P,
): Maker<A, P> {
  // A function, so that it can be called with and without `new`.
  function placement(...args: A): P {
    return make(...args);
  }
  Object.defineProperty(placement, 'name', { value: name });
  Object.defineProperty(placement, Symbol.hasInstance, {
    value: (value: unknown) => value instanceof (type as unknown as new () => object),
  });
  return placement as unknown as Maker<A, P>;
}

const makeShard = maker('Shard', ShardPlacement, (dim: number | { dim: number }): ShardPlacement => {
  const d = typeof dim === 'object' && dim !== null ? dim.dim : dim;
  let made = shards.get(d);
  if (!made) {
    made = new ShardPlacement(d);
    shards.set(d, made);
  }
  return made;
});

/** The ranks of the axis hold consecutive pieces along `dim`, cut as `torch.chunk` cuts: the last may be short or empty. */
export const Shard = Object.assign(makeShard, {
  /** Size of piece `rank` of `size` rows cut in `pieces`, and where it begins. */
  localShardSizeAndOffset(size: number, pieces: number, rank: number): [size: number, offset: number] {
    const piece = chunkExtent(size, pieces, rank);
    return [piece.size, piece.offset];
  },
});

/** Every rank of the axis holds the whole. */
export const Replicate = maker('Replicate', ReplicatePlacement, (): ReplicatePlacement => replicate);

/** The value is the reduction (default: the sum) of what the ranks of the axis hold. */
export const Partial = maker(
  'Partial',
  PartialPlacement,
  (op: string | { reduceOp?: string } = 'sum'): PartialPlacement => {
    const kind = typeof op === 'string' ? op : (op.reduceOp ?? 'sum');
    const made = partials.get(kind);
    if (made) return made;
    throw new ShardbookError({
      code: 'SB_PLACEMENT',
      message: `Cannot make a Partial placement: "${kind}" is no reduction`,
      help: `wanted one of ${KINDS.join(', ')}`,
    });
  },
);

/** As a Shard, of a tensor that axes to the right have cut into `splitFactor` pieces before. */
export const StridedShard = maker(
  'StridedShard',
  StridedShardPlacement,
  (dim: number, options: number | { splitFactor: number }): StridedShardPlacement => {
    const splitFactor = typeof options === 'number' ? options : options.splitFactor;
    if (!Number.isInteger(splitFactor) || splitFactor < 1) {
      throw new ShardbookError({
        code: 'SB_PLACEMENT',
        message: `Cannot make a StridedShard placement: its split factor is ${splitFactor}, wanted a whole number from 1`,
      });
    }
    const key = `${dim},${splitFactor}`;
    let made = strided.get(key);
    if (!made) {
      made = new StridedShardPlacement(dim, splitFactor);
      strided.set(key, made);
    }
    return made;
  },
);

/** The p-norm of the ranks' p-norms is pending. */
export function NormPartial(normType: number): NormPartialPlacement {
  let made = norms.get(normType);
  if (!made) {
    made = new NormPartialPlacement(normType);
    norms.set(normType, made);
  }
  return made;
}

/** The pending sum of look-ups in a table of this shape, cut along `dim`. */
export function MaskPartial(tableShape: readonly number[], dim: number): MaskPartialPlacement {
  return new MaskPartialPlacement(tableShape, dim);
}

function notADim(name: string, dim: unknown): ShardbookError {
  return new ShardbookError({
    code: 'SB_PLACEMENT',
    message: `Cannot make a ${name} placement: its dimension is ${String(dim)}, wanted a whole number`,
    help: 'pass the dimension of the tensor that is cut, as in Shard(0)',
  });
}
