/** Elementwise kernels: promotion and broadcasting here, arithmetic in the backend. */
import type { BinaryName, CompareName, PredicateName, UnaryName } from '../../backend/backend.js';
import { bool, type DType, float32, float64, getDefaultDtype, int64, promoteTypes } from '../dtype.js';
import { opError } from '../errors.js';
import type { NoParams } from '../opnames.js';
import { contiguousStrides, denseOrder } from '../shape.js';
import { getBackend } from '../state.js';
import type { Tensor } from '../tensor.js';
import {
  alloc,
  allocStrided,
  broadcast,
  cast,
  contiguous,
  deviceOf,
  elementwise,
  floating,
  type KernelOf,
  type KernelTable,
  promote,
  refuseFloat8,
} from './common.js';

/** Defined on integers as well. */
const intUnary: UnaryName[] = [
  'abs',
  'neg',
  'square',
  'relu',
  'sign',
  'ceil',
  'floor',
  'round',
  'trunc',
  'frac',
  'bitwiseNot',
];
const floatUnary: UnaryName[] = [
  'exp',
  'exp2',
  'expm1',
  'log',
  'log2',
  'log10',
  'log1p',
  'sqrt',
  'rsqrt',
  'reciprocal',
  'sin',
  'cos',
  'tan',
  'asin',
  'acos',
  'atan',
  'sinh',
  'cosh',
  'tanh',
  'asinh',
  'acosh',
  'atanh',
  'sigmoid',
  'erf',
  'erfc',
  'erfinv',
  'lgamma',
  'digamma',
  'trigamma',
];
const floatOnlyUnary: UnaryName[] = ['silu', 'mish', 'logsigmoid'];
const predicateNames: PredicateName[] = [
  'isnan',
  'isinf',
  'isfinite',
  'signbit',
  'logicalNot',
  'isposinf',
  'isneginf',
];
const binaryNames: Exclude<BinaryName, 'add' | 'sub'>[] = [
  'mul',
  'div',
  'divFloor',
  'divTrunc',
  'pow',
  'atan2',
  'maximum',
  'minimum',
  'fmax',
  'fmin',
  'remainder',
  'fmod',
  'copysign',
  'hypot',
  'logaddexp',
  'logaddexp2',
  'xlogy',
  'gcd',
  'lcm',
  'bitwiseAnd',
  'bitwiseOr',
  'bitwiseXor',
  'leftShift',
  'rightShift',
  'nextafter',
];
const compareNames: CompareName[] = [
  'eq',
  'ne',
  'lt',
  'le',
  'gt',
  'ge',
  'logicalAnd',
  'logicalOr',
  'logicalXor',
];

const toFloat = new Set<BinaryName>(['div', 'atan2', 'copysign', 'xlogy']);
const floatOnlyBinary = new Set<BinaryName>(['hypot', 'logaddexp', 'logaddexp2', 'nextafter']);
const integral = new Set<BinaryName>([
  'gcd',
  'lcm',
  'bitwiseAnd',
  'bitwiseOr',
  'bitwiseXor',
  'leftShift',
  'rightShift',
]);

const notForBool = new Set<UnaryName>(['abs', 'neg', 'relu', 'ceil', 'floor', 'trunc', 'round']);

function unaryKernel(name: UnaryName, mode: 'int' | 'float' | 'floatOnly'): KernelOf<NoParams> {
  return ([x], _params, out) => {
    const t = x!;
    refuseFloat8(name, [t], t.dtype);
    if (mode === 'floatOnly' && !t.dtype.isFloatingPoint)
      throw opError(
        name,
        [t],
        `not defined for ${t.dtype.name}`,
        'convert with .to(torch.float32)',
        'SB_DTYPE',
      );
    if (t.dtype === bool && notForBool.has(name))
      throw opError(
        name,
        [t],
        'not defined for bool',
        name === 'neg' ? 'use logicalNot' : 'convert to an integer or floating dtype',
        'SB_DTYPE',
      );
    if (name === 'frac' && !t.dtype.isFloatingPoint)
      throw opError(
        name,
        [t],
        `not defined for ${t.dtype.name}`,
        'whole numbers have no fraction',
        'SB_DTYPE',
      );
    if (name === 'bitwiseNot' && t.dtype.isFloatingPoint)
      throw opError(name, [t], `not defined for ${t.dtype.name}`, undefined, 'SB_DTYPE');
    const dtype =
      mode === 'float' ? floating(t.dtype) : name === 'square' && t.dtype === bool ? int64 : t.dtype;
    // Like PyTorch's, whose own kernel writes densely.
    const operand = name === 'logsigmoid' ? contiguous(t) : cast(t, dtype);
    return elementwise([operand], t.shape, dtype, t.device, out, ([a], o) =>
      getBackend().unary(name, a!.nd(), o.nd()),
    );
  };
}

