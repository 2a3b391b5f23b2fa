/** Elementwise operations. */
import type { BinaryName, CompareName, PredicateName, UnaryName } from '../../backend/backend.js';
import { applyInplace, applyOp } from '../dispatch.js';
import { bool, type DType, float32, getDefaultDtype } from '../dtype.js';
import { expectTensor, opError } from '../errors.js';
import { none } from '../opnames.js';
import type { Tensor } from '../tensor.js';
import { type Operand, plain, type Scalar, wrap } from './scalar.js';

const unary =
  (name: UnaryName) =>
  (x: Tensor): Tensor =>
    applyOp(name, [x], none);
const unary_ =
  (name: UnaryName) =>
  (x: Tensor): Tensor =>
    applyInplace(name, [x], none);
const predicate =
  (name: PredicateName) =>
  (x: Tensor): Tensor =>
    applyOp(name, [x], none);
const compare =
  (name: CompareName) =>
  (x: Tensor, other: Operand): Tensor =>
    applyOp(name, [x, wrap(other)], none);
const compare_ =
  (name: CompareName) =>
  (x: Tensor, other: Operand): Tensor =>
    applyInplace(name, [x, wrap(other)], none);
type Plain = Exclude<BinaryName, 'add' | 'sub'>;
const binary =
  (name: Plain) =>
  (x: Operand, other: Operand): Tensor =>
    applyOp(name, [wrap(x), wrap(other)], none);
/** The first is a tensor, the second may be a number. */
const ofTensor =
  (name: Plain) =>
  (x: Tensor, other: Operand): Tensor =>
    applyOp(name, [x, wrap(other)], none);
/** Of tensors alone: PyTorch takes no number here. */
const pair =
  (name: Plain | CompareName) =>
  (x: Tensor, other: Tensor): Tensor =>
    applyOp(name, [x, other], none);
const pair_ =
  (name: Plain | CompareName) =>
  (x: Tensor, other: Tensor): Tensor => {
    expectTensor(name, other);
    return applyInplace(name, [x, other], none);
  };
const binary_ =
  (name: Plain) =>
  (x: Tensor, other: Operand): Tensor =>
    applyInplace(name, [x, wrap(other)], none);

export const [abs, neg, exp, exp2, expm1, log] = [
  unary('abs'),
  unary('neg'),
  unary('exp'),
  unary('exp2'),
  unary('expm1'),
  unary('log'),
];
export const [log2, log10, log1p, sqrt, rsqrt] = [
  unary('log2'),
  unary('log10'),
  unary('log1p'),
  unary('sqrt'),
  unary('rsqrt'),
];
export const [reciprocal, square, sin, cos, tan] = [
  unary('reciprocal'),
  unary('square'),
  unary('sin'),
  unary('cos'),
  unary('tan'),
];
export const [asin, acos, atan, sinh, cosh, tanh] = [
  unary('asin'),
  unary('acos'),
  unary('atan'),
  unary('sinh'),
  unary('cosh'),
  unary('tanh'),
];
export const [asinh, acosh, atanh, sigmoid, relu] = [
  unary('asinh'),
  unary('acosh'),
  unary('atanh'),
  unary('sigmoid'),
  unary('relu'),
];
export const [sign, ceil, floor, trunc, frac] = [
  unary('sign'),
  unary('ceil'),
  unary('floor'),
  unary('trunc'),
  unary('frac'),
];
export const [erf, erfc, erfinv, lgamma, digamma] = [
  unary('erf'),
  unary('erfc'),
  unary('erfinv'),
  unary('lgamma'),
  unary('digamma'),
];
export const [trigamma, silu, mish, logsigmoid, bitwiseNot] = [
  unary('trigamma'),
  unary('silu'),
  unary('mish'),
  unary('logsigmoid'),
  unary('bitwiseNot'),
];
export const [abs_, neg_, exp_, expm1_, log_] = [
  unary_('abs'),
  unary_('neg'),
  unary_('exp'),
  unary_('expm1'),
  unary_('log'),
];
export const [log2_, log1p_, sqrt_, rsqrt_] = [
  unary_('log2'),
  unary_('log1p'),
  unary_('sqrt'),
  unary_('rsqrt'),
];
export const [reciprocal_, square_, sin_, cos_, tan_] = [
  unary_('reciprocal'),
  unary_('square'),
  unary_('sin'),
  unary_('cos'),
  unary_('tan'),
];
export const [tanh_, sigmoid_, relu_, sign_, ceil_] = [
  unary_('tanh'),
  unary_('sigmoid'),
  unary_('relu'),
  unary_('sign'),
  unary_('ceil'),
];
export const [floor_, trunc_, frac_, erf_, silu_] = [
  unary_('floor'),
  unary_('trunc'),
  unary_('frac'),
  unary_('erf'),
  unary_('silu'),
];
export const [bitwiseNot_, exp2_, sinh_, cosh_] = [
  unary_('bitwiseNot'),
  unary_('exp2'),
  unary_('sinh'),
  unary_('cosh'),
];

