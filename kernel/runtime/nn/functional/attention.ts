import { ShardbookError } from '../../base/index.js';
import { type Tensor, torch } from '../../tensor/index.js';
import { named } from '../options.js';
import { dropout } from './dropout.js';
import { linear } from './linear.js';
import { cannot } from './reduction.js';

export interface AttentionOptions {
  /** Boolean (true takes part) or added to the scores; broadcast to [..., queries, keys]. */
  attnMask?: Tensor | null;
  dropoutP?: number;
  /** Query i sees keys 0 to i. */
  isCausal?: boolean;
  /** Factor of the scores; 1 / sqrt(width) when left out. */
  scale?: number | null;
  /** Lets several query heads share one key and value head. */
  enableGqa?: boolean;
}

/** softmax(q k^T scale + mask) v over the last two dimensions. Rows that may see nothing give zeros. */
export function scaledDotProductAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  attnMask?: Tensor | null | AttentionOptions,
  dropoutP?: number | AttentionOptions,
  isCausal?: boolean | AttentionOptions,
  options?: AttentionOptions,
): Tensor {
  const o = named<AttentionOptions>(
    [attnMask, dropoutP, isCausal, options],
    ['attnMask', 'dropoutP', 'isCausal'],
  );
  const { dropoutP: p = 0 } = o;
  if (p === 0) return attentionWithLse(query, key, value, o)[0];
  const { q, k, v, mask, scale } = prepare(query, key, value, o);
  const scores = q.matmul(k.transpose(-2, -1)).mul(scale);
  const additive = combineMask(scores, mask, o.isCausal ?? false);
  const weights = maskedSoftmax(additive === null ? scores : scores.add(additive));
  return dropout(weights, p, true).matmul(v);
}

/** Attention and, for merging blocks, the logarithm of the sum of the exponentials of every row of scores. */
export function attentionWithLse(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: Omit<AttentionOptions, 'dropoutP'> = {},
): [output: Tensor, lse: Tensor] {
  const { q, k, v, mask, scale } = prepare(query, key, value, options);
  const batch = q.shape.slice(0, -2);
  const rows = (t: Tensor): Tensor => t.reshape([batch.reduce((a, b) => a * b, 1), ...t.shape.slice(-2)]);
  const [out, lse] = torch.attention(rows(q), rows(k), rows(v), mask === null ? null : rows(mask), {
    scale,
    causal: options.isCausal ?? false,
  });
  return [out.reshape([...batch, ...out.shape.slice(-2)]), lse.reshape([...batch, q.shape.at(-2)!])];
}

interface Prepared {
  q: Tensor;
  k: Tensor;
  v: Tensor;
  mask: Tensor | null;
  scale: number;
}

/** Checks the operands, repeats shared heads, broadcasts batch dimensions, makes the mask additive. */
function prepare(query: Tensor, key: Tensor, value: Tensor, o: AttentionOptions): Prepared {
  const op = 'scaledDotProductAttention';
  const all = [query, key, value];
  if (all.some((t) => t.shape.length < 2)) throw cannot(op, all, 'wanted at least 2 dimensions');
  if (query.dtype !== key.dtype || query.dtype !== value.dtype) throw cannot(op, all, 'the dtypes differ');
  if (query.shape.at(-1) !== key.shape.at(-1))
    throw cannot(op, all, `queries are ${query.shape.at(-1)} wide and keys ${key.shape.at(-1)}`);
  if (key.shape.at(-2) !== value.shape.at(-2))
    throw cannot(op, all, `there are ${key.shape.at(-2)} keys and ${value.shape.at(-2)} values`);
  if (o.isCausal && o.attnMask)
    throw cannot(op, all, 'attnMask and isCausal exclude each other', 'put the causal part into attnMask');
  let k = key;
  let v = value;
  if (o.enableGqa) {
    const heads = query.shape.at(-3);
    const repeat = (t: Tensor, what: string): Tensor => {
      const shared = t.shape.at(-3);
      if (heads === undefined || shared === undefined || shared === 0 || heads % shared !== 0) {
        throw cannot(op, all, `${heads ?? 0} query heads are not a multiple of ${shared ?? 0} ${what} heads`);
      }
      return heads === shared ? t : t.repeatInterleave(heads / shared, -3);
    };
    k = repeat(k, 'key');
    v = repeat(v, 'value');
  }
  const batch = broadcastBatch(op, all, [query, k, v]);
  const spread = (t: Tensor): Tensor =>
    t.shape.length - 2 === batch.length && batch.every((n, i) => n === t.shape[i])
      ? t
      : t.expand([...batch, ...t.shape.slice(-2)]);
  const mask = o.attnMask
    ? additiveMask(op, o.attnMask, query, [...batch, query.shape.at(-2)!, key.shape.at(-2)!])
    : null;
  const width = query.shape.at(-1)!;
  return { q: spread(query), k: spread(k), v: spread(v), mask, scale: o.scale ?? 1 / Math.sqrt(width) };
}