const binaryKernel = (
  name: BinaryName,
  alpha: number | bigint | null,
  given: readonly (Tensor | null)[],
  out: Tensor | null,
): Tensor => {
  const inputs = given as readonly Tensor[];
  let dtype = promote(inputs);
  refuseFloat8(name, inputs, dtype);
  if (toFloat.has(name)) dtype = floating(dtype);
  if (floatOnlyBinary.has(name) && !dtype.isFloatingPoint)
    throw opError(
      name,
      inputs,
      `not defined for ${dtype.name}`,
      'convert with .to(torch.float32)',
      'SB_DTYPE',
    );
  if (integral.has(name) && (dtype.isFloatingPoint || (dtype === bool && !name.startsWith('bitwise')))) {
    throw opError(name, inputs, `not defined for ${dtype.name}`, undefined, 'SB_DTYPE');
  }
  if (dtype === bool && (name === 'pow' || name === 'divFloor' || name === 'divTrunc'))
    throw opError(name, inputs, 'not defined for bool', 'convert to an integer dtype', 'SB_DTYPE');
  if (name === 'sub' && inputs.some((t) => t.dtype === bool))
    throw opError(
      name,
      inputs,
      'subtraction is not defined for bool',
      'use logicalXor or bitwiseXor',
      'SB_DTYPE',
    );
  if (alpha !== null && typeof alpha === 'number' && !Number.isInteger(alpha) && !dtype.isFloatingPoint) {
    throw opError(name, inputs, `alpha ${alpha} is not an integer but the result is ${dtype.name}`);
  }
  const device = deviceOf(name, inputs);
  const shape = broadcast(name, inputs);
  // A number meets small floats in float32 where PyTorch computes with it unrounded.
  const wide = dtype.isReduced && (name === 'mul' || name === 'div');
  const operands = inputs.map((t) =>
    cast(
      t,
      wide &&
        t.shape.length === 0 &&
        shape.length > 0 &&
        t.dtype.name !== 'float16' &&
        t.dtype.name !== 'bfloat16'
        ? float32
        : wide && t.wrapped
          ? float32
          : dtype,
    ),
  );
  if (!dtype.isFloatingPoint && device !== 'meta' && name !== 'maximum') checkInteger(name, inputs, operands);
  return elementwise(operands, shape, dtype, device, out, ([a, b], o) => {
    const backend = getBackend();
    if (name === 'sub')
      backend.axpy(alpha === null || alpha === 1 ? -1 : -(alpha as number), a!.nd(), b!.nd(), o.nd());
    else if (name === 'add' && alpha !== null && alpha !== 1) backend.axpy(alpha, a!.nd(), b!.nd(), o.nd());
    else if (name === 'mul' && dtype === bool) backend.binary('bitwiseAnd', a!.nd(), b!.nd(), o.nd());
    else backend.binary(name, a!.nd(), b!.nd(), o.nd());
  });
};

function checkInteger(name: BinaryName, inputs: readonly Tensor[], [, b]: Tensor[]): void {
  const divides = name === 'divFloor' || name === 'divTrunc' || name === 'remainder' || name === 'fmod';
  if (divides && hasMatch(b!, 'eq'))
    throw opError(
      name,
      inputs,
      'integer division by zero',
      'convert to a floating dtype to get inf and nan',
      'SB_ZERO_DIVISION',
    );
  if (name === 'pow' && inputs[1]!.wrapped && hasMatch(b!, 'lt')) {
    throw opError(
      name,
      inputs,
      'integers to negative integer powers are not allowed',
      'convert to a floating dtype first',
    );
  }
}

/** Whether some element stands in a relation to zero. */
function hasMatch(x: Tensor, op: 'eq' | 'lt'): boolean {
  const backend = getBackend();
  const zero = alloc([], x.dtype, 'cpu');
  const flags = alloc(x.shape, bool, 'cpu');
  backend.compare(op, x.nd(), { ...zero.nd(), shape: x.shape, strides: x.shape.map(() => 0) }, flags.nd());
  const one = alloc([], bool, 'cpu');
  backend.reduce(
    'any',
    flags.nd(),
    flags.shape.map((_, d) => d),
    one.nd(),
  );
  return one.storage.as(bool)[0] !== 0;
}

