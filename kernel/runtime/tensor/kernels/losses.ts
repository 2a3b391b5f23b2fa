/**
 * Losses of pairs. They are operations of their own, as ATen's: one node in the graph, and what distributes tensors places the
 * whole loss and its whole gradient. A mean divides by the number of elements that the kernel sees.
 */
import { float32, float64, int64 } from '../dtype.js';
import { opError } from '../errors.js';
import type { LossReduction } from '../opnames.js';
import { getBackend } from '../state.js';
import type { Tensor } from '../tensor.js';
import { alloc, cast, type KernelTable } from './common.js';
import { elementwiseKernels as k } from './elementwise.js';
import { reduceKernels } from './reduce.js';

type Value = Tensor | number;

function tensorOf(value: Value): Tensor {
  if (typeof value !== 'number') return value;
  const t = alloc([], Number.isInteger(value) ? int64 : float64, 'cpu');
  getBackend().fill(value, t.nd());
  t.wrapped = true;
  return t;
}

const one = (result: Tensor | Tensor[]): Tensor => result as Tensor;
const mul = (a: Value, b: Value): Tensor => one(k.mul([tensorOf(a), tensorOf(b)], {}, null));
const div = (a: Value, b: Value): Tensor => one(k.div([tensorOf(a), tensorOf(b)], {}, null));
const sub = (a: Value, b: Value): Tensor => one(k.sub([tensorOf(a), tensorOf(b)], { alpha: 1 }, null));
const add = (a: Value, b: Value): Tensor => one(k.add([tensorOf(a), tensorOf(b)], { alpha: 1 }, null));
const lt = (a: Value, b: Value): Tensor => one(k.lt([tensorOf(a), tensorOf(b)], {}, null));
const le = (a: Value, b: Value): Tensor => one(k.le([tensorOf(a), tensorOf(b)], {}, null));
const where = (condition: Tensor, a: Value, b: Value): Tensor =>
  one(k.where([condition, tensorOf(a), tensorOf(b)], {}, null));
const abs = (x: Tensor): Tensor => one(k.abs([x], {}, null));
const atLeast = (x: Tensor, min: number): Tensor => one(k.clamp([x], { min, max: null }, null));
const log = (x: Tensor): Tensor => one(k.log([x], {}, null));
const log1p = (x: Tensor): Tensor => one(k.log1p([x], {}, null));
const neg = (x: Tensor): Tensor => one(k.neg([x], {}, null));

function reduced(loss: Tensor, reduction: LossReduction): Tensor {
  if (reduction === 'none') return loss;
  return one(
    reduceKernels[reduction]([loss], { dims: loss.shape.map((_, d) => d), keepdim: false, dtype: null }),
  );
}

/** input - target, once both are numbers a loss is defined for. */
function difference(op: string, x: Tensor, y: Tensor): Tensor {
  floats(op, x, y);
  return sub(x, y);
}

function floats(op: string, x: Tensor, y: Tensor): void {
  if (x.dtype.isFloatingPoint || y.dtype.isFloatingPoint) return;
  throw opError(op, [x, y], `not defined for ${x.dtype.name}`, 'convert with .to(torch.float32)', 'SB_DTYPE');
}

const isHalf = (t: Tensor): boolean => t.dtype.isFloatingPoint && t.dtype.itemsize < 4;
/** Computes in float32 where both are narrower, with one rounding at the end. */
function wide(x: Tensor, y: Tensor, body: (x: Tensor, y: Tensor) => Tensor): Tensor {
  if (!isHalf(x) || x.dtype !== y.dtype) return body(x, y);
  return cast(body(cast(x, float32), cast(y, float32)), x.dtype);
}

function inUnit(what: string, t: Tensor, inputs: readonly Tensor[]): void {
  if (t.isMeta || t.numel() === 0) return;
  const fits = mul(one(k.ge([t, tensorOf(0)], {}, null)), le(t, 1));
  const all = one(reduceKernels.all([fits], { dims: fits.shape.map((_, d) => d), keepdim: false })).item();
  if (all) return;
  throw opError(
    'binaryCrossEntropy',
    inputs,
    `a ${what} is not in 0 to 1`,
    'use binaryCrossEntropyWithLogits for unnormalised scores',
    'SB_NN_SHAPE',
  );
}

const perElement = (x: Tensor, reduction: LossReduction): number =>
  reduction === 'mean' ? 1 / x.numel() : 1;

export const lossKernels = {
  mseLoss: ([x, y], { reduction }) => {
    const d = difference('mseLoss', x!, y!);
    return reduced(mul(d, d), reduction);
  },
  mseLossBackward: ([grad, x, y], { reduction }) =>
    mul(mul(sub(x!, y!), 2 * perElement(x!, reduction)), grad!),
  smoothL1Loss: ([x, y], { reduction, beta }) => {
    floats('smoothL1Loss', x!, y!);
    const loss = wide(x!, y!, (a, b) => {
      const size = abs(sub(a, b));
      return where(lt(size, beta), mul(mul(size, size), 0.5 / beta), sub(size, 0.5 * beta));
    });
    return reduced(loss, reduction);
  },
  smoothL1LossBackward: ([grad, x, y], { reduction, beta }) => {
    const d = sub(x!, y!);
    const slope = where(lt(abs(d), beta), div(d, beta), one(k.sign([d], {}, null)));
    return mul(mul(slope, perElement(x!, reduction)), grad!);
  },
  huberLoss: ([x, y], { reduction, delta }) => {
    const size = abs(difference('huberLoss', x!, y!));
    const loss = where(le(size, delta), mul(mul(size, size), 0.5), mul(sub(size, 0.5 * delta), delta));
    return reduced(loss, reduction);
  },
  huberLossBackward: ([grad, x, y], { reduction, delta }) => {
    const slope = one(k.clamp([sub(x!, y!)], { min: -delta, max: delta }, null));
    return mul(mul(slope, perElement(x!, reduction)), grad!);
  },
  binaryCrossEntropy: ([x, y, weight], { reduction }) => {
    inUnit('probability', x!, [x!, y!]);
    inUnit('target', y!, [x!, y!]);
    const loss = sub(mul(sub(y!, 1), atLeast(log1p(neg(x!)), -100)), mul(y!, atLeast(log(x!), -100)));
    return reduced(weight ? mul(loss, weight) : loss, reduction);
  },
  binaryCrossEntropyBackward: ([grad, x, y, weight], { reduction }) => {
    // Finite also where the logarithms are cut off.
    let out = div(mul(grad!, sub(x!, y!)), atLeast(mul(x!, sub(1, x!)), 1e-12));
    if (weight) out = mul(out, weight);
    return reduction === 'mean' ? div(out, x!.numel()) : out;
  },
  binaryCrossEntropyWithLogits: ([x, y, weight, posWeight], { reduction }) => {
    floats('binaryCrossEntropyWithLogits', x!, y!);
    const positive = one(k.logsigmoid([x!], {}, null));
    const weighted = posWeight ? mul(add(mul(sub(posWeight, 1), y!), 1), positive) : positive;
    const loss = sub(mul(sub(1, y!), x!), weighted);
    return reduced(cast(weight ? mul(loss, weight) : loss, y!.dtype), reduction);
  },
} satisfies Partial<KernelTable>;
