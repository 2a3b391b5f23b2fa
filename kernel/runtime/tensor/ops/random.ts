/** Random tensors: factories, in-place fills and draws. */
import { encoder, isSmallFloat, type TypedArray } from '../../base/index.js';
import { activeModes, applyInplace, applyOp } from '../dispatch.js';
import { bfloat16, type DType, float16, float32, float64, getDefaultDtype, iinfo, int64 } from '../dtype.js';
import { opError } from '../errors.js';
import { alloc, allocStrided, cast, contiguous } from '../kernels/common.js';
import { none } from '../opnames.js';
import {
  drawMultinomial,
  fillBernoulli,
  fillBernoulliFrom,
  fillCauchy,
  fillExponential,
  fillGeometric,
  fillIntegers,
  fillLogNormal,
  fillNormal,
  fillRandom,
  fillUniform,
  type IntegerValues,
  permutation,
  type RandomDtype,
  type RandomFloat,
  type RandomStream,
  type Values,
} from '../random/index.js';
import { broadcastShapes, contiguousStrides, denseOrder, type Shape } from '../shape.js';
import { noGrad, state as tensorState } from '../state.js';
import { type Device, Tensor } from '../tensor.js';
import { defaultGenerator, Generator } from './generator.js';

// ---------------------------------------------------------------- arguments

export interface GeneratorOption {
  generator?: Generator | null | undefined;
}

export interface RandomOptions extends GeneratorOption {
  dtype?: DType | null | undefined;
  device?: Device | null | undefined;
  requiresGrad?: boolean | undefined;
}

type SizeArgs =
  | [size: Shape, options?: RandomOptions]
  | [...sizes: number[]]
  | [...sizes: (number | RandomOptions)[]];

function streamOf(op: string, options: GeneratorOption | undefined): RandomStream {
  const generator = options?.generator ?? defaultGenerator;
  if (!(generator instanceof Generator)) throw opError(op, [], 'the generator is not a torch.Generator');
  return generator.stream;
}

/** `rand([2, 3], options)` or `rand(2, 3, options)`. */
function sizeArgs(op: string, args: readonly unknown[]): [Shape, RandomOptions] {
  const rest = [...args];
  const last = rest.at(-1);
  const named = typeof last === 'object' && last !== null && !Array.isArray(last);
  const options = (named ? rest.pop() : {}) as RandomOptions;
  while (rest.length > 0 && rest.at(-1) === undefined) rest.pop();
  const size = (Array.isArray(rest[0]) ? rest[0] : rest) as number[];
  for (const n of size) {
    if (!Number.isInteger(n) || n < 0)
      throw opError(op, [], `a size is ${String(n)}: expected integers of at least 0`);
  }
  return [size, options];
}

function floatName(op: string, dtype: DType, inputs: readonly Tensor[] = []): RandomFloat {
  if (dtype === float32 || dtype === float64 || dtype === float16 || dtype === bfloat16)
    return dtype.name as RandomFloat;
  throw opError(
    op,
    inputs,
    `${dtype.name} cannot hold its values: expected float32, float64, float16 or bfloat16`,
    'draw in float32 and convert',
    'SB_DTYPE',
  );
}

function check(ok: boolean, op: string, inputs: readonly Tensor[], problem: string): void {
  if (!ok) throw opError(op, inputs, problem);
}

function finish(out: Tensor, options: RandomOptions): Tensor {
  if (options.requiresGrad) out.requiresGrad = true;
  return out;
}

// ---------------------------------------------------------------- memory

/** New memory laid out as `x` where x is dense, else row major: its order is the order of the draws. */
function memoryLike(x: Tensor, dtype = x.dtype, device: Device = x.device): Tensor {
  const dense = denseOrder(x.shape, x.strides) !== null;
  return allocStrided(x.shape, dense ? x.strides : contiguousStrides(x.shape), dtype, device);
}

/** Writes values that `dtype` holds exactly into fresh memory. */
function store(target: Tensor, values: ArrayLike<number>): void {
  const memory = target.storage.as(target.dtype);
  if (memory instanceof BigInt64Array) {
    for (let i = 0; i < memory.length; i++) memory[i] = BigInt(values[i]!);
  } else if (isSmallFloat(target.dtype.name)) {
    const encode = encoder(target.dtype.name);
    for (let i = 0; i < memory.length; i++) memory[i] = encode(values[i]!);
  } else (memory as Exclude<TypedArray, BigInt64Array>).set(values);
}