function compareKernel(name: CompareName): KernelOf<NoParams> {
  return (inputs, _params, out) => {
    const [a, b] = inputs as [Tensor, Tensor];
    const logical = name.startsWith('logical');
    const dtype =
      logical && a.dtype !== b.dtype
        ? a.dtype.isFloat8 || b.dtype.isFloat8
          ? float64
          : promoteTypes(a.dtype, b.dtype)
        : promote(inputs);
    if (!logical) refuseFloat8(name, inputs, dtype);
    const device = deviceOf(name, inputs);
    const shape = broadcast(name, inputs);
    const into = out && out.dtype === bool ? out : null;
    return elementwise([cast(a, dtype), cast(b, dtype)], shape, bool, device, into, ([x, y], o) =>
      getBackend().compare(name, x!.nd(), y!.nd(), o.nd()),
    );
  };
}

function predicateKernel(name: PredicateName): KernelOf<NoParams> {
  return ([x], _params, out) =>
    elementwise([x!], x!.shape, bool, x!.device, out && out.dtype === bool ? out : null, ([a], o) =>
      getBackend().predicate(name, a!.nd(), o.nd()),
    );
}

/** A formula in one variable computed in float, for activations without a backend method. */
function formula<P>(name: string, make: (params: P, dtype: DType) => (x: number) => number) {
  return ([x]: readonly (Tensor | null)[], params: P, out: Tensor | null): Tensor => {
    const t = x!;
    if (!t.dtype.isFloatingPoint || t.dtype.isFloat8)
      throw opError(name, [t], `not defined for ${t.dtype.name}`, undefined, 'SB_DTYPE');
    const f = make(params, t.dtype);
    const compute = t.dtype === float64 ? float64 : float32;
    return elementwise([t], t.shape, t.dtype, t.device, out, ([a], o) => {
      const v = alloc(a!.shape, compute, 'cpu');
      getBackend().copy(a!.nd(), v.nd());
      const data = v.storage.as(compute) as Float64Array;
      for (let i = 0; i < data.length; i++) data[i] = f(data[i]!);
      getBackend().copy(v.nd(), o.nd());
    });
  };
}

function valueKind(value: number | bigint | null, dtype: DType): DType {
  return typeof value === 'number' && !Number.isInteger(value) && !dtype.isFloatingPoint
    ? getDefaultDtype()
    : dtype;
}

const many = <N extends string, K>(names: readonly N[], make: (name: N) => K): Record<N, K> =>
  Object.fromEntries(names.map((n) => [n, make(n)])) as Record<N, K>;

type Unary = Record<UnaryName, KernelOf<NoParams>>;

