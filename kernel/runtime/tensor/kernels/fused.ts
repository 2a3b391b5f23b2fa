/** Matrix products, softmax, normalisations, negative log likelihood, attention. */
import { type DType, float32, float64, int32, int64 } from '../dtype.js';
import { opError } from '../errors.js';
import { contiguousStrides, numelOf, sameShape } from '../shape.js';
import { getBackend } from '../state.js';
import type { Tensor } from '../tensor.js';
import {
  alloc,
  allocRaw,
  cast,
  contiguous,
  deviceOf,
  expanded,
  floating,
  type KernelTable,
  refuseFloat8,
  viewOf,
} from './common.js';

function checkProduct(op: string, a: Tensor, b: Tensor, ndim: number): void {
  for (const t of [a, b])
    if (t.shape.length !== ndim) throw opError(op, [a, b], `both must have ${ndim} dimensions`);
  deviceOf(op, [a, b]);
  if (a.dtype !== b.dtype)
    throw opError(
      op,
      [a, b],
      `dtypes ${a.dtype.name} and ${b.dtype.name} differ`,
      `convert with .to(torch.${a.dtype.name})`,
      'SB_DTYPE',
    );
  refuseFloat8(op, [a, b], a.dtype);
  if (a.dtype.name === 'bool') throw opError(op, [a, b], 'not defined for bool', undefined, 'SB_DTYPE');
  const [k1, k2] = [a.shape[ndim - 1]!, b.shape[ndim - 2]!];
  if (k1 !== k2) throw opError(op === 'mm' ? 'matmul' : op, [a, b], `inner sizes ${k1} and ${k2} differ`);
  if (ndim === 3 && a.shape[0] !== b.shape[0])
    throw opError(op, [a, b], `batch sizes ${a.shape[0]} and ${b.shape[0]} differ`);
}

const column = (x: Tensor): Tensor => viewOf(x, [x.shape[0]!, 1], [x.strides[0]!, 1]);

function lift(x: Tensor): Tensor {
  return viewOf(x, [1, ...x.shape], [0, ...x.strides]);
}

function product(op: string, a: Tensor, b: Tensor, bias: Tensor | null, alpha: number, beta: number): Tensor {
  const batched = op === 'bmm' || op === 'baddbmm';
  checkProduct(op, a, b, batched ? 3 : 2);
  const shape = [...a.shape.slice(0, -1), b.shape[b.shape.length - 1]!];
  if (bias) {
    if (bias.dtype !== a.dtype) throw opError(op, [bias, a, b], 'the dtypes differ', undefined, 'SB_DTYPE');
    const shift = shape.length - bias.shape.length;
    if (shift < 0 || bias.shape.some((n, d) => n !== 1 && n !== shape[d + shift])) {
      throw opError(
        op,
        [bias, a, b],
        `the first does not broadcast to [${shape.join(', ')}]`,
        undefined,
        'SB_BROADCAST',
      );
    }
  }
  // A sum over nothing is written nowhere; integers are summed in place.
  const written = a.dtype.isFloatingPoint && a.shape[a.shape.length - 1] !== 0;
  const out = (written ? allocRaw : alloc)(shape, a.dtype, a.device);
  if (out.isMeta) return out;
  const wide = bias ? expanded(bias, shape) : null;
  const up = (t: Tensor): Tensor => (batched ? t : lift(t));
  getBackend().matmul(up(a).nd(), up(b).nd(), up(out).nd(), wide ? up(wide).nd() : null, alpha, beta);
  return out;
}

function softmax(x: Tensor, dim: number, dtype: DType | null, log: boolean): Tensor {
  const name = log ? 'logSoftmax' : 'softmax';
  const t = dtype ? cast(x, dtype) : x;
  if (!t.dtype.isFloatingPoint || t.dtype.isFloat8)
    throw opError(name, [x], `not defined for ${t.dtype.name}`, 'pass { dtype: torch.float32 }', 'SB_DTYPE');
  const out = allocRaw(t.shape, t.dtype, t.device);
  if (!t.isMeta && t.numel() > 0) getBackend().softmax(t.nd(), dim, log, out.nd());
  return out;
}

function softmaxBackward(grad: Tensor, y: Tensor, dim: number, dtype: DType, log: boolean): Tensor {
  const out = allocRaw(y.shape, y.dtype, y.device);
  if (!y.isMeta && y.numel() > 0) getBackend().softmaxBackward(grad.nd(), y.nd(), dim, log, out.nd());
  return cast(out, dtype);
}

