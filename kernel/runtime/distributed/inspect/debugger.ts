/** Looks at DTensors and checks what they do: for the question "does this tensor lie as I think it does?". */
import { ShardbookError } from '../../base/index.js';
import { noGrad, type Tensor, torch } from '../../tensor/index.js';
import {
  type DTensor,
  DTensor as DTensorClass,
  distributeTensor,
  Partial,
  type Placement,
  Replicate,
  Shard,
} from '../dtensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { code, figure, line, textTable } from './html.js';
import { verifyMeshGroups } from './mesh-analysis.js';
import { axisName } from './mesh-view.js';
import { shardingText } from './sharding-view.js';
import { list, rangesAt, rangeText } from './slices.js';
import { bytesText, columns } from './text.js';

const mimeKey: unique symbol = Symbol.for('shardbook.toMime') as never;

/** Rows of a name and a value; `display` draws them as a table. */
class Sheet {
  constructor(
    readonly title: string,
    readonly rows: readonly (readonly [string, string])[],
  ) {}
  toString(): string {
    return `${this.title}\n${columns(this.rows, '  ')}`;
  }
  [mimeKey](): Record<string, string> {
    const html = figure(this.title, line(code(this.title)), textTable('', ['field', 'value'], this.rows));
    return { 'text/html': html, 'text/plain': String(this) };
  }
}

/** Figures of this rank's part. */
export interface LocalStatistics {
  readonly mean: number;
  /** With Bessel's correction, as `Tensor.std()`; NaN below two elements. */
  readonly std: number;
  readonly min: number;
  readonly max: number;
}

/** What this rank knows of a DTensor. Nothing is communicated. */
export class DTensorInfo extends Sheet {
  constructor(
    readonly name: string,
    readonly globalShape: readonly number[],
    readonly globalStride: readonly number[],
    readonly dtype: string,
    readonly mesh: DeviceMesh,
    readonly placements: readonly Placement[],
    readonly requiresGrad: boolean,
    readonly localShape: readonly number[],
    readonly localStride: readonly number[],
    readonly localSlice: string,
    readonly localDevice: string,
    readonly localNumel: number,
    readonly localBytes: number,
    /** null for an empty part. */
    readonly localStatistics: LocalStatistics | null,
  ) {
    const number = (x: number): string => (Number.isInteger(x) ? String(x) : x.toPrecision(6));
    const stats = localStatistics;
    super(name === '' ? 'DTensor' : `DTensor ${name}`, [
      ['global shape', list(globalShape)],
      ['global stride', list(globalStride)],
      ['dtype', dtype],
      ['mesh', mesh.describe()],
      ['placements', list(placements.map(String))],
      ['requires grad', String(requiresGrad)],
      ['local shape', list(localShape)],
      ['local slice', localSlice],
      ['local device', localDevice],
      ['local memory', `${localBytes} B (${bytesText(localBytes)})`],
      [
        'local values',
        stats === null
          ? 'empty'
          : `mean ${number(stats.mean)}, std ${number(stats.std)}, min ${number(stats.min)}, max ${number(stats.max)}`,
      ],
    ]);
  }
}

/** What this rank knows of a DTensor without communicating: placements, its part, bytes, statistics of the part. */
export function inspectDTensor(tensor: DTensor, name = ''): DTensorInfo {
  const { spec, localTensor: local } = tensor;
  const coordinate = spec.mesh.getCoordinate();
  const ranges =
    coordinate === null ? null : rangesAt(spec.shape, spec.mesh.shape, spec.placements, coordinate);
  const slice =
    ranges === null
      ? 'this rank is outside the mesh'
      : `[${ranges.map((r, d) => rangeText(r, spec.shape[d]!)).join(', ')}]`;
  return new DTensorInfo(
    name,
    spec.shape,
    spec.strides,
    spec.dtype.name,
    spec.mesh,
    spec.placements,
    tensor.requiresGrad,
    [...local.shape],
    [...local.strides],
    slice,
    local.device,
    local.numel(),
    local.numel() * local.dtype.itemsize,
    statisticsOf(local),
  );
}