export const elementwiseKernels = {
  ...({
    ...many(intUnary, (n) => unaryKernel(n, 'int')),
    ...many(floatUnary, (n) => unaryKernel(n, 'float')),
    ...many(floatOnlyUnary, (n) => unaryKernel(n, 'floatOnly')),
  } as Unary),
  ...many(predicateNames, predicateKernel),
  ...many(
    binaryNames,
    (n): KernelOf<NoParams> =>
      (inputs, _params, out) =>
        binaryKernel(n, null, inputs, out),
  ),
  ...many(compareNames, compareKernel),
  add: (inputs, { alpha }, out) => binaryKernel('add', alpha, inputs, out),
  sub: (inputs, { alpha }, out) => binaryKernel('sub', alpha, inputs, out),
  clamp: ([x, lo, hi], { min, max }, out) => {
    const t = x!;
    refuseFloat8('clamp', [t], t.dtype);
    let dtype =
      lo || hi
        ? promote([t, lo ?? null, hi ?? null].filter((v) => v !== null))
        : valueKind(max, valueKind(min, t.dtype));
    if (dtype === bool && !lo && !hi) dtype = int64;
    const shape = broadcast('clamp', [t, lo ?? null, hi ?? null]);
    const number = (v: number | bigint): Tensor => {
      const n = alloc([], dtype, t.device);
      if (!t.isMeta) getBackend().fill(v, n.nd());
      return n;
    };
    const low = lo ? cast(lo, dtype) : min === null ? null : number(min);
    const high = hi ? cast(hi, dtype) : max === null ? null : number(max);
    let result = cast(t, dtype);
    if (low)
      result = elementwise([result, low], shape, dtype, t.device, high ? null : out, ([a, b], o) =>
        getBackend().binary('maximum', a!.nd(), b!.nd(), o.nd()),
      );
    if (high)
      result = elementwise([result, high], shape, dtype, t.device, out, ([a, b], o) =>
        getBackend().binary('minimum', a!.nd(), b!.nd(), o.nd()),
      );
    return result;
  },
  addcmul: (inputs, { value }, out) => ternary('addcmul', inputs as Tensor[], value, out),
  addcdiv: (inputs, { value }, out) => {
    if (!promote(inputs).isFloatingPoint)
      throw opError('addcdiv', inputs, 'integer division', 'convert to a floating dtype first', 'SB_DTYPE');
    return ternary('addcdiv', inputs as Tensor[], value, out);
  },
  lerp: (inputs, _params, out) => {
    const [a, b, w] = inputs as [Tensor, Tensor, Tensor];
    if (a.dtype !== b.dtype || (!w.wrapped && w.dtype !== a.dtype))
      throw opError('lerp', inputs, 'the dtypes differ', undefined, 'SB_DTYPE');
    if (!a.dtype.isFloatingPoint)
      throw opError(
        'lerp',
        inputs,
        `not defined for ${a.dtype.name}`,
        'convert to a floating dtype',
        'SB_DTYPE',
      );
    return ternary('lerp', [a, b, w], 1, out, a.dtype);
  },
  where: (inputs, _params, out) => {
    const [c, a, b] = inputs as [Tensor, Tensor, Tensor];
    if (c.dtype !== bool && c.dtype.name !== 'uint8')
      throw opError(
        'where',
        inputs,
        `the condition is ${c.dtype.name}, not bool`,
        'compare first, or convert with .to(torch.bool)',
        'SB_DTYPE',
      );
    const dtype = promote([a, b]);
    const shape = broadcast('where', inputs);
    return elementwise(
      [c, cast(a, dtype), cast(b, dtype)],
      shape,
      dtype,
      deviceOf('where', inputs),
      out,
      ([k, x, y], o) => getBackend().where(k!.nd(), x!.nd(), y!.nd(), o.nd()),
    );
  },
  gelu: ([x], { approximate }, out) => {
    const t = x!;
    if (!t.dtype.isFloatingPoint || t.dtype.isFloat8)
      throw opError('gelu', [t], `not defined for ${t.dtype.name}`, undefined, 'SB_DTYPE');
    return elementwise([t], t.shape, t.dtype, t.device, out, ([a], o) =>
      getBackend().gelu(a!.nd(), o.nd(), approximate),
    );
  },
  geluBackward: ([g, x], { approximate }) =>
    elementwise([g!, x!], x!.shape, x!.dtype, x!.device, null, ([a, b], o) =>
      getBackend().geluBackward(a!.nd(), b!.nd(), o.nd(), approximate),
    ),
  elu: formula<{ alpha: number; scale: number; inputScale: number }>(
    'elu',
    ({ alpha, scale, inputScale }) =>
      (x) =>
        x <= 0 ? Math.expm1(x * inputScale) * alpha * scale : x * scale,
  ),
  softplus: formula<{ beta: number; threshold: number }>(
    'softplus',
    ({ beta, threshold }) =>
      (x) =>
        x * beta > threshold ? x : Math.log1p(Math.exp(x * beta)) / beta,
  ),
  leakyRelu: formula<{ negativeSlope: number }>(
    'leakyRelu',
    ({ negativeSlope }) =>
      (x) =>
        x > 0 ? x : x * negativeSlope,
  ),
  hardswish: formula('hardswish', (_, dtype) => {
    // The product may leave the range of float32.
    const round = dtype === float64 ? (x: number) => x : Math.fround;
    return (x) => round(x * Math.min(Math.max(x + 3, 0), 6)) / 6;
  }),
  hardsigmoid: formula('hardsigmoid', () => (x) => Math.min(Math.max(x + 3, 0), 6) / 6),
  nanToNum: ([x], { nan, posinf, neginf }, out) => {
    const t = x!;
    if (!t.dtype.isFloatingPoint) return cast(t, t.dtype) === t ? cloneRaw(t) : t;
    const limit =
      t.dtype.name === 'float64'
        ? Number.MAX_VALUE
        : t.dtype.name === 'float16'
          ? 65504
          : t.dtype.name === 'bfloat16'
            ? 3.3895313892515355e38
            : 3.4028234663852886e38;
    return formula(
      'nanToNum',
      () => (v: number) =>
        Number.isNaN(v)
          ? nan
          : v === Number.POSITIVE_INFINITY
            ? (posinf ?? limit)
            : v === Number.NEGATIVE_INFINITY
              ? (neginf ?? -limit)
              : v,
    )([t], {}, out);
  },
  clone: ([x], { contiguous }) => cloneRaw(x!, contiguous),
  toCopy: ([x], { dtype, device }) => {
    const t = x!;
    if (device === 'cpu' && t.isMeta)
      throw opError(
        'to',
        [t],
        'a meta tensor has no data to copy',
        'use torch.emptyLike(t, { device: "cpu" }) and fill it',
        'SB_DEVICE',
      );
    const order = denseOrder(t.shape, t.strides);
    const out = allocStrided(t.shape, order ? t.strides : contiguousStrides(t.shape), dtype, device);
    if (device === 'cpu') getBackend().copy(t.nd(), out.nd());
    return out;
  },
  copy: ([self, source]) => {
    const out = alloc(self!.shape, self!.dtype, self!.device);
    if (!self!.isMeta)
      getBackend().copy(
        { ...source!.nd(), shape: self!.shape, strides: broadcastStrides(source!, self!.shape) },
        out.nd(),
      );
    return out;
  },
  fill: ([self], { value }) => fullRaw(self!, value),
  fullLike: ([self], { value }) => fullRaw(self!, value),
  dropoutMask: ([x, mask], { scale }, out) => {
    const t = x!;
    // Dropped elements are zeros whatever they were; kept ones are scaled in float32.
    return elementwise([t, mask!], t.shape, t.dtype, t.device, out, ([a, m], o) => {
      const backend = getBackend();
      const k = alloc([], t.dtype === float64 ? float64 : float32, 'cpu');
      backend.fill(scale, k.nd());
      const weight = cast(m!, t.dtype);
      const scaled = alloc(t.shape, t.dtype, 'cpu');
      backend.binary(
        'mul',
        a!.nd(),
        { ...k.nd(), shape: t.shape, strides: t.shape.map(() => 0) },
        scaled.nd(),
      );
      backend.binary('mul', scaled.nd(), weight.nd(), o.nd());
    });
  },
} satisfies Partial<KernelTable>;