function checkNorm(op: string, x: Tensor, inner: readonly number[], weight: Tensor | null): void {
  if (!x.dtype.isFloatingPoint || x.dtype.isFloat8)
    throw opError(op, [x], `not defined for ${x.dtype.name}`, undefined, 'SB_DTYPE');
  if (inner.length === 0 || !sameShape(x.shape.slice(-inner.length), inner))
    throw opError(op, [x], `the last sizes are not the normalized shape [${inner.join(', ')}]`);
  if (weight && !sameShape(weight.shape, inner))
    throw opError(op, [x, weight], `the weight is not of the normalized shape [${inner.join(', ')}]`);
}

/** Statistics are kept in float32 or better. */
const statDtype = (dtype: DType): DType => (dtype === float64 ? float64 : float32);

function statShape(x: Tensor, inner: readonly number[]): number[] {
  return x.shape.map((n, d) => (d < x.shape.length - inner.length ? n : 1));
}

export const fusedKernels = {
  mm: ([a, b]) => product('mm', a!, b!, null, 1, 1),
  mv: ([a, b]) => {
    const out = product('mm', a!, column(b!), null, 1, 1);
    return viewOf(out, [out.shape[0]!], [1]);
  },
  dot: ([a, b]) => viewOf(product('mm', lift(a!), column(b!), null, 1, 1), [], []),
  bmm: ([a, b]) => product('bmm', a!, b!, null, 1, 1),
  addmm: ([c, a, b], { alpha, beta }) => product('addmm', a!, b!, c!, alpha, beta),
  baddbmm: ([c, a, b], { alpha, beta }) => product('baddbmm', a!, b!, c!, alpha, beta),
  softmax: ([x], { dim, dtype }) => softmax(x!, dim, dtype, false),
  logSoftmax: ([x], { dim, dtype }) => softmax(x!, dim, dtype, true),
  softmaxBackward: ([g, y], { dim, dtype }) => softmaxBackward(g!, y!, dim, dtype, false),
  logSoftmaxBackward: ([g, y], { dim, dtype }) => softmaxBackward(g!, y!, dim, dtype, true),
  layerNorm: ([x, weight, bias], { inner, eps }) => {
    const t = x!;
    checkNorm('layerNorm', t, inner, weight ?? null);
    const out = allocRaw(t.shape, t.dtype, t.device);
    const mean = alloc(statShape(t, inner), statDtype(t.dtype), t.device);
    const rstd = alloc(statShape(t, inner), statDtype(t.dtype), t.device);
    if (!t.isMeta) {
      getBackend().layerNorm(
        t.nd(),
        numelOf(inner),
        weight?.nd() ?? null,
        bias?.nd() ?? null,
        eps,
        out.nd(),
        mean.nd(),
        rstd.nd(),
      );
    }
    return [out, mean, rstd];
  },
  layerNormBackward: ([grad, x, mean, rstd, weight], { inner, mask }) => {
    const t = x!;
    const dx = allocRaw(mask[0] ? t.shape : [0], t.dtype, t.device);
    const dw = alloc(mask[1] ? inner : [0], weight?.dtype ?? t.dtype, t.device);
    const db = alloc(mask[2] ? inner : [0], weight?.dtype ?? t.dtype, t.device);
    if (!t.isMeta) {
      getBackend().layerNormBackward(
        grad!.nd(),
        t.nd(),
        mean!.nd(),
        rstd!.nd(),
        numelOf(inner),
        weight?.nd() ?? null,
        mask[0] ? dx.nd() : null,
        mask[1] ? dw.nd() : null,
        mask[2] ? db.nd() : null,
      );
    }
    return [dx, dw, db];
  },
  rmsNorm: ([x, weight], { inner, eps }) => {
    const t = x!;
    checkNorm('rmsNorm', t, inner, weight ?? null);
    const out = alloc(t.shape, t.dtype, t.device);
    const rstd = alloc(statShape(t, inner), statDtype(t.dtype), t.device);
    if (!t.isMeta)
      getBackend().rmsNorm(t.nd(), numelOf(inner), weight?.nd() ?? null, eps, out.nd(), rstd.nd());
    return [out, rstd];
  },
  rmsNormBackward: ([grad, x, rstd, weight], { inner, mask }) => {
    const t = x!;
    const dx = alloc(mask[0] ? t.shape : [0], t.dtype, t.device);
    const dw = alloc(mask[1] ? inner : [0], weight?.dtype ?? t.dtype, t.device);
    if (!t.isMeta) {
      getBackend().rmsNormBackward(
        grad!.nd(),
        t.nd(),
        rstd!.nd(),
        numelOf(inner),
        weight?.nd() ?? null,
        mask[0] ? dx.nd() : null,
        mask[1] ? dw.nd() : null,
      );
    }
    return [dx, dw];
  },
  nllLoss: ([logp, target, weight], { reduction, ignoreIndex }) => {
    const x = logp!;
    checkTargets(x, target!, ignoreIndex);
    const { rows, classes, spatial } = rowsOf(x);
    const device = x.device;
    const stat = statDtype(x.dtype);
    const loss = alloc(reduction === 'none' ? target!.shape : [], x.dtype, device);
    const total = alloc([], x.dtype, device);
    if (device === 'meta') return [loss, total];
    const items = alloc([rows], reduction === 'none' ? x.dtype : stat, device);
    const used = alloc([rows], stat, device);
    const flat = classRows(x, rows, classes, spatial);
    getBackend().nllLoss(
      flat.nd(),
      viewOf(contiguous(target!), [rows], [1]).nd(),
      weight?.nd() ?? null,
      ignoreIndex,
      items.nd(),
      used.nd(),
    );
    if (reduction === 'none') {
      getBackend().copy(items.nd(), viewOf(loss, [rows], [1]).nd());
      return [loss, total];
    }
    const sum = alloc([], stat, device);
    const weights = alloc([], stat, device);
    getBackend().reduce('sum', items.nd(), [0], sum.nd());
    getBackend().reduce('sum', used.nd(), [0], weights.nd());
    if (reduction === 'mean') getBackend().binary('div', sum.nd(), weights.nd(), sum.nd());
    getBackend().copy(sum.nd(), loss.nd());
    getBackend().copy(weights.nd(), total.nd());
    return [loss, total];
  },
  nllLossBackward: ([grad, logp, target, weight, total], { reduction, ignoreIndex }) => {
    const x = logp!;
    const out = alloc(x.shape, x.dtype, x.device);
    if (x.isMeta) return out;
    const { rows, classes, spatial } = rowsOf(x);
    const ids = contiguous(cast(target!, int64));
    const t = ids.storage.as(int64) as BigInt64Array;
    const g = contiguous(cast(grad!, float64)).storage.as(float64) as Float64Array;
    const w = weight ? (contiguous(cast(weight, float64)).storage.as(float64) as Float64Array) : null;
    const scale =
      reduction === 'mean'
        ? 1 / ((contiguous(cast(total!, float64)).storage.as(float64) as Float64Array)[0] ?? 1)
        : 1;
    // One value a row: small floats are rounded from float64 at the end.
    const direct = x.dtype === float32 || x.dtype === float64;
    const values = direct ? out : alloc(x.shape, float64, 'cpu');
    const v = values.storage.as(values.dtype) as Float64Array;
    for (let r = 0; r < rows; r++) {
      const c = Number(t[ids.storageOffset + r]);
      if (c === ignoreIndex) continue;
      const at = Math.floor(r / spatial) * classes * spatial + c * spatial + (r % spatial);
      v[at] = -(w ? w[c]! : 1) * (reduction === 'none' ? g[r]! : g[0]! * scale);
    }
    if (!direct) getBackend().copy(values.nd(), out.nd());
    return out;
  },
  attention: ([q, k, v, mask], { scale, causal }) => {
    const [a, b, c] = [q!, k!, v!];
    checkAttention(a, b, c);
    const out = allocRaw([a.shape[0]!, a.shape[1]!, c.shape[2]!], a.dtype, a.device);
    const lse = alloc([a.shape[0]!, a.shape[1]!], statDtype(a.dtype), a.device);
    if (!out.isMeta) {
      const m = mask ? expanded(mask, [a.shape[0]!, a.shape[1]!, b.shape[1]!]).nd() : null;
      getBackend().attention(a.nd(), b.nd(), c.nd(), m, { scale, causal }, out.nd(), lse.nd());
    }
    return [out, lse];
  },
  attentionBackward: ([grad, gradLse, q, k, v, mask, out, lse], { scale, causal, needs }) => {
    const [dq, dk, dv] = [q!, k!, v!].map((t) => alloc(t.shape, t.dtype, t.device)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const scores = [q!.shape[0]!, q!.shape[1]!, k!.shape[1]!];
    const dm = alloc(needs[3] && mask ? scores : [0], mask?.dtype ?? q!.dtype, q!.device);
    if (!q!.isMeta) {
      getBackend().attentionBackward(
        grad!.nd(),
        q!.nd(),
        k!.nd(),
        v!.nd(),
        mask ? expanded(mask, scores).nd() : null,
        out!.nd(),
        lse!.nd(),
        gradLse?.nd() ?? null,
        { scale, causal },
        dq.nd(),
        dk.nd(),
        dv.nd(),
        needs[3] && mask ? dm.nd() : null,
      );
    }
    return [dq, dk, dv, dm];
  },
} satisfies Partial<KernelTable>;

function checkAttention(q: Tensor, k: Tensor, v: Tensor): void {
  const inputs = [q, k, v];
  if (inputs.some((t) => t.shape.length !== 3))
    throw opError('attention', inputs, 'all must have three dimensions');
  if (q.dtype !== k.dtype || q.dtype !== v.dtype)
    throw opError('attention', inputs, 'the dtypes differ', undefined, 'SB_DTYPE');
  if (q.shape[2] !== k.shape[2])
    throw opError('attention', inputs, `head sizes ${q.shape[2]} and ${k.shape[2]} of query and key differ`);
  if (k.shape[1] !== v.shape[1])
    throw opError('attention', inputs, `key and value have ${k.shape[1]} and ${v.shape[1]} positions`);
  if (q.shape[0] !== k.shape[0] || q.shape[0] !== v.shape[0])
    throw opError('attention', inputs, 'the batch sizes differ');
}

function rowsOf(x: Tensor): { rows: number; classes: number; spatial: number } {
  if (x.shape.length === 1) return { rows: 1, classes: x.shape[0]!, spatial: 1 };
  const spatial = numelOf(x.shape.slice(2));
  return { rows: x.shape[0]! * spatial, classes: x.shape[1]!, spatial };
}

/** [rows, classes], class dimension last. */
function classRows(x: Tensor, rows: number, classes: number, spatial: number): Tensor {
  if (x.shape.length === 1) return viewOf(x, [1, classes], [0, x.strides[0]!]);
  if (spatial === 1 && x.shape.length === 2) return x;
  const order = [0, ...x.shape.map((_, d) => d).slice(2), 1];
  const moved = contiguous(
    viewOf(
      x,
      order.map((d) => x.shape[d]!),
      order.map((d) => x.strides[d]!),
    ),
  );
  return viewOf(moved, [rows, classes], contiguousStrides([rows, classes]));
}

function checkTargets(x: Tensor, target: Tensor, ignoreIndex: number): void {
  if (!floating(x.dtype) || !x.dtype.isFloatingPoint)
    throw opError('nllLoss', [x, target], `not defined for ${x.dtype.name}`, undefined, 'SB_DTYPE');
  if (target.dtype !== int64 && target.dtype !== int32 && target.dtype.name !== 'uint8')
    throw opError(
      'nllLoss',
      [x, target],
      `targets are ${target.dtype.name}, not int64`,
      undefined,
      'SB_INDEX_DTYPE',
    );
  const want = x.shape.length === 1 ? [] : [x.shape[0]!, ...x.shape.slice(2)];
  if (!sameShape(target.shape, want))
    throw opError('nllLoss', [x, target], `targets must be [${want.join(', ')}]`);
  if (x.isMeta) return;
  const classes = x.shape.length === 1 ? x.shape[0]! : x.shape[1]!;
  const ids = contiguous(cast(target, int64));
  const data = ids.storage.as(int64) as BigInt64Array;
  for (let i = 0; i < ids.numel(); i++) {
    const c = Number(data[ids.storageOffset + i]);
    if (c !== ignoreIndex && (c < 0 || c >= classes))
      throw opError(
        'nllLoss',
        [x, target],
        `target ${c} is out of range for ${classes} classes`,
        undefined,
        'SB_INDEX_RANGE',
      );
  }
}