function statisticsOf(local: Tensor): LocalStatistics | null {
  if (local.numel() === 0 || local.isMeta) return null;
  return noGrad(() => {
    const x = local.detach().to(torch.float64);
    const value = (t: Tensor): number => Number(t.item());
    return {
      mean: value(x.mean()),
      std: x.numel() < 2 ? Number.NaN : value(x.std()),
      min: value(x.min() as Tensor),
      max: value(x.max() as Tensor),
    };
  });
}

// ---------------------------------------------------------------- communication

/** Which collectives ran against those expected. */
export interface CommunicationCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** What `verifyCommunication` found. */
export class CommunicationReport extends Sheet {
  constructor(readonly checks: readonly CommunicationCheck[]) {
    super(
      `DTensor communication: ${checks.every((c) => c.ok) ? 'all checks passed' : 'some checks failed'}`,
      checks.map((check) => [check.name, `${check.ok ? 'ok' : 'FAILED'}, ${check.detail}`] as const),
    );
  }
  get ok(): boolean {
    return this.checks.every((check) => check.ok);
  }
}

/** What `compareWithReference` found; the same on every rank. */
export class Comparison extends Sheet {
  constructor(
    readonly ok: boolean,
    readonly maxDifference: number,
    readonly meanDifference: number,
    /** Where the difference is largest; null when the tensors are empty. */
    readonly index: readonly number[] | null,
    readonly value: number,
    readonly reference: number,
    readonly rtol: number,
    readonly atol: number,
  ) {
    super(ok ? 'DTensor values match the reference' : 'DTensor values differ from the reference', [
      ['largest difference', String(maxDifference)],
      ['mean difference', String(meanDifference)],
      ['at', index === null ? '-' : list(index)],
      ['value', String(value)],
      ['reference', String(reference)],
      ['tolerance', `rtol ${rtol}, atol ${atol}`],
    ]);
  }
}

/** How far values may differ. */
export interface Tolerance {
  rtol?: number;
  atol?: number;
}

/** What float arithmetic in another order may differ by, as torch.testing.assert_close has it. */
const TOLERANCES: Readonly<Record<string, readonly [rtol: number, atol: number]>> = {
  float64: [1e-7, 1e-7],
  float32: [1.3e-6, 1e-5],
  float16: [1e-3, 1e-5],
  bfloat16: [1.6e-2, 1e-5],
};

/**
 * Inspects DTensors of one mesh and checks its communication. `inspect` and `visualize` concern this rank alone; `verifyCommunication` and
 * `compareWithReference` communicate, so every rank of the mesh calls them (and one may print).
 */
export class DTensorDebugger {
  constructor(readonly mesh: DeviceMesh) {}

  /** Shape, placements, part and statistics of a DTensor. */
  inspect(tensor: DTensor, name = ''): DTensorInfo {
    return inspectDTensor(tensor, name);
  }

  /** Which rank holds which slice, as text; `display(tensor)` draws it. */
  visualize(tensor: DTensor): string {
    return shardingText(tensor.spec);
  }