/** Rounds half to even, to `decimals` places. */
export function round(x: Tensor, decimals: number | { decimals?: number } = 0): Tensor {
  const d = typeof decimals === 'number' ? decimals : (decimals.decimals ?? 0);
  const asked = d !== 0 || (typeof decimals === 'object' && decimals.decimals !== undefined);
  if (asked && !x.dtype.isFloatingPoint)
    throw opError('round', [x], `decimals are not defined for ${x.dtype.name}`, 'leave them out', 'SB_DTYPE');
  if (d === 0) return applyOp('round', [x], none);
  // The small floats are scaled and rounded in float32.
  if (x.dtype.isReduced) {
    const wide = applyOp('toCopy', [x], { dtype: float32, device: x.device });
    return applyOp('toCopy', [round(wide, d)], { dtype: x.dtype, device: x.device });
  }
  const scale = 10 ** Math.abs(d);
  return d > 0
    ? div(applyOp('round', [mul(x, scale)], none), scale)
    : mul(applyOp('round', [div(x, scale)], none), scale);
}
export const round_ = (x: Tensor, decimals: number | { decimals?: number } = 0): Tensor => {
  const d = typeof decimals === 'number' ? decimals : (decimals.decimals ?? 0);
  return d === 0 ? applyInplace('round', [x], none) : copy_(x, round(x, d));
};

export const [isnan, isinf, isfinite] = [predicate('isnan'), predicate('isinf'), predicate('isfinite')];
export const [signbit, logicalNot, isposinf, isneginf] = [
  predicate('signbit'),
  predicate('logicalNot'),
  predicate('isposinf'),
  predicate('isneginf'),
];
export const logicalNot_ = (x: Tensor): Tensor => applyInplace('logicalNot', [x], none);
export const [eq, ne, lt, le, gt, ge] = [
  compare('eq'),
  compare('ne'),
  compare('lt'),
  compare('le'),
  compare('gt'),
  compare('ge'),
];
export const [eq_, ne_, lt_, le_, gt_, ge_] = [
  compare_('eq'),
  compare_('ne'),
  compare_('lt'),
  compare_('le'),
  compare_('gt'),
  compare_('ge'),
];
export const [logicalAnd, logicalOr, logicalXor] = [
  pair('logicalAnd'),
  pair('logicalOr'),
  pair('logicalXor'),
];
export const [logicalAnd_, logicalOr_, logicalXor_] = [
  pair_('logicalAnd'),
  pair_('logicalOr'),
  pair_('logicalXor'),
];

export interface AlphaOptions {
  alpha?: Scalar;
}
function alphaOf(o: AlphaOptions, x: Operand, other: Operand): number | bigint {
  if (typeof o.alpha === 'boolean' && (wrap(x).dtype !== bool || wrap(other).dtype !== bool))
    throw opError('add', [wrap(x), wrap(other)], 'alpha is a boolean and the result is not', 'use 1 or 0');
  return plain(o.alpha ?? 1);
}

export const add = (x: Operand, other: Operand, o: AlphaOptions = {}): Tensor =>
  applyOp('add', [wrap(x), wrap(other)], { alpha: alphaOf(o, x, other) });
export const sub = (x: Operand, other: Operand, o: AlphaOptions = {}): Tensor =>
  applyOp('sub', [wrap(x), wrap(other)], { alpha: alphaOf(o, x, other) });
