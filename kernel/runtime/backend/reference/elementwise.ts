/** Elementwise kernels: loops over contiguous arrays; a single-element operand steps by zero. */
import { decodeTable, encoder, isSmallFloat, numelOf } from '../../base/index.js';
import type {
  Backend,
  BinaryName,
  CompareName,
  Nd,
  PredicateName,
  TernaryName,
  UnaryName,
} from '../backend.js';
import {
  bigs,
  type Compute,
  type Floats,
  floats,
  isContiguous,
  kindOf,
  load,
  type Numbers,
  raw,
  store,
  target,
} from './access.js';
import * as sp from './special.js';

type RealFunction = (x: number) => number;

/** Functions without a loop of their own. */
const rare: Partial<Record<UnaryName, RealFunction>> = {
  exp2: (x) => 2 ** x,
  expm1: Math.expm1,
  log2: Math.log2,
  log10: Math.log10,
  log1p: Math.log1p,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
  sign: (x) => (x > 0 ? 1 : x < 0 ? -1 : 0),
  ceil: Math.ceil,
  floor: Math.floor,
  round: sp.roundEven,
  trunc: Math.trunc,
  frac: (x) => x - Math.trunc(x),
  erf: sp.erf,
  erfc: sp.erfc,
  erfinv: sp.erfinv,
  lgamma: sp.lgamma,
  digamma: sp.digamma,
  trigamma: sp.trigamma,
  mish: (x) => x * Math.tanh(x > 20 ? x : Math.log1p(Math.exp(x))),
  logsigmoid: sp.logsigmoid,
};

function unaryFloat(op: UnaryName, x: Floats, o: Floats): void {
  const n = o.length;
  switch (op) {
    case 'abs':
      for (let i = 0; i < n; i++) o[i] = Math.abs(x[i]!);
      return;
    case 'neg':
      for (let i = 0; i < n; i++) o[i] = -x[i]!;
      return;
    case 'exp':
      for (let i = 0; i < n; i++) o[i] = Math.exp(x[i]!);
      return;
    case 'log':
      for (let i = 0; i < n; i++) o[i] = Math.log(x[i]!);
      return;
    case 'sqrt':
      for (let i = 0; i < n; i++) o[i] = Math.sqrt(x[i]!);
      return;
    case 'rsqrt':
      for (let i = 0; i < n; i++) o[i] = 1 / Math.sqrt(x[i]!);
      return;
    case 'reciprocal':
      for (let i = 0; i < n; i++) o[i] = 1 / x[i]!;
      return;
    case 'square':
      for (let i = 0; i < n; i++) o[i] = x[i]! * x[i]!;
      return;
    case 'sin':
      for (let i = 0; i < n; i++) o[i] = Math.sin(x[i]!);
      return;
    case 'cos':
      for (let i = 0; i < n; i++) o[i] = Math.cos(x[i]!);
      return;
    case 'tanh':
      for (let i = 0; i < n; i++) o[i] = Math.tanh(x[i]!);
      return;
    case 'sigmoid':
      for (let i = 0; i < n; i++) o[i] = 1 / (1 + Math.exp(-x[i]!));
      return;
    case 'relu':
      for (let i = 0; i < n; i++) {
        const v = x[i]!;
        o[i] = v <= 0 ? 0 : v;
      }
      return;
    case 'silu':
      for (let i = 0; i < n; i++) o[i] = x[i]! / (1 + Math.exp(-x[i]!));
      return;
    default: {
      const f = rare[op]!;
      for (let i = 0; i < n; i++) o[i] = f(x[i]!);
    }
  }
}

function unaryInt(op: UnaryName, x: Int32Array, o: Int32Array, bool: boolean): void {
  const n = o.length;
  for (let i = 0; i < n; i++) {
    const v = x[i]!;
    switch (op) {
      case 'abs':
        o[i] = v < 0 ? -v : v;
        break;
      case 'neg':
        o[i] = -v;
        break;
      case 'square':
        o[i] = Math.imul(v, v);
        break;
      case 'sign':
        o[i] = Math.sign(v);
        break;
      case 'relu':
        o[i] = v < 0 ? 0 : v;
        break;
      case 'bitwiseNot':
        o[i] = bool ? 1 - v : ~v;
        break;
      case 'frac':
        o[i] = 0;
        break;
      default:
        o[i] = v;
    }
  }
}