/** Draws floats into fresh memory. */
function drawFloats(target: Tensor, draw: (out: Values) => void): Tensor {
  const memory = target.storage.as(target.dtype);
  if (memory instanceof Float32Array || memory instanceof Float64Array) draw(memory);
  else {
    const values = new Float32Array(memory.length);
    draw(values);
    store(target, values);
  }
  return target;
}

/** Replaces the content of `x` by what `draw` makes in memory of the same layout: one write, with its gradient and version. */
function overwrite(x: Tensor, draw: (target: Tensor) => void): Tensor {
  if (x.isMeta) return x;
  // Of a distributed tensor every rank draws its own part.
  const part = x.localPart();
  const target = memoryLike(part, x.dtype, 'cpu');
  const drawn = x.withLocalPart(target, true);
  if (part.numel() > 0) draw(target);
  const result = applyInplace('copy', [x, drawn], none);
  // Only a mode can have seen it; a model's parameters are drawn one after the other, and new memory costs page faults.
  if (activeModes().length === 0) target.storage.recycle();
  return result;
}

/** Whether this rank holds a part of x only. */
const isSpread = (x: Tensor): boolean => x.constructor !== Tensor && x.localPart() !== x;

// ---------------------------------------------------------------- factories

function factory(
  op: string,
  args: readonly unknown[],
  draw: (out: Values, dtype: RandomFloat, stream: RandomStream) => void,
): Tensor {
  const [size, options] = sizeArgs(op, args);
  const dtype = options.dtype ?? getDefaultDtype();
  const name = floatName(op, dtype);
  const out = alloc(size, dtype, options.device ?? tensorState.defaultDevice);
  const stream = streamOf(op, options);
  if (!out.isMeta && out.numel() > 0) drawFloats(out, (values) => draw(values, name, stream));
  return finish(out, options);
}

/** Uniform numbers in [0, 1). */
export function rand(...args: SizeArgs): Tensor {
  return factory('rand', args, (values, dtype, stream) => fillUniform(stream, values, dtype));
}

/** Standard normal numbers. */
export function randn(...args: SizeArgs): Tensor {
  return factory('randn', args, (values, dtype, stream) => fillNormal(stream, values, dtype));
}

function likeFactory(
  op: string,
  x: Tensor,
  options: RandomOptions,
  draw: (out: Values, dtype: RandomFloat, stream: RandomStream, contiguous: boolean) => void,
): Tensor {
  if (isSpread(x)) return x.withLocalPart(likeFactory(op, x.localPart(), options, draw));
  const dtype = options.dtype ?? x.dtype;
  const name = floatName(op, dtype, [x]);
  const out = memoryLike(x, dtype, options.device ?? x.device);
  const stream = streamOf(op, options);
  if (!out.isMeta && out.numel() > 0)
    drawFloats(out, (values) => draw(values, name, stream, out.isContiguous()));
  return finish(out, options);
}

/** Uniform numbers in [0, 1) of x's shape and type. */
export function randLike(x: Tensor, options: RandomOptions = {}): Tensor {
  return likeFactory('randLike', x, options, (values, dtype, stream) => fillUniform(stream, values, dtype));
}

/** Standard normal numbers of x's shape and type. */
export function randnLike(x: Tensor, options: RandomOptions = {}): Tensor {
  return likeFactory('randnLike', x, options, (values, dtype, stream, inOrder) =>
    fillNormal(stream, values, dtype, 0, 1, inOrder),
  );
}

function drawIntegers(
  op: string,
  target: Tensor,
  low: number | bigint,
  high: number | bigint,
  stream: RandomStream,
): Tensor {
  const { dtype } = target;
  const from = BigInt(low);
  const to = BigInt(high);
  check(
    from < to,
    op,
    [],
    `the range from ${from} to ${to} is empty: expected the lower bound below the upper one`,
  );
  if (dtype.category !== 'float') {
    const [min, max] = dtype.category === 'bool' ? [0n, 1n] : [iinfo(dtype).min, iinfo(dtype).max];
    check(
      from >= min && to - 1n <= max,
      op,
      [],
      `the range from ${from} to ${to} does not fit in ${dtype.name}`,
    );
  } else floatName(op, dtype);
  if (target.isMeta || target.numel() === 0) return target;
  const name = dtype.name as RandomDtype;
  const memory = target.storage.as(dtype);
  if (isSmallFloat(dtype.name)) {
    const values = new Float32Array(memory.length);
    fillIntegers(stream, values, name, from, to);
    store(target, values);
  } else fillIntegers(stream, memory as IntegerValues, name, from, to);
  return target;
}

type Integer = number | bigint;