export const rsub = (x: Tensor, other: Operand, o: AlphaOptions = {}): Tensor => {
  expectTensor('rsub', x);
  return sub(other, x, o);
};
export const add_ = (x: Tensor, other: Operand, o: AlphaOptions = {}): Tensor =>
  applyInplace('add', [x, wrap(other)], { alpha: alphaOf(o, x, other) });
export const sub_ = (x: Tensor, other: Operand, o: AlphaOptions = {}): Tensor =>
  applyInplace('sub', [x, wrap(other)], { alpha: alphaOf(o, x, other) });
export const [mul, pow, atan2, maximum, minimum] = [
  binary('mul'),
  binary('pow'),
  pair('atan2'),
  pair('maximum'),
  pair('minimum'),
];
export const [fmax, fmin, remainder, fmod, copysign] = [
  pair('fmax'),
  pair('fmin'),
  binary('remainder'),
  ofTensor('fmod'),
  ofTensor('copysign'),
];
export const [hypot, logaddexp, logaddexp2, xlogy, gcd] = [
  pair('hypot'),
  pair('logaddexp'),
  pair('logaddexp2'),
  binary('xlogy'),
  pair('gcd'),
];
export const [lcm, bitwiseAnd, bitwiseOr, bitwiseXor] = [
  pair('lcm'),
  binary('bitwiseAnd'),
  binary('bitwiseOr'),
  binary('bitwiseXor'),
];
export const [bitwiseLeftShift, bitwiseRightShift, floorDivide] = [
  binary('leftShift'),
  binary('rightShift'),
  binary('divFloor'),
];
export const [mul_, pow_, atan2_, remainder_, fmod_] = [
  binary_('mul'),
  binary_('pow'),
  pair_('atan2'),
  binary_('remainder'),
  binary_('fmod'),
];
export const [bitwiseAnd_, bitwiseOr_, bitwiseXor_] = [
  binary_('bitwiseAnd'),
  binary_('bitwiseOr'),
  binary_('bitwiseXor'),
];
export const [floorDivide_, copysign_, hypot_] = [binary_('divFloor'), binary_('copysign'), pair_('hypot')];
export const [bitwiseLeftShift_, bitwiseRightShift_] = [binary_('leftShift'), binary_('rightShift')];
export { bitwiseNot as invert, mul as multiply, neg as negative, sub as subtract };

export interface DivOptions {
  roundingMode?: 'floor' | 'trunc' | null;
}
function divName(o: DivOptions): 'div' | 'divFloor' | 'divTrunc' {
  const mode: unknown = o.roundingMode ?? null;
  if (mode !== null && mode !== 'floor' && mode !== 'trunc')
    throw opError('div', [], `roundingMode is "${String(mode)}", wanted "floor", "trunc" or null`);
  return o.roundingMode === 'floor' ? 'divFloor' : o.roundingMode === 'trunc' ? 'divTrunc' : 'div';
}
export const div = (x: Operand, other: Operand, o: DivOptions = {}): Tensor =>
  applyOp(divName(o), [wrap(x), wrap(other)], none);
export const div_ = (x: Tensor, other: Operand, o: DivOptions = {}): Tensor =>
  applyInplace(divName(o), [x, wrap(other)], none);
export { div as divide, div as trueDivide };

export interface ClampOptions {
  min?: Operand | null;
  max?: Operand | null;
}
type Bound = Operand | null | undefined;
function clampArgs(min: Bound | ClampOptions, max: Bound | ClampOptions): { min: Bound; max: Bound } {
  const isOptions = (v: unknown): v is ClampOptions =>
    typeof v === 'object' && v !== null && ('min' in v || 'max' in v) && !('shape' in v);
  if (isOptions(min)) return { min: min.min, max: min.max };
  if (isOptions(max)) return { min: (min ?? max.min) as Bound, max: max.max };
  return { min: min as Bound, max: max as Bound };
}
function clampCall(
  x: Tensor,
  min: Bound | ClampOptions,
  max: Bound | ClampOptions,
): [readonly (Tensor | null)[], { min: number | bigint | null; max: number | bigint | null }] {
  const o = clampArgs(min, max);
  const isTensor = (v: Bound): v is Tensor => typeof v === 'object' && v !== null && 'shape' in v;
  if ((o.min ?? null) === null && (o.max ?? null) === null)
    throw opError('clamp', [x], 'one of min and max must be given');
  if (isTensor(o.min) || isTensor(o.max)) {
    return [
      [
        x,
        (o.min ?? null) === null ? null : wrap(o.min as Operand),
        (o.max ?? null) === null ? null : wrap(o.max as Operand),
      ],
      { min: null, max: null },
    ];
  }
  const number = (v: Bound): number | bigint | null =>
    v === null || v === undefined ? null : plain(v as Scalar);
  return [[x], { min: number(o.min), max: number(o.max) }];
}
export const clamp = (x: Tensor, min?: Bound | ClampOptions, max?: Bound | ClampOptions): Tensor =>
  applyOp('clamp', ...clampCall(x, min, max));