function unaryBig(op: UnaryName, x: BigInt64Array, o: BigInt64Array): void {
  for (let i = 0; i < o.length; i++) {
    const v = x[i]!;
    o[i] =
      op === 'abs'
        ? v < 0n
          ? -v
          : v
        : op === 'neg'
          ? -v
          : op === 'square'
            ? v * v
            : op === 'sign'
              ? v > 0n
                ? 1n
                : v < 0n
                  ? -1n
                  : 0n
              : op === 'relu'
                ? v < 0n
                  ? 0n
                  : v
                : op === 'bitwiseNot'
                  ? ~v
                  : v;
  }
}

export const unary: Backend['unary'] = (op, x, out) => {
  const kind = kindOf(out.dtype);
  const o = target(out);
  if (kind === 'i64') unaryBig(op, bigs(x), o as BigInt64Array);
  else if (kind === 'i32') unaryInt(op, load(x) as Int32Array, o as Int32Array, x.dtype === 'bool');
  else unaryFloat(op, floats(x), o as Floats);
  store(o, out);
};

const predicates: Record<PredicateName, (x: number) => boolean> = {
  isnan: (x) => Number.isNaN(x),
  isinf: (x) => x === Number.POSITIVE_INFINITY || x === Number.NEGATIVE_INFINITY,
  isposinf: (x) => x === Number.POSITIVE_INFINITY,
  isneginf: (x) => x === Number.NEGATIVE_INFINITY,
  isfinite: (x) => Number.isFinite(x),
  signbit: (x) => x < 0 || Object.is(x, -0),
  logicalNot: (x) => x === 0,
};

export const predicate: Backend['predicate'] = (op: PredicateName, x: Nd, out: Nd) => {
  const v = x.dtype === 'int64' ? Float64Array.from(bigs(x), Number) : (load(x) as Numbers);
  const o = new Uint8Array(v.length);
  const f = predicates[op];
  for (let i = 0; i < o.length; i++) o[i] = f(v[i]!) ? 1 : 0;
  store(o, out);
};

/** The operand's elements, and the step from one to the next: 0 when it is one value for all. */
function operand(x: Nd): { values: Compute; step: 0 | 1 } {
  if (numelOf(x.shape) > 0 && x.strides.every((s, d) => s === 0 || x.shape[d] === 1)) {
    const one: Nd = { ...x, shape: [], strides: [] };
    return { values: load(one), step: 0 };
  }
  return { values: load(x), step: 1 };
}

const rareBinary: Partial<Record<BinaryName, (a: number, b: number) => number>> = {
  divFloor: sp.floorDivide,
  divTrunc: (a, b) => Math.trunc(a / b),
  pow: sp.power,
  atan2: Math.atan2,
  fmax: (a, b) => (Number.isNaN(a) ? b : Number.isNaN(b) ? a : a > b ? a : b),
  fmin: (a, b) => (Number.isNaN(a) ? b : Number.isNaN(b) ? a : a < b ? a : b),
  remainder: sp.remainder,
  fmod: (a, b) => a % b,
  copysign: (a, b) => (b < 0 || Object.is(b, -0) ? -Math.abs(a) : Math.abs(a)),
  hypot: Math.hypot,
  logaddexp: sp.logaddexp,
  logaddexp2: (a, b) =>
    a === b && !Number.isFinite(a) ? a : Math.max(a, b) + Math.log2(1 + 2 ** -Math.abs(a - b)),
  xlogy: (a, b) => (Number.isNaN(b) ? b : a === 0 ? 0 : a * Math.log(b)),
};

function binaryFloat(op: BinaryName, a: Numbers, sa: number, b: Numbers, sb: number, o: Floats): void {
  const n = o.length;
  switch (op) {
    case 'add':
      for (let i = 0; i < n; i++) o[i] = a[i * sa]! + b[i * sb]!;
      return;
    case 'sub':
      for (let i = 0; i < n; i++) o[i] = a[i * sa]! - b[i * sb]!;
      return;
    case 'mul':
      for (let i = 0; i < n; i++) o[i] = a[i * sa]! * b[i * sb]!;
      return;
    case 'div':
      for (let i = 0; i < n; i++) o[i] = a[i * sa]! / b[i * sb]!;
      return;
    case 'maximum':
      for (let i = 0; i < n; i++) {
        const x = a[i * sa]!;
        const y = b[i * sb]!;
        o[i] = Number.isNaN(x) ? x : Number.isNaN(y) ? y : x > y ? x : y;
      }
      return;
    case 'minimum':
      for (let i = 0; i < n; i++) {
        const x = a[i * sa]!;
        const y = b[i * sb]!;
        o[i] = Number.isNaN(x) ? x : Number.isNaN(y) ? y : x < y ? x : y;
      }
      return;
    case 'pow':
      if (sb === 0 && n > 0) {
        const p = b[0]!;
        if (p === 2) {
          for (let i = 0; i < n; i++) o[i] = a[i * sa]! * a[i * sa]!;
          return;
        }
        if (p === 0.5) {
          for (let i = 0; i < n; i++) o[i] = Math.sqrt(a[i * sa]!);
          return;
        }
      }
  }
  const f = rareBinary[op]!;
  for (let i = 0; i < n; i++) o[i] = f(a[i * sa]!, b[i * sb]!);
}