/** Integers from `low` (0 if left out) up to, not including, `high`. */
export function randint(high: Integer, size: Shape, options?: RandomOptions): Tensor;
export function randint(low: Integer, high: Integer, size: Shape, options?: RandomOptions): Tensor;
export function randint(...args: readonly unknown[]): Tensor {
  const [low, high, size, options] = (Array.isArray(args[1]) ? [0, ...args] : args) as [
    Integer,
    Integer,
    Shape,
    RandomOptions?,
  ];
  const [shape] = sizeArgs('randint', [size]);
  const out = alloc(shape, options?.dtype ?? int64, options?.device ?? tensorState.defaultDevice);
  return finish(drawIntegers('randint', out, low, high, streamOf('randint', options)), options ?? {});
}

/** Integers of x's shape and type. */
export function randintLike(x: Tensor, high: Integer, options?: RandomOptions): Tensor;
export function randintLike(x: Tensor, low: Integer, high: Integer, options?: RandomOptions): Tensor;
export function randintLike(x: Tensor, ...args: readonly unknown[]): Tensor {
  if (isSpread(x)) return x.withLocalPart(randintLike(x.localPart(), ...(args as [Integer])));
  const given = typeof args[1] === 'number' || typeof args[1] === 'bigint' ? args : [0, ...args];
  const [low, high, options] = given as [Integer, Integer, RandomOptions?];
  const out = memoryLike(x, options?.dtype ?? x.dtype, options?.device ?? x.device);
  return finish(drawIntegers('randintLike', out, low, high, streamOf('randintLike', options)), options ?? {});
}

/** The integers 0 .. n-1 in random order. */
export function randperm(n: number, options: RandomOptions = {}): Tensor {
  check(Number.isInteger(n) && n >= 0, 'randperm', [], `n is ${n}: expected an integer of at least 0`);
  const out = alloc([n], options.dtype ?? int64, options.device ?? tensorState.defaultDevice);
  const stream = streamOf('randperm', options);
  if (!out.isMeta) store(out, permutation(stream, n));
  return finish(out, options);
}

/** Normal numbers; mean and std may be tensors, one for each element. */
export function normal(mean: number | Tensor, std: number | Tensor = 1, ...rest: readonly unknown[]): Tensor {
  const options = (rest.find((r) => typeof r === 'object' && r !== null && !Array.isArray(r)) ??
    {}) as RandomOptions;
  if (typeof mean === 'number' && typeof std === 'number') {
    const [size] = sizeArgs('normal', [(rest[0] as number[] | undefined) ?? []]);
    const out = alloc(size, options.dtype ?? getDefaultDtype(), options.device ?? tensorState.defaultDevice);
    return finish(normal_(out, mean, std, options), options);
  }
  const tensors = [mean, std].filter((v): v is Tensor => v instanceof Tensor);
  const shape = broadcastShapes(
    tensors.map((t) => t.shape),
    () => `run "normal": ${tensors.map((t) => t.describe()).join(' and ')}`,
  );
  const out = alloc(shape, tensors[0]!.dtype, tensors[0]!.device);
  if (typeof std === 'number')
    return applyInplace('add', [normal_(out, 0, std, options), mean as Tensor], { alpha: 1 });
  if (!std.isMeta)
    check(
      readFloats(std).every((s) => !(s < 0)),
      'normal',
      tensors,
      'std has a negative element',
    );
  normal_(out, 0, 1, options);
  applyInplace('mul', [out, std], none);
  if (mean instanceof Tensor) return applyInplace('add', [out, mean], { alpha: 1 });
  const shift = alloc([], out.dtype === float64 ? float64 : float32, 'cpu');
  shift.storage.as(shift.dtype)[0] = mean;
  return applyInplace('add', [out, shift], { alpha: 1 });
}

// ---------------------------------------------------------------- in place

/** A number, or the options in its place when the numbers are left out. */
type Fill = number | GeneratorOption;

/** Fills x with uniform numbers in [from, to). */
export function uniform_(x: Tensor, from: Fill = 0, to: Fill = 1, options: GeneratorOption = {}): Tensor {
  const [a, b] = bounds(from, to, options, ['from', 'to'], [0, 1]);
  const name = floatName('uniform_', x.dtype, [x]);
  check(a <= b, 'uniform_', [x], `the range from ${a} to ${b} is empty: expected from <= to`);
  const stream = streamOf('uniform_', pick(from, to, options));
  return overwrite(x, (target) => drawFloats(target, (values) => fillUniform(stream, values, name, a, b)));
}

/** The options among arguments any of which may be the last given. */
function pick(...args: readonly unknown[]): GeneratorOption {
  for (const arg of args) {
    if (typeof arg === 'object' && arg !== null && 'generator' in arg) return arg as GeneratorOption;
  }
  return {};
}