export const clamp_ = (x: Tensor, min?: Bound | ClampOptions, max?: Bound | ClampOptions): Tensor =>
  applyInplace('clamp', ...clampCall(x, min, max));
export const clampMin = (x: Tensor, min: Operand): Tensor => clamp(x, min);
export const clampMax = (x: Tensor, max: Operand): Tensor => clamp(x, null, max);
export const clampMin_ = (x: Tensor, min: Operand): Tensor => clamp_(x, min);
export const clampMax_ = (x: Tensor, max: Operand): Tensor => clamp_(x, null, max);
export { clamp as clip };

export interface ValueOptions {
  value?: Scalar;
}
export const addcmul = (x: Tensor, a: Tensor, b: Tensor, o: ValueOptions = {}): Tensor =>
  applyOp('addcmul', [x, a, b], { value: Number(o.value ?? 1) });
export const addcdiv = (x: Tensor, a: Operand, b: Operand, o: ValueOptions = {}): Tensor =>
  applyOp('addcdiv', [x, wrap(a), wrap(b)], { value: Number(o.value ?? 1) });
export const addcmul_ = (x: Tensor, a: Operand, b: Operand, o: ValueOptions = {}): Tensor =>
  applyInplace('addcmul', [x, wrap(a), wrap(b)], { value: Number(o.value ?? 1) });
export const addcdiv_ = (x: Tensor, a: Operand, b: Operand, o: ValueOptions = {}): Tensor =>
  applyInplace('addcdiv', [x, wrap(a), wrap(b)], { value: Number(o.value ?? 1) });
export const lerp = (x: Tensor, end: Tensor, weight: Operand): Tensor =>
  applyOp('lerp', [x, end, wrap(weight)], none);
export const lerp_ = (x: Tensor, end: Tensor, weight: Operand): Tensor =>
  applyInplace('lerp', [x, end, wrap(weight)], none);

export const whereOp = (condition: Tensor, x: Operand, other: Operand): Tensor =>
  applyOp('where', [condition, wrap(x), wrap(other)], none);

export const gelu = (x: Tensor, o: { approximate?: 'none' | 'tanh' } | 'none' | 'tanh' = {}): Tensor =>
  applyOp('gelu', [x], { approximate: typeof o === 'string' ? o : (o.approximate ?? 'none') });
export const elu = (x: Tensor, alpha: number | { alpha?: number } = 1): Tensor =>
  applyOp('elu', [x], {
    alpha: typeof alpha === 'number' ? alpha : (alpha.alpha ?? 1),
    scale: 1,
    inputScale: 1,
  });
export const selu = (x: Tensor): Tensor =>
  applyOp('elu', [x], { alpha: 1.6732632423543772, scale: 1.0507009873554805, inputScale: 1 });
export const celu = (x: Tensor, alpha: number | { alpha?: number } = 1): Tensor => {
  const a = typeof alpha === 'number' ? alpha : (alpha.alpha ?? 1);
  return applyOp('elu', [x], { alpha: a, scale: 1, inputScale: 1 / a });
};
export interface SoftplusOptions {
  beta?: number;
  threshold?: number;
}
export const softplus = (
  x: Tensor,
  beta: number | SoftplusOptions = 1,
  threshold: number | SoftplusOptions = 20,
): Tensor => {
  const o: SoftplusOptions =
    typeof beta === 'object'
      ? beta
      : typeof threshold === 'object'
        ? { beta, ...threshold }
        : { beta, threshold };
  return applyOp('softplus', [x], { beta: o.beta ?? 1, threshold: o.threshold ?? 20 });
};
export const leakyRelu = (x: Tensor, slope: number | { negativeSlope?: number } = 0.01): Tensor =>
  applyOp('leakyRelu', [x], {
    negativeSlope: typeof slope === 'number' ? slope : (slope.negativeSlope ?? 0.01),
  });
