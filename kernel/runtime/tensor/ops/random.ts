/** Random tensors from PyTorch's CPU generator. */
import { getDefaultDtype, int64, type DType, float32, float64 } from '../dtype.js';
import { opError } from '../errors.js';
import { drawMultinomial, fillBernoulli, fillBernoulliFrom, fillExponential, fillIntegers, fillNormal, fillUniform, permutation, RandomStream, STATE_BYTES, type RandomFloat, type RandomDtype } from '../random/index.js';
import { alloc } from '../kernels/common.js';
import { getBackend, noGrad } from '../state.js';
import type { Tensor } from '../tensor.js';
import { empty, emptyLike, flatValues, fromTypedArray, sizesAndOptions } from './creation.js';
import type { TensorOptions } from './scalar.js';
import { copy_ } from './pointwise.js';
import { uint8 } from '../dtype.js';

/** A stream of random numbers with a state of its own, as torch.Generator. */
export class Generator {
  readonly stream: RandomStream;
  constructor(seed?: number | bigint) {
    this.stream = seed === undefined ? new RandomStream() : new RandomStream(seed);
  }
  manualSeed(seed: number | bigint): this {
    this.stream.reseed(seed);
    return this;
  }
  /** The state as PyTorch saves it: a uint8 tensor. */
  getState(): Tensor {
    return fromTypedArray(this.stream.saveBytes(), [STATE_BYTES], uint8);
  }
  setState(state: Tensor): this {
    this.stream.loadBytes(Uint8Array.from(flatValues(state), Number));
    return this;
  }
  clone(): Generator {
    const g = new Generator(0);
    g.stream.copyFrom(this.stream);
    return g;
  }
}
export const defaultGenerator = new Generator();
export const manualSeed = (seed: number | bigint): Generator => defaultGenerator.manualSeed(seed);
export const getRngState = (): Tensor => defaultGenerator.getState();
export const setRngState = (state: Tensor): void => {
  defaultGenerator.setState(state);
};
/** Runs `body` and puts the default generator back afterwards. */
export function forkRng<R>(body: () => R): R {
  const before = defaultGenerator.clone();
  try {
    return body();
  } finally {
    defaultGenerator.stream.copyFrom(before.stream);
  }
}

export interface RandomOptions extends TensorOptions { generator?: Generator | null | undefined }
type SizeArgs = (number | readonly number[] | RandomOptions)[];
const streamOf = (o: { generator?: Generator | null | undefined }): RandomStream => (o.generator ?? defaultGenerator).stream;

/** Fills in memory order: through a contiguous tensor of the filler's element type. */
function fillWith(x: Tensor, name: string, wide: boolean, body: (out: Float32Array | Float64Array) => void): Tensor {
  if (!x.dtype.isFloatingPoint) throw opError(name, [x], `not defined for ${x.dtype.name}`, undefined, 'SB_DTYPE');
  if (x.isMeta) return x;
  const dtype = wide || x.dtype === float64 ? float64 : float32;
  const out = alloc(x.shape, dtype, 'cpu');
  body(out.storage.as(dtype) as Float32Array);
  copy_(x, out);
  return x;
}
const floatName = (dtype: DType): RandomFloat => dtype.name as RandomFloat;
export const uniform_ = (x: Tensor, low: number | { generator?: Generator } = 0, high = 1, o: RandomOptions = {}): Tensor =>
  typeof low === 'number'
    ? fillWith(x, 'uniform_', false, (v) => fillUniform(streamOf(o), v, floatName(x.dtype), low, high))
    : fillWith(x, 'uniform_', false, (v) => fillUniform(streamOf(low), v, floatName(x.dtype), 0, 1));
export const normal_ = (x: Tensor, mean: number | { generator?: Generator } = 0, std = 1, o: RandomOptions = {}): Tensor =>
  typeof mean === 'number'
    ? fillWith(x, 'normal_', false, (v) => fillNormal(streamOf(o), v, floatName(x.dtype), mean, std))
    : fillWith(x, 'normal_', false, (v) => fillNormal(streamOf(mean), v, floatName(x.dtype), 0, 1));
export const exponential_ = (x: Tensor, rate = 1, o: RandomOptions = {}): Tensor => fillWith(x, 'exponential_', false, (v) => fillExponential(streamOf(o), v, floatName(x.dtype), rate));
export function bernoulli_(x: Tensor, p: number | Tensor = 0.5, o: RandomOptions = {}): Tensor {
  if (x.isMeta) return x;
  const flags = new Float32Array(x.numel());
  if (typeof p === 'number') fillBernoulli(streamOf(o), flags, p);
  else fillBernoulliFrom(streamOf(o), flags, Float64Array.from(flatValues(p), Number), p.dtype.name as RandomFloat);
  return copy_(x, fromTypedArray(flags, x.shape, float32));
}
export const bernoulli = (x: Tensor, p?: number | RandomOptions, o: RandomOptions = {}): Tensor => noGrad(() => bernoulli_(emptyLike(x), typeof p === 'number' ? p : x, typeof p === 'object' ? p : o));