/** Fills x with normal numbers. */
export function normal_(x: Tensor, mean: Fill = 0, std: Fill = 1, options: GeneratorOption = {}): Tensor {
  const [m, s] = bounds(mean, std, options, ['mean', 'std'], [0, 1]);
  const name = floatName('normal_', x.dtype, [x]);
  check(s >= 0, 'normal_', [x], `std is ${s}: expected at least 0`);
  const stream = streamOf('normal_', pick(mean, std, options));
  const inOrder = x.isContiguous();
  return overwrite(x, (target) =>
    drawFloats(target, (values) => fillNormal(stream, values, name, m, s, inOrder)),
  );
}

/** Two numbers by position or by name. */
function bounds(
  first: Fill,
  second: Fill,
  options: GeneratorOption,
  names: readonly [string, string],
  defaults: readonly [number, number],
): [number, number] {
  const bag: Record<string, unknown> = {};
  for (const arg of [first, second, options])
    if (typeof arg === 'object' && arg !== null) Object.assign(bag, arg);
  const value = (given: Fill, i: 0 | 1): number => {
    if (typeof given === 'number') return given;
    const byName = bag[names[i]];
    return typeof byName === 'number' ? byName : defaults[i];
  };
  return [value(first, 0), value(second, 1)];
}

/** Fills x with exponential numbers of rate `lambd`. */
export function exponential_(x: Tensor, lambd: Fill = 1, options: GeneratorOption = {}): Tensor {
  const [rate] = bounds(lambd, options, options, ['lambd', ''], [1, 0]);
  const name = floatName('exponential_', x.dtype, [x]);
  check(rate > 0, 'exponential_', [x], `lambd is ${rate}: expected above 0`);
  const stream = streamOf('exponential_', pick(lambd, options));
  return overwrite(x, (target) =>
    drawFloats(target, (values) => fillExponential(stream, values, name, rate)),
  );
}

/** Fills x with numbers of trials up to the first success. */
export function geometric_(x: Tensor, p: number, options: GeneratorOption = {}): Tensor {
  check(p > 0 && p < 1, 'geometric_', [x], `p is ${p}: expected between 0 and 1`);
  const stream = streamOf('geometric_', options);
  return overwrite(x, (target) => {
    const values = new Float64Array(target.numel());
    fillGeometric(stream, values, p);
    store(target, values);
  });
}

/** Fills x with Cauchy numbers. */
export function cauchy_(x: Tensor, median: Fill = 0, sigma: Fill = 1, options: GeneratorOption = {}): Tensor {
  const [m, s] = bounds(median, sigma, options, ['median', 'sigma'], [0, 1]);
  const name = floatName('cauchy_', x.dtype, [x]);
  check(s > 0, 'cauchy_', [x], `sigma is ${s}: expected above 0`);
  const stream = streamOf('cauchy_', pick(median, sigma, options));
  return overwrite(x, (target) => drawFloats(target, (values) => fillCauchy(stream, values, name, m, s)));
}

/** Fills x with exponentials of normal numbers. */
export function logNormal_(x: Tensor, mean: Fill = 1, std: Fill = 2, options: GeneratorOption = {}): Tensor {
  const [m, s] = bounds(mean, std, options, ['mean', 'std'], [1, 2]);
  const name = floatName('logNormal_', x.dtype, [x]);
  check(s > 0, 'logNormal_', [x], `std is ${s}: expected above 0`);
  const stream = streamOf('logNormal_', pick(mean, std, options));
  return overwrite(x, (target) => drawFloats(target, (values) => fillLogNormal(stream, values, name, m, s)));
}

/** Fills x with integers: all that the type holds exactly, or `random_(to)`, or `random_(from, to)`. */
export function random_(
  x: Tensor,
  ...args: readonly (Integer | GeneratorOption | null | undefined)[]
): Tensor {
  const given = args.filter((a): a is Integer => typeof a === 'number' || typeof a === 'bigint');
  const stream = streamOf('random_', pick(...args));
  if (given.length > 0) {
    const [low, high] = given.length === 1 ? [0, given[0]!] : [given[0]!, given[1]!];
    return overwrite(x, (target) => void drawIntegers('random_', target, low, high, stream));
  }
  if (x.dtype.category === 'float') floatName('random_', x.dtype, [x]);
  return overwrite(x, (target) => {
    const memory = target.storage.as(target.dtype);
    const name = target.dtype.name as RandomDtype;
    if (isSmallFloat(target.dtype.name)) {
      const values = new Float32Array(memory.length);
      fillRandom(stream, values, name);
      store(target, values);
    } else fillRandom(stream, memory as IntegerValues, name);
  });
}