function gcd(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return Math.abs(a);
}

function binaryInt(
  op: BinaryName,
  a: Int32Array,
  sa: number,
  b: Int32Array,
  sb: number,
  o: Int32Array,
): void {
  const f = intFunctions[op];
  if (!f) throw new Error(`no integer kernel ${op}`);
  for (let i = 0; i < o.length; i++) o[i] = f(a[i * sa]!, b[i * sb]!);
}

const intFunctions: Partial<Record<BinaryName, (a: number, b: number) => number>> = {
  add: (a, b) => (a + b) | 0,
  sub: (a, b) => (a - b) | 0,
  mul: Math.imul,
  divFloor: (a, b) => Math.floor(a / b),
  divTrunc: (a, b) => Math.trunc(a / b),
  pow: (a, b) => {
    if (b < 0) return a === 1 ? 1 : a === -1 ? (b % 2 === 0 ? 1 : -1) : 0;
    let r = 1;
    let base = a;
    for (let e = b; e > 0; e >>>= 1) {
      if (e & 1) r = Math.imul(r, base);
      base = Math.imul(base, base);
    }
    return r;
  },
  maximum: Math.max,
  minimum: Math.min,
  fmax: Math.max,
  fmin: Math.min,
  remainder: sp.remainder,
  fmod: (a, b) => a % b,
  gcd,
  lcm: (a, b) => (a === 0 || b === 0 ? 0 : Math.abs(Math.imul(a / gcd(a, b), b))),
  bitwiseAnd: (a, b) => a & b,
  bitwiseOr: (a, b) => a | b,
  bitwiseXor: (a, b) => a ^ b,
  leftShift: (a, b) => (b < 0 || b > 31 ? 0 : a << b),
  rightShift: (a, b) => a >> (b < 0 || b > 31 ? 31 : b),
};

function bigFloor(a: bigint, b: bigint): bigint {
  const q = a / b;
  return a % b !== 0n && a < 0n !== b < 0n ? q - 1n : q;
}

function bigGcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a < 0n ? -a : a;
}

const bigFunctions: Partial<Record<BinaryName, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  divFloor: bigFloor,
  divTrunc: (a, b) => a / b,
  pow: (a, b) => {
    if (b < 0n) return a === 1n ? 1n : a === -1n ? (b % 2n === 0n ? 1n : -1n) : 0n;
    let r = 1n;
    let base = a;
    for (let e = b; e > 0n; e >>= 1n) {
      if (e & 1n) r = BigInt.asIntN(64, r * base);
      base = BigInt.asIntN(64, base * base);
    }
    return r;
  },
  maximum: (a, b) => (a > b ? a : b),
  minimum: (a, b) => (a < b ? a : b),
  fmax: (a, b) => (a > b ? a : b),
  fmin: (a, b) => (a < b ? a : b),
  remainder: (a, b) => a - b * bigFloor(a, b),
  fmod: (a, b) => a % b,
  gcd: bigGcd,
  lcm: (a, b) => {
    if (a === 0n || b === 0n) return 0n;
    const v = (a / bigGcd(a, b)) * b;
    return v < 0n ? -v : v;
  },
  bitwiseAnd: (a, b) => a & b,
  bitwiseOr: (a, b) => a | b,
  bitwiseXor: (a, b) => a ^ b,
  leftShift: (a, b) => (b < 0n || b > 63n ? 0n : a << b),
  rightShift: (a, b) => a >> (b < 0n || b > 63n ? 63n : b),
};