export function rand(...args: SizeArgs): Tensor {
  const [shape, o] = sizesAndOptions(args as never, 'rand') as [number[], RandomOptions];
  return made(shape, o, (t) => uniform_(t, 0, 1, o));
}
export function randn(...args: SizeArgs): Tensor {
  const [shape, o] = sizesAndOptions(args as never, 'randn') as [number[], RandomOptions];
  return made(shape, o, (t) => normal_(t, 0, 1, o));
}
function made(shape: number[], o: RandomOptions, fill: (t: Tensor) => void): Tensor {
  const t = empty(shape, { dtype: o.dtype ?? getDefaultDtype(), device: o.device });
  noGrad(() => fill(t));
  if (o.requiresGrad) t.requiresGrad = true;
  return t;
}
const like = (x: Tensor, o: RandomOptions): RandomOptions => ({ dtype: x.dtype, device: x.device, ...o });
export const randLike = (x: Tensor, o: RandomOptions = {}): Tensor => rand([...x.shape], like(x, o));
export const randnLike = (x: Tensor, o: RandomOptions = {}): Tensor => randn([...x.shape], like(x, o));
export function randint(low: number, high: number | readonly number[], size?: readonly number[] | RandomOptions, options: RandomOptions = {}): Tensor {
  const [a, b, shape, o] = Array.isArray(high)
    ? [0, low, [...high] as number[], ((size as RandomOptions) ?? {}) as RandomOptions]
    : [low, high as number, [...(size as readonly number[])], options];
  const t = empty(shape, { dtype: o.dtype ?? int64, device: o.device });
  return random_(t, a, b, o);
}
export const randintLike = (x: Tensor, low: number, high?: number, o: RandomOptions = {}): Tensor => randint(high === undefined ? 0 : low, high ?? low, [...x.shape], like(x, o));
export function random_(x: Tensor, from: number, to: number, o: RandomOptions = {}): Tensor {
  if (x.isMeta) return x;
  const t = x.isContiguous() ? x : alloc(x.shape, x.dtype, 'cpu');
  const out = x.dtype.isFloatingPoint ? alloc(x.shape, int64, 'cpu') : t;
  const data = out.storage.as(out.dtype).subarray(out.storageOffset, out.storageOffset + out.numel());
  fillIntegers(streamOf(o), data as BigInt64Array, out.dtype.name as RandomDtype, from, to);
  if (out !== x) copy_(x, out);
  else x.versionCounter.value++;
  return x;
}
export function randperm(n: number, o: RandomOptions = {}): Tensor {
  const order = permutation(streamOf(o), n);
  return fromTypedArray(BigInt64Array.from(order, BigInt), [n], int64).to(o.dtype ?? int64);
}
export function normal(mean: number | Tensor, std: number | Tensor, size?: readonly number[] | RandomOptions, o: RandomOptions = {}): Tensor {
  if (typeof mean === 'number' && typeof std === 'number') return made([...(size as readonly number[])], o, (t) => normal_(t, mean, std, o));
  const model = (typeof mean === 'number' ? std : mean) as Tensor;
  const noise = randn([...model.shape], { dtype: model.dtype, ...(size as RandomOptions | undefined) });
  return noise.mul(std).add(mean);
}
export function multinomial(weights: Tensor, count: number, replacement: boolean | (RandomOptions & { replacement?: boolean }) = false, o: RandomOptions = {}): Tensor {
  const options = typeof replacement === 'boolean' ? { ...o, replacement } : replacement;
  const rows = weights.shape.length === 2 ? weights.shape[0]! : 1;
  const out = multinomialRows(streamOf(options), weights, rows, count, options.replacement ?? false);
  return fromTypedArray(out, weights.shape.length === 2 ? [rows, count] : [count], int64);
}
function multinomialRows(stream: RandomStream, weights: Tensor, rows: number, count: number, replacement: boolean): BigInt64Array {
  const values = Float64Array.from(flatValues(weights), Number);
  const drawn = drawMultinomial(stream, values, rows, values.length / rows, count, replacement, weights.dtype.name as RandomFloat);
  return BigInt64Array.from(drawn, (v) => BigInt(v));
}
export { getBackend };