  /**
   * Every group answers; a shard gathered and cut again is what it was; pending sums are reduced and scattered; a gradient arrives as
   * a DTensor.
   */
  verifyCommunication(): CommunicationReport {
    const checks: CommunicationCheck[] = verifyMeshGroups(this.mesh).map((group) => ({
      name: `group of ${group.axis}`,
      ok: group.ok,
      detail: `ranks ${list(group.answered)} answered, their sum is ${group.sum}`,
    }));
    for (let axis = 0; axis < this.mesh.ndim; axis++) checks.push(...this.#alongAxis(axis));
    checks.push(this.#gradient());
    return new CommunicationReport(checks);
  }

  #alongAxis(axis: number): CommunicationCheck[] {
    const { mesh } = this;
    const name = axisName(mesh, axis);
    const placed = (p: Placement): Placement[] => mesh.shape.map((_, i) => (i === axis ? p : Replicate()));
    // One row more than ranks, so that shards are uneven.
    const rows = mesh.size(axis) + 1;
    const whole = torch.arange(rows * 2, { dtype: torch.float32 }).reshape([rows, 2]);
    const cut = distributeTensor(whole, mesh, placed(Shard(0)));
    const back = cut.redistribute(placed(Replicate())).redistribute(placed(Shard(0)));
    const same = torch.equal(back.localTensor, cut.localTensor);
    const pending = DTensorClass.fromLocal(whole, mesh, placed(Partial()));
    const scattered = pending.redistribute(placed(Shard(0))).fullTensor();
    const summed = torch.equal(scattered, whole.mul(mesh.size(axis)));
    return [
      {
        name: `all-gather on ${name}`,
        ok: same,
        detail: same
          ? 'Shard -> Replicate -> Shard gives the same part'
          : 'Shard -> Replicate -> Shard changed the part',
      },
      {
        name: `reduce-scatter on ${name}`,
        ok: summed,
        detail: summed
          ? `Partial -> Shard gives the sum of ${mesh.size(axis)} ranks`
          : `Partial -> Shard is not the sum of ${mesh.size(axis)} ranks`,
      },
    ];
  }

  #gradient(): CommunicationCheck {
    const { mesh } = this;
    const whole = torch.ones([mesh.size() + 1, 2]);
    // A leaf: the gradient of anything computed would not be kept.
    const leaf = distributeTensor(
      whole,
      mesh,
      mesh.shape.map((_, axis) => (axis === 0 ? Shard(0) : Replicate())),
    ).requiresGrad_();
    leaf.mul(leaf).sum().backward();
    const { grad } = leaf;
    const right = grad instanceof DTensorClass && torch.equal(grad.fullTensor(), whole.mul(2));
    return {
      name: 'gradient',
      ok: right,
      detail: right ? `arrives as ${grad.describe()}` : 'is missing, plain or wrong',
    };
  }

  /**
   * Gathers the whole tensor on every rank and compares it with a plain tensor. Without a tolerance those of
   * torch.testing.assert_close count.
   */
  compareWithReference(tensor: DTensor, reference: Tensor, tolerance: Tolerance = {}): Comparison {
    const whole = noGrad(() => tensor.fullTensor());
    if (whole.shape.join() !== reference.shape.join()) {
      throw new ShardbookError({
        code: 'SB_SHAPE',
        message: `Cannot compare ${tensor.describe()} with ${reference.describe()}: their shapes differ`,
      });
    }
    return compare(whole, reference, tolerance);
  }
}

/** Two plain tensors of one shape, within the tolerance of their dtype unless told. */
export function compare(actual: Tensor, expected: Tensor, tolerance: Tolerance = {}): Comparison {
  const [rtolDefault, atolDefault] = TOLERANCES[actual.dtype.name] ?? [0, 0];
  const { rtol = rtolDefault, atol = atolDefault } = tolerance;
  return noGrad(() => {
    const flat = (t: Tensor): Tensor => t.detach().to(torch.float64).reshape([-1]);
    const [a, b] = [flat(actual), flat(expected)];
    if (a.numel() === 0) return new Comparison(true, 0, 0, null, Number.NaN, Number.NaN, rtol, atol);
    const value = (t: Tensor): number => Number(t.item());
    const same = a.eq(b).logicalOr(a.isnan().logicalAnd(b.isnan()));
    const gap = a.sub(b).abs();
    // What is a number on one side only differs by infinity.
    const difference = torch
      .where(gap.isnan(), torch.full([], Number.POSITIVE_INFINITY, { dtype: torch.float64 }), gap)
      .maskedFill(same, 0);
    const outside = difference.gt(b.abs().mul(rtol).add(atol)).logicalAnd(same.logicalNot());
    const worst = value(difference.argmax());
    return new Comparison(
      value(outside.sum()) === 0,
      value(difference.max() as Tensor),
      value(difference.mean()),
      unravel(worst, actual.shape),
      value(a.select(0, worst)),
      value(b.select(0, worst)),
      rtol,
      atol,
    );
  });
}

function unravel(at: number, shape: readonly number[]): number[] {
  const out: number[] = [];
  let rest = at;
  for (let d = shape.length - 1; d >= 0; d--) {
    out.unshift(rest % shape[d]!);
    rest = Math.floor(rest / shape[d]!);
  }
  return out;
}

/** The rank that is first along every axis: the one that prints what all ranks know. */
export function isFirstOf(mesh: DeviceMesh): boolean {
  return mesh.getCoordinate()?.every((at) => at === 0) ?? false;
}