// ---------------------------------------------------------------- choices

/** Elements in row-major order as doubles. */
function readFloats(x: Tensor): Float64Array {
  const flat = cast(contiguous(x), float64);
  return (flat.storage.as(float64) as Float64Array).subarray(
    flat.storageOffset,
    flat.storageOffset + flat.numel(),
  );
}

function checkProbability(op: string, p: number, inputs: readonly Tensor[]): void {
  check(p >= 0 && p <= 1, op, inputs, `a probability is ${p}: expected between 0 and 1`);
}

/** Probabilities broadcast to a layout, read in the order of its memory. */
function probabilitiesFor(op: string, target: Tensor, p: Tensor): Float64Array {
  floatName(op, p.dtype, [p]);
  const spread = allocStrided(target.shape, target.strides, float64, 'cpu');
  applyInplace('copy', [spread, p.requiresGrad ? applyOp('detach', [p], none) : p], none);
  const values = spread.storage.as(float64) as Float64Array;
  for (const value of values) checkProbability(op, value, [p]);
  return values;
}

/** Fills x with 0 and 1; 1 with probability p, a number or a tensor. */
export function bernoulli_(
  x: Tensor,
  p: number | Tensor | GeneratorOption = 0.5,
  options: GeneratorOption = {},
): Tensor {
  const stream = streamOf('bernoulli_', pick(p, options));
  const chance = typeof p === 'number' || p instanceof Tensor ? p : ((p as { p?: number }).p ?? 0.5);
  if (typeof chance === 'number') checkProbability('bernoulli_', chance, [x]);
  return overwrite(x, (target) => {
    const values = new Uint8Array(target.numel());
    if (typeof chance === 'number') fillBernoulli(stream, values, chance);
    else
      fillBernoulliFrom(
        stream,
        values,
        probabilitiesFor('bernoulli_', target, chance.localPart()),
        chance.dtype.name as RandomFloat,
      );
    store(target, values);
  });
}

/** 0 and 1 with x's elements as probabilities, or with the number p. */
export function bernoulli(
  x: Tensor,
  p?: number | GeneratorOption | null,
  options: GeneratorOption = {},
): Tensor {
  if (isSpread(x)) {
    // A copy has nothing pending: its parts are probabilities.
    const whole = noGrad(() => x.clone());
    return whole.withLocalPart(bernoulli(whole.localPart(), p, options));
  }
  const out = memoryLike(x);
  const generator = pick(p, options);
  const named = typeof p === 'object' && p !== null ? (p as { p?: number }).p : p;
  if (typeof named === 'number') return bernoulli_(out, named, generator);
  return bernoulli_(out, x, generator);
}

export interface MultinomialOptions extends GeneratorOption {
  replacement?: boolean | undefined;
}

/** Indices drawn with the rows of `weights` as (unnormalised) probabilities. */
export function multinomial(
  weights: Tensor,
  numSamples: number,
  replacement: boolean | MultinomialOptions = false,
  options: MultinomialOptions = {},
): Tensor {
  const op = 'multinomial';
  const o = typeof replacement === 'object' ? replacement : { replacement, ...options };
  const repeat = o.replacement ?? false;
  const name = floatName(op, weights.dtype, [weights]);
  const { shape } = weights;
  check(shape.length === 1 || shape.length === 2, op, [weights], 'the weights must have 1 or 2 dimensions');
  const size = shape.at(-1)!;
  const rows = shape.length === 2 ? shape[0]! : 1;
  check(
    Number.isInteger(numSamples) && numSamples > 0,
    op,
    [weights],
    `${numSamples} samples: expected at least 1`,
  );
  check(
    repeat || numSamples <= size,
    op,
    [weights],
    `${numSamples} samples without replacement from ${size} categories`,
  );
  const out = alloc(shape.length === 2 ? [rows, numSamples] : [numSamples], int64, weights.device);
  if (out.isMeta || rows === 0) return out;
  const values = readFloats(weights);
  for (let r = 0; r < rows; r++) {
    let sum = 0;
    for (const w of values.subarray(r * size, (r + 1) * size)) {
      check(w >= 0 && w !== Infinity, op, [weights], `a weight is ${w}: expected finite and at least 0`);
      sum += w;
    }
    check(sum > 0, op, [weights], 'the weights of a row add up to 0');
  }
  store(out, drawMultinomial(streamOf(op, o), values, rows, size, numSamples, repeat, name));
  return out;
}