function broadcastBatch(op: string, shown: readonly Tensor[], tensors: readonly Tensor[]): number[] {
  const rank = Math.max(...tensors.map((t) => t.shape.length - 2));
  const batch = Array.from({ length: rank }, () => 1);
  for (const t of tensors) {
    const own = t.shape.slice(0, -2);
    for (const [i, n] of own.entries()) {
      const at = rank - own.length + i;
      if (n === 1 || n === batch[at]) continue;
      if (batch[at] !== 1)
        throw cannot(
          op,
          shown,
          'batch and head dimensions do not match',
          'pass { enableGqa: true } when query heads share key and value heads',
        );
      batch[at] = n;
    }
  }
  return batch;
}

function additiveMask(op: string, mask: Tensor, query: Tensor, scores: readonly number[]): Tensor {
  const offset = scores.length - mask.shape.length;
  if (offset < 0 || mask.shape.some((n, i) => n !== 1 && n !== scores[offset + i])) {
    throw cannot(op, [query, mask], `the mask does not broadcast to the scores [${scores.join(', ')}]`);
  }
  if (mask.dtype === torch.bool) {
    return torch
      .zeros(mask.shape, { dtype: query.dtype, device: query.device })
      .maskedFill(mask.logicalNot(), Number.NEGATIVE_INFINITY)
      .expand(scores);
  }
  if (mask.dtype !== query.dtype)
    throw cannot(op, [query, mask], 'the mask is neither bool nor of the dtype of the queries');
  return mask.expand(scores);
}

function combineMask(scores: Tensor, mask: Tensor | null, causal: boolean): Tensor | null {
  if (!causal) return mask;
  const [n, m] = scores.shape.slice(-2) as [number, number];
  const hidden = torch.ones([n, m], { dtype: torch.bool, device: scores.device }).tril().logicalNot();
  return torch
    .zeros([n, m], { dtype: scores.dtype, device: scores.device })
    .maskedFill(hidden, Number.NEGATIVE_INFINITY);
}

/** Softmax of the rows; a row that is all -inf is all 0 instead of nan. */
function maskedSoftmax(scores: Tensor): Tensor {
  const blocked = scores.eq(Number.NEGATIVE_INFINITY).all(-1, { keepdim: true });
  return torch.softmax(scores, -1).maskedFill(blocked, 0);
}

export interface VarlenOptions {
  isCausal?: boolean;
  scale?: number | null;
  enableGqa?: boolean;
}

/**
 * Attention over sequences of different lengths packed without padding: query [total, heads, width], and sequence i
 * are the rows `cuSeqlensQ[i]` to `cuSeqlensQ[i + 1]`. Returns the output in the same packing and lse [heads, total].
 */
export function varlenAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  cuSeqlensQ: readonly number[] | Tensor,
  cuSeqlensK: readonly number[] | Tensor = cuSeqlensQ,
  options: VarlenOptions = {},
): [output: Tensor, lse: Tensor] {
  const boundsQ = bounds('varlenAttention', cuSeqlensQ, query.shape[0]!);
  const boundsK = bounds('varlenAttention', cuSeqlensK, key.shape[0]!);
  if (boundsQ.length !== boundsK.length) {
    throw new ShardbookError({
      code: 'SB_NN_ARGUMENT',
      message: `Cannot run varlenAttention: ${boundsQ.length - 1} sequences of queries and ${boundsK.length - 1} of keys`,
    });
  }
  const outputs: Tensor[] = [];
  const sums: Tensor[] = [];
  for (let i = 0; i + 1 < boundsQ.length; i++) {
    const part = (t: Tensor, b: readonly number[]): Tensor =>
      t.narrow(0, b[i]!, b[i + 1]! - b[i]!).transpose(0, 1);
    const [output, lse] = attentionWithLse(
      part(query, boundsQ),
      part(key, boundsK),
      part(value, boundsK),
      options,
    );
    outputs.push(output.transpose(0, 1));
    sums.push(lse);
  }
  return [torch.cat(outputs, 0), torch.cat(sums, 1)];
}