export const binary: Backend['binary'] = (op, x, y, out) => {
  const kind = kindOf(out.dtype);
  const a = operand(x);
  const b = operand(y);
  const o = target(out);
  if (kind === 'i64') {
    const f = bigFunctions[op]!;
    const av = a.values as BigInt64Array;
    const bv = b.values as BigInt64Array;
    for (let i = 0; i < o.length; i++) o[i] = f(av[i * a.step]!, bv[i * b.step]!);
  } else if (kind === 'i32') {
    binaryInt(op, a.values as Int32Array, a.step, b.values as Int32Array, b.step, o as Int32Array);
  } else if (op === 'xlogy' && isSmallFloat(out.dtype)) {
    // The small floats round the logarithm before the product.
    const [encode, decode] = [encoder(out.dtype), decodeTable(out.dtype)];
    const [av, bv] = [a.values as Numbers, b.values as Numbers];
    for (let i = 0; i < o.length; i++) {
      const [p, q] = [av[i * a.step]!, bv[i * b.step]!];
      o[i] = Number.isNaN(q) ? q : p === 0 ? 0 : p * decode[encode(Math.log(q))]!;
    }
  } else {
    binaryFloat(op, a.values as Numbers, a.step, b.values as Numbers, b.step, o as Floats);
  }
  store(o, out);
};

/** What PyTorch's loops over 16-bit floats take at a time. */
const BLOCK = 32;

/**
 * `a + alpha b` in a small float, whose alpha is rounded to it. Whole blocks of rows that lie in order are rounded once at the
 * end, as PyTorch's vector loop does; what is left over has its product rounded too.
 */
function smallAxpy(
  alpha: number,
  x: Nd,
  y: Nd,
  out: Nd,
  a: Numbers,
  sa: number,
  b: Numbers,
  sb: number,
  o: Floats,
): void {
  const [encode, decode] = [encoder(out.dtype), decodeTable(out.dtype)];
  const k = decode[encode(alpha)]!;
  const plain = (t: Nd, step: number): boolean => step === 0 || isContiguous(t);
  const row = plain(x, sa) && plain(y, sb) && isContiguous(out) ? o.length : 0;
  const blocks = row - (row % BLOCK);
  for (let i = 0; i < blocks; i++) o[i] = a[i * sa]! + k * b[i * sb]!;
  for (let i = blocks; i < o.length; i++) o[i] = a[i * sa]! + decode[encode(k * b[i * sb]!)]!;
}

export const axpy: Backend['axpy'] = (alpha, x, y, out) => {
  const kind = kindOf(out.dtype);
  const a = operand(x);
  const b = operand(y);
  const o = target(out);
  if (kind === 'i64') {
    const k = BigInt(alpha);
    const av = a.values as BigInt64Array;
    const bv = b.values as BigInt64Array;
    for (let i = 0; i < o.length; i++) o[i] = av[i * a.step]! + k * bv[i * b.step]!;
  } else {
    const k = Number(alpha);
    const av = a.values as Numbers;
    const bv = b.values as Numbers;
    if (isSmallFloat(out.dtype) && Math.abs(k) !== 1)
      smallAxpy(k, x, y, out, av, a.step, bv, b.step, o as Floats);
    else for (let i = 0; i < o.length; i++) o[i] = av[i * a.step]! + k * bv[i * b.step]!;
  }
  store(o, out);
};

function compareNumbers(
  op: CompareName,
  a: Numbers,
  sa: number,
  b: Numbers,
  sb: number,
  o: Uint8Array,
): void {
  const n = o.length;
  switch (op) {
    case 'eq':
      for (let i = 0; i < n; i++) o[i] = a[i * sa] === b[i * sb] ? 1 : 0;
      return;
    case 'ne':
      for (let i = 0; i < n; i++) o[i] = a[i * sa] !== b[i * sb] ? 1 : 0;
      return;
    case 'lt':
      for (let i = 0; i < n; i++) o[i] = a[i * sa]! < b[i * sb]! ? 1 : 0;
      return;
    case 'le':
      for (let i = 0; i < n; i++) o[i] = a[i * sa]! <= b[i * sb]! ? 1 : 0;
      return;
    case 'gt':
      for (let i = 0; i < n; i++) o[i] = a[i * sa]! > b[i * sb]! ? 1 : 0;
      return;
    case 'ge':
      for (let i = 0; i < n; i++) o[i] = a[i * sa]! >= b[i * sb]! ? 1 : 0;
      return;
    case 'logicalAnd':
      for (let i = 0; i < n; i++) o[i] = a[i * sa] !== 0 && b[i * sb] !== 0 ? 1 : 0;
      return;
    case 'logicalOr':
      for (let i = 0; i < n; i++) o[i] = a[i * sa] !== 0 || b[i * sb] !== 0 ? 1 : 0;
      return;
    default:
      for (let i = 0; i < n; i++) o[i] = (a[i * sa] !== 0) !== (b[i * sb] !== 0) ? 1 : 0;
  }
}