export const hardswish = (x: Tensor): Tensor => applyOp('hardswish', [x], none);
export const hardsigmoid = (x: Tensor): Tensor => applyOp('hardsigmoid', [x], none);
export const hardtanh = (
  x: Tensor,
  min: number | { minVal?: number; maxVal?: number } = -1,
  max = 1,
): Tensor =>
  typeof min === 'number' ? hardtanhClamp(x, min, max) : hardtanhClamp(x, min.minVal ?? -1, min.maxVal ?? 1);
const hardtanhClamp = (x: Tensor, min: number, max: number): Tensor => applyOp('hardtanh', [x], { min, max });
export const relu6 = (x: Tensor): Tensor => hardtanhClamp(x, 0, 6);

export interface NanToNumOptions {
  nan?: number | null;
  posinf?: number | null;
  neginf?: number | null;
}
export const nanToNum = (
  x: Tensor,
  nan: number | null | NanToNumOptions = 0,
  posinf: number | null = null,
  neginf: number | null = null,
): Tensor => {
  const o: NanToNumOptions = typeof nan === 'object' && nan !== null ? nan : { nan, posinf, neginf };
  return applyOp('nanToNum', [x], { nan: o.nan ?? 0, posinf: o.posinf ?? null, neginf: o.neginf ?? null });
};

export const copy_ = (x: Tensor, source: Operand): Tensor => {
  const s = wrap(source);
  const shift = x.shape.length - s.shape.length;
  if (shift < 0 || s.shape.some((n, d) => n !== 1 && n !== x.shape[d + shift])) {
    throw opError(
      'copy_',
      [x, s],
      `the source does not broadcast to [${x.shape.join(', ')}]`,
      undefined,
      'SB_BROADCAST',
    );
  }
  return applyInplace('copy', [x, s], none);
};
export const fill_ = (x: Tensor, value: Operand): Tensor => {
  if (typeof value === 'object' && 'shape' in value) {
    if (value.shape.length > 0)
      throw opError('fill_', [x, value], 'the value must be a number or a 0-dim tensor');
    return copy_(x, value);
  }
  return applyInplace('fill', [x], { value: plain(value) });
};
export const zero_ = (x: Tensor): Tensor => applyInplace('fill', [x], { value: 0 });

export const isclose = (x: Tensor, other: Tensor, o: CloseOptions = {}): Tensor => {
  const { rtol = 1e-5, atol = 1e-8, equalNan = false } = o;
  if (x.dtype !== other.dtype)
    throw opError(
      'isclose',
      [x, other],
      'the dtypes differ',
      `convert with .to(torch.${x.dtype.name})`,
      'SB_DTYPE',
    );
  if (!x.dtype.isFloatingPoint && (rtol !== 0 || atol !== 0)) {
    const dtype = getDefaultDtype();
    const wide = (t: Tensor): Tensor => applyOp('toCopy', [t], { dtype, device: t.device });
    return isclose(wide(x), wide(other), o);
  }
  let close = eq(x, other);
  if (equalNan) close = logicalOr(close, logicalAnd(isnan(x), isnan(other)));
  if (rtol === 0 && atol === 0) return close;
  const allowed = add(mul(abs(other), rtol), atol);
  const within = logicalAnd(isfinite(sub(x, other)), le(abs(sub(x, other)), allowed));
  return logicalOr(close, within);
};
export interface CloseOptions {
  rtol?: number;
  atol?: number;
  equalNan?: boolean;
}
export type { DType };
export { bool };

/** Zero where a condition holds. */
export const maskedFillLike = (x: Tensor, condition: Tensor): Tensor =>
  applyOp('where', [condition, wrap(0), x], none);
/** number / tensor. */
export const rdiv = (value: Scalar, x: Tensor): Tensor => div(value, x);