function bounds(op: string, given: readonly number[] | Tensor, total: number): number[] {
  const list = Array.isArray(given)
    ? (given as number[])
    : ((given as Tensor).tolist() as (number | bigint)[]).map(Number);
  const ordered = list.every((n, i) => i === 0 || n >= list[i - 1]!);
  if (list[0] === 0 && list.at(-1) === total && ordered) return list;
  throw new ShardbookError({
    code: 'SB_NN_ARGUMENT',
    message: `Cannot run ${op}: cumulative lengths are [${list.join(', ')}], wanted ascending from 0 to ${total}`,
  });
}

export interface MultiHeadAttentionArgs {
  numHeads: number;
  inProjWeight: Tensor | null;
  inProjBias: Tensor | null;
  qProjWeight?: Tensor | null;
  kProjWeight?: Tensor | null;
  vProjWeight?: Tensor | null;
  biasK?: Tensor | null;
  biasV?: Tensor | null;
  addZeroAttn?: boolean;
  dropoutP?: number;
  outProjWeight: Tensor;
  outProjBias: Tensor | null;
  training?: boolean;
  keyPaddingMask?: Tensor | null;
  needWeights?: boolean;
  attnMask?: Tensor | null;
  averageAttnWeights?: boolean;
  isCausal?: boolean;
}

/** Multi-head attention on [length, batch, width] (or [length, width]); returns the output and, if wanted, the weights. */
export function multiHeadAttentionForward(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  o: MultiHeadAttentionArgs,
): [Tensor, Tensor | null] {
  const op = 'multiHeadAttention';
  const batched = query.shape.length === 3;
  if (
    (query.shape.length !== 3 && query.shape.length !== 2) ||
    key.shape.length !== query.shape.length ||
    value.shape.length !== query.shape.length
  ) {
    throw cannot(op, [query, key, value], 'wanted all of 2 (no batch) or all of 3 dimensions');
  }
  if (!batched) {
    const [out, weights] = multiHeadAttentionForward(
      query.unsqueeze(1),
      key.unsqueeze(1),
      value.unsqueeze(1),
      {
        ...o,
        keyPaddingMask: o.keyPaddingMask?.unsqueeze(0) ?? null,
      },
    );
    return [out.squeeze(1), weights === null ? null : weights.squeeze(0)];
  }
  const [tgt, bsz, embed] = query.shape as [number, number, number];
  const headDim = embed / o.numHeads;
  if (key.shape[0] !== value.shape[0] || key.shape[1] !== value.shape[1])
    throw cannot(op, [key, value], 'keys and values differ in length or batch');
  const [q0, k0, v0] = inProjection(query, key, value, o, embed);
  let k = k0;
  let v = v0;
  let attnMask = o.attnMask ? floatMask(op, o.attnMask, query, 'attnMask') : null;
  let keyPadding = o.keyPaddingMask ? floatMask(op, o.keyPaddingMask, query, 'keyPaddingMask') : null;
  if (attnMask === null && o.isCausal) {
    throw cannot(op, [query], 'isCausal is only a hint about attnMask', 'pass attnMask as well');
  }
  if (attnMask !== null) {
    const length = key.shape[0]!;
    const shape = attnMask.shape.length === 2 ? [tgt, length] : [bsz * o.numHeads, tgt, length];
    if (
      attnMask.shape.length > 3 ||
      attnMask.shape.length < 2 ||
      attnMask.shape.some((n, i) => n !== shape[i])
    ) {
      throw cannot(
        op,
        [query, attnMask],
        `attnMask has the shape [${tgt}, ${length}] or [${bsz * o.numHeads}, ${tgt}, ${length}]`,
      );
    }
    if (attnMask.shape.length === 2) attnMask = attnMask.unsqueeze(0);
  }
  const padRight = (mask: Tensor | null, n: number): Tensor | null =>
    mask === null
      ? null
      : torch.cat([mask, torch.zeros([...mask.shape.slice(0, -1), n], { dtype: mask.dtype })], -1);
  if (o.biasK && o.biasV) {
    k = torch.cat([k, o.biasK.expand([1, bsz, embed])], 0);
    v = torch.cat([v, o.biasV.expand([1, bsz, embed])], 0);
    attnMask = padRight(attnMask, 1);
    keyPadding = padRight(keyPadding, 1);
  }
  const heads = (t: Tensor): Tensor => t.reshape([t.shape[0]!, bsz * o.numHeads, headDim]).transpose(0, 1);
  const qh = heads(q0);
  let kh = heads(k);
  let vh = heads(v);
  if (o.addZeroAttn) {
    const zeros = torch.zeros([bsz * o.numHeads, 1, headDim], { dtype: kh.dtype, device: kh.device });
    kh = torch.cat([kh, zeros], 1);
    vh = torch.cat([vh, zeros], 1);
    attnMask = padRight(attnMask, 1);
    keyPadding = padRight(keyPadding, 1);
  }
  const src = kh.shape[1]!;
  if (keyPadding !== null) {
    if (keyPadding.shape.length !== 2 || keyPadding.shape[0] !== bsz || keyPadding.shape[1] !== src) {
      throw cannot(op, [key, keyPadding], `keyPaddingMask has the shape [${bsz}, ${src}]`);
    }
    const spread = keyPadding
      .reshape([bsz, 1, 1, src])
      .expand([bsz, o.numHeads, 1, src])
      .reshape([bsz * o.numHeads, 1, src]);
    attnMask = attnMask === null ? spread : attnMask.add(spread);
  }
  const p = o.training === false ? 0 : (o.dropoutP ?? 0);
  const project = (rows: Tensor): Tensor =>
    linear(rows.reshape([tgt * bsz, embed]), o.outProjWeight, o.outProjBias).reshape([tgt, bsz, embed]);
  if (o.needWeights ?? true) {
    const scores = qh.mul(Math.sqrt(1 / headDim)).bmm(kh.transpose(-2, -1));
    let weights = torch.softmax(attnMask === null ? scores : scores.add(attnMask), -1);
    if (p > 0) weights = dropout(weights, p, true);
    const out = project(weights.bmm(vh).transpose(0, 1).contiguous());
    const perHead = weights.reshape([bsz, o.numHeads, tgt, src]);
    return [out, (o.averageAttnWeights ?? true) ? perHead.mean(1) : perHead];
  }
  const mask4 =
    attnMask === null
      ? null
      : attnMask.shape[0] === 1
        ? attnMask.unsqueeze(0)
        : attnMask.reshape([bsz, o.numHeads, -1, src]);
  const split = (t: Tensor): Tensor => t.reshape([bsz, o.numHeads, t.shape[1]!, headDim]);
  const out = scaledDotProductAttention(split(qh), split(kh), split(vh), { attnMask: mask4, dropoutP: p });
  return [project(out.permute([2, 0, 1, 3]).contiguous()), null];
}