const bigCompare: Record<CompareName, (a: bigint, b: bigint) => boolean> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  logicalAnd: (a, b) => a !== 0n && b !== 0n,
  logicalOr: (a, b) => a !== 0n || b !== 0n,
  logicalXor: (a, b) => (a !== 0n) !== (b !== 0n),
};

export const compare: Backend['compare'] = (op, x, y, out) => {
  const a = operand(x);
  const b = operand(y);
  const o = new Uint8Array(numelOf(out.shape));
  if (a.values instanceof BigInt64Array && b.values instanceof BigInt64Array) {
    const f = bigCompare[op];
    for (let i = 0; i < o.length; i++) o[i] = f(a.values[i * a.step]!, b.values[i * b.step]!) ? 1 : 0;
  } else {
    compareNumbers(op, a.values as Numbers, a.step, b.values as Numbers, b.step, o);
  }
  if (isContiguous(out)) (out.data as Uint8Array).set(o, out.offset);
  else store(o, out);
};

export const where: Backend['where'] = (condition, x, y, out) => {
  const c = raw(condition);
  const a = operand(x);
  const b = operand(y);
  const o = target(out) as Float32Array;
  const av = a.values as Float32Array;
  const bv = b.values as Float32Array;
  for (let i = 0; i < o.length; i++) o[i] = c[i] ? av[i * a.step]! : bv[i * b.step]!;
  store(o, out);
};

export const ternary: Backend['ternary'] = (op: TernaryName, value, x, y, z, out) => {
  const o = target(out);
  if (kindOf(out.dtype) === 'i64') {
    const k = BigInt(value);
    const [a, b, c] = [bigs(x), bigs(y), bigs(z)];
    for (let i = 0; i < o.length; i++)
      o[i] = op === 'addcmul' ? a[i]! + k * b[i]! * c[i]! : a[i]! + (k * b[i]!) / c[i]!;
    store(o, out);
    return;
  }
  const a = load(x) as Numbers;
  const b = operand(y);
  const c = operand(z);
  const bv = b.values as Numbers;
  const cv = c.values as Numbers;
  const n = o.length;
  if (op === 'addcmul') for (let i = 0; i < n; i++) o[i] = a[i]! + value * bv[i * b.step]! * cv[i * c.step]!;
  else if (op === 'addcdiv')
    for (let i = 0; i < n; i++) o[i] = a[i]! + (value * bv[i * b.step]!) / cv[i * c.step]!;
  else {
    for (let i = 0; i < n; i++) {
      const s = a[i]!;
      const e = bv[i * b.step]!;
      const w = cv[i * c.step]!;
      o[i] = Math.abs(w) < 0.5 ? s + w * (e - s) : e - (e - s) * (1 - w);
    }
  }
  store(o, out);
};

const kBeta = Math.SQRT2 * (2 / Math.sqrt(Math.PI)) * 0.5;

export const gelu: Backend['gelu'] = (x, out, approximate) => {
  const v = floats(x);
  const o = target(out) as Floats;
  if (approximate === 'tanh') {
    for (let i = 0; i < o.length; i++) {
      const a = v[i]!;
      o[i] = 0.5 * a * (1 + Math.tanh(kBeta * (a + 0.044715 * a * a * a)));
    }
  } else {
    for (let i = 0; i < o.length; i++) o[i] = 0.5 * v[i]! * sp.erfc(-v[i]! * Math.SQRT1_2);
  }
  store(o, out);
};

export const geluBackward: Backend['geluBackward'] = (grad, x, out, approximate) => {
  const g = floats(grad);
  const v = floats(x);
  const o = target(out) as Floats;
  if (approximate === 'tanh') {
    for (let i = 0; i < o.length; i++) {
      const a = v[i]!;
      const t = Math.tanh(kBeta * (a + 0.044715 * a * a * a));
      o[i] = g[i]! * (0.5 * (1 + t) + 0.5 * a * (1 - t * t) * kBeta * (1 + 3 * 0.044715 * a * a));
    }
  } else {
    const k = 1 / Math.sqrt(2 * Math.PI);
    for (let i = 0; i < o.length; i++) {
      const a = v[i]!;
      o[i] = g[i]! * (0.5 * sp.erfc(-a * Math.SQRT1_2) + a * k * Math.exp(-0.5 * a * a));
    }
  }
  store(o, out);
};

export const thresholdBackward: Backend['thresholdBackward'] = (grad, y, threshold, out) => {
  const g = floats(grad);
  const v = floats(y);
  const o = target(out) as Floats;
  for (let i = 0; i < o.length; i++) o[i] = v[i]! <= threshold ? 0 : g[i]!;
  store(o, out);
};