function broadcastStrides(x: Tensor, shape: readonly number[]): number[] {
  const shift = shape.length - x.shape.length;
  return shape.map((n, d) =>
    d < shift || (x.shape[d - shift] === 1 && n !== 1) ? 0 : x.strides[d - shift]!,
  );
}

function fullRaw(like: Tensor, value: number | bigint): Tensor {
  const out = alloc(like.shape, like.dtype, like.device);
  if (!like.isMeta) getBackend().fill(value, out.nd());
  return out;
}

export function cloneRaw(t: Tensor, contiguous = false): Tensor {
  const order = contiguous ? null : denseOrder(t.shape, t.strides);
  const out = allocStrided(t.shape, order ? t.strides : contiguousStrides(t.shape), t.dtype, t.device, true);
  if (!t.isMeta) getBackend().copy(t.nd(), out.nd());
  return out;
}

function ternary(
  name: 'addcmul' | 'addcdiv' | 'lerp',
  inputs: readonly Tensor[],
  value: number,
  out: Tensor | null,
  given?: DType,
): Tensor {
  const dtype = given ?? promote(inputs);
  refuseFloat8(name, inputs, dtype);
  if (dtype === bool) throw opError(name, inputs, 'not defined for bool', undefined, 'SB_DTYPE');
  const shape = broadcast(name, inputs);
  // The factor takes the dtype of the result.
  const factor = dtype.isFloatingPoint ? value : Math.trunc(value);
  const wide = dtype.isReduced ? float32 : dtype;
  const operands = inputs.map((t) => cast(t, t.wrapped ? wide : dtype));
  return elementwise(operands, shape, dtype, deviceOf(name, inputs), out, ([a, b, c], o) =>
    getBackend().ternary(name, factor, a!.nd(), b!.nd(), c!.nd(), o.nd()),
  );
}