/** The three projections at once when query, key and value are the same tensor. */
function inProjection(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  o: MultiHeadAttentionArgs,
  embed: number,
): [Tensor, Tensor, Tensor] {
  const bias = o.inProjBias;
  const biases: (Tensor | null)[] = bias === null ? [null, null, null] : bias.chunk(3, 0);
  if (o.inProjWeight === null) {
    const weights = [o.qProjWeight, o.kProjWeight, o.vProjWeight] as [Tensor, Tensor, Tensor];
    return [
      linear(query, weights[0], biases[0]),
      linear(key, weights[1], biases[1]),
      linear(value, weights[2], biases[2]),
    ];
  }
  if (
    query.shape.at(-1) !== embed ||
    key.shape.at(-1) !== o.inProjWeight.shape[1] ||
    value.shape.at(-1) !== o.inProjWeight.shape[1]
  ) {
    throw cannot('multiHeadAttention', [query, key, value], `wanted tensors ${o.inProjWeight.shape[1]} wide`);
  }
  if (query === key && key === value)
    return linear(query, o.inProjWeight, bias).chunk(3, -1) as [Tensor, Tensor, Tensor];
  const [wq, wk, wv] = o.inProjWeight.chunk(3, 0) as [Tensor, Tensor, Tensor];
  return [linear(query, wq, biases[0]), linear(key, wk, biases[1]), linear(value, wv, biases[2])];
}

/** A mask that is added to scores: boolean masks say with true what is left out. */
function floatMask(op: string, mask: Tensor, query: Tensor, name: string): Tensor {
  if (mask.dtype === torch.bool) {
    return torch
      .zeros(mask.shape, { dtype: query.dtype, device: query.device })
      .maskedFill(mask, Number.NEGATIVE_INFINITY);
  }
  if (!mask.dtype.isFloatingPoint)
    throw cannot(op, [query, mask], `${name} is neither bool nor floating point`);
  return mask;
}
