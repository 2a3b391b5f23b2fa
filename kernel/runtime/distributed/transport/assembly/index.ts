/**
 * Element-wise reductions over the shared memory of a world: `out = a op b`, over `n` elements at byte addresses. `out` may be
 * `a`. Every element is rounded to its dtype, so that the order of the calls alone decides the bits.
 */
const SUM = 0;
const PRODUCT = 1;
const MIN = 2;
const MAX = 3;

// Integers: wrapped as in C.

// @ts-ignore: decorator
@inline
function integers<T>(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  const end = out + <usize>n * sizeof<T>();
  for (; out < end; out += sizeof<T>(), a += sizeof<T>(), b += sizeof<T>()) {
    const x = load<T>(a);
    const y = load<T>(b);
    if (op == SUM) store<T>(out, (x + y) as T);
    else if (op == PRODUCT) store<T>(out, (x * y) as T);
    else if (op == MIN) store<T>(out, y < x ? y : x);
    else store<T>(out, y > x ? y : x);
  }
}

// @ts-ignore: decorator
@inline
function choose<T>(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  if (op == SUM) integers<T>(SUM, out, a, b, n);
  else if (op == PRODUCT) integers<T>(PRODUCT, out, a, b, n);
  else if (op == MIN) integers<T>(MIN, out, a, b, n);
  else integers<T>(MAX, out, a, b, n);
}

export function uint8(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  choose<u8>(op, out, a, b, n);
}
export function int8(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  choose<i8>(op, out, a, b, n);
}
export function int16(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  choose<i16>(op, out, a, b, n);
}
export function int32(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  choose<i32>(op, out, a, b, n);
}
export function int64(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  choose<i64>(op, out, a, b, n);
}

/** Bitwise, over bytes: 0 and, 1 or, 2 xor. */
export function bits(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  const end = out + <usize>n;
  for (; out + 16 <= end; out += 16, a += 16, b += 16) {
    const x = v128.load(a);
    const y = v128.load(b);
    v128.store(out, op == 0 ? v128.and(x, y) : op == 1 ? v128.or(x, y) : v128.xor(x, y));
  }
  for (; out < end; out++, a++, b++) {
    const x = load<u8>(a);
    const y = load<u8>(b);
    store<u8>(out, op == 0 ? x & y : op == 1 ? x | y : x ^ y);
  }
}

// Floating point. The least is `b < a ? b : a`, so a nan stays where it is first.

// @ts-ignore: decorator
@inline
function of32(op: i32, x: v128, y: v128): v128 {
  if (op == SUM) return f32x4.add(x, y);
  if (op == PRODUCT) return f32x4.mul(x, y);
  if (op == MIN) return f32x4.pmin(x, y);
  return f32x4.pmax(x, y);
}

// @ts-ignore: decorator
@inline
function floats(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  const end = out + <usize>n * 4;
  for (; out + 64 <= end; out += 64, a += 64, b += 64) {
    const x0 = of32(op, v128.load(a), v128.load(b));
    const x1 = of32(op, v128.load(a, 16), v128.load(b, 16));
    const x2 = of32(op, v128.load(a, 32), v128.load(b, 32));
    const x3 = of32(op, v128.load(a, 48), v128.load(b, 48));
    v128.store(out, x0);
    v128.store(out, x1, 16);
    v128.store(out, x2, 32);
    v128.store(out, x3, 48);
  }
  for (; out < end; out += 4, a += 4, b += 4) {
    const one = of32(op, v128.load32_zero(a), v128.load32_zero(b));
    v128.store_lane<f32>(out, one, 0);
  }
}

export function float32(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  if (op == SUM) floats(SUM, out, a, b, n);
  else if (op == PRODUCT) floats(PRODUCT, out, a, b, n);
  else if (op == MIN) floats(MIN, out, a, b, n);
  else floats(MAX, out, a, b, n);
}

// @ts-ignore: decorator
@inline
function of64(op: i32, x: v128, y: v128): v128 {
  if (op == SUM) return f64x2.add(x, y);
  if (op == PRODUCT) return f64x2.mul(x, y);
  if (op == MIN) return f64x2.pmin(x, y);
  return f64x2.pmax(x, y);
}

// @ts-ignore: decorator
@inline
function doubles(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  const end = out + <usize>n * 8;
  for (; out + 16 <= end; out += 16, a += 16, b += 16) {
    v128.store(out, of64(op, v128.load(a), v128.load(b)));
  }
  if (out < end) v128.store_lane<f64>(out, of64(op, v128.load64_zero(a), v128.load64_zero(b)), 0);
}

export function float64(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  if (op == SUM) doubles(SUM, out, a, b, n);
  else if (op == PRODUCT) doubles(PRODUCT, out, a, b, n);
  else if (op == MIN) doubles(MIN, out, a, b, n);
  else doubles(MAX, out, a, b, n);
}

/** Divides `n` elements by `divisor`, in place. */
export function divide32(out: usize, n: i32, divisor: f32): void {
  const end = out + <usize>n * 4;
  for (; out < end; out += 4) store<f32>(out, load<f32>(out) / divisor);
}
export function divide64(out: usize, n: i32, divisor: f64): void {
  const end = out + <usize>n * 8;
  for (; out < end; out += 8) store<f64>(out, load<f64>(out) / divisor);
}

// bfloat16 and float16: computed in float32, whose 24 bits make the second rounding harmless.

// @ts-ignore: decorator
@inline
function toBrain(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd), 16);
  // A nan whose last bits carry over would become a number.
  const nan = f32x4.ne(x, x);
  return v128.bitselect(i32x4.splat(0x7fc0), rounded, nan);
}

// @ts-ignore: decorator
@inline
function fromHalf(h: v128): v128 {
  const magnitude = v128.and(h, i32x4.splat(0x7fff));
  const scaled = f32x4.mul(i32x4.shl(magnitude, 13), f32x4.splat(reinterpret<f32>(0x77800000)));
  const special = i32x4.gt_s(magnitude, i32x4.splat(0x7bff));
  const value = v128.or(scaled, v128.and(special, i32x4.splat(0x7f800000)));
  return v128.or(value, i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16));
}

// @ts-ignore: decorator
@inline
function toHalf(x: v128): v128 {
  const sign = i32x4.shr_u(v128.and(x, i32x4.splat(<i32>0x80000000)), 16);
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const rebased = i32x4.sub(magnitude, i32x4.splat(112 << 23));
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(rebased, i32x4.splat(0xfff)), odd), 13);
  // Adding a half moves the bits of a subnormal to their place, rounded.
  const half = f32x4.splat(0.5);
  const small = i32x4.sub(f32x4.add(magnitude, half), half);
  const isSmall = i32x4.lt_s(magnitude, i32x4.splat(113 << 23));
  const isHuge = i32x4.ge_s(magnitude, i32x4.splat(0x47800000));
  const isNan = i32x4.gt_s(magnitude, i32x4.splat(0x7f800000));
  let bits = v128.bitselect(small, normal, isSmall);
  bits = v128.bitselect(i32x4.splat(0x7c00), bits, isHuge);
  bits = v128.bitselect(i32x4.splat(0x7e00), bits, isNan);
  return v128.or(bits, sign);
}

// @ts-ignore: decorator
@inline
function isBrain<T>(): bool {
  return sizeof<T>() == 2;
}

// @ts-ignore: decorator
@inline
function narrow<T>(x: v128): v128 {
  return isBrain<T>() ? toBrain(x) : toHalf(x);
}

// @ts-ignore: decorator
@inline
function small<T>(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  const end = out + <usize>n * 2;
  for (; out + 8 <= end; out += 8, a += 8, b += 8) {
    const x = isBrain<T>() ? i32x4.shl(v128.load16x4_u(a), 16) : fromHalf(v128.load16x4_u(a));
    const y = isBrain<T>() ? i32x4.shl(v128.load16x4_u(b), 16) : fromHalf(v128.load16x4_u(b));
    const result = narrow<T>(of32(op, x, y));
    v128.store_lane<i64>(out, i16x8.narrow_i32x4_u(result, result), 0);
  }
  for (; out < end; out += 2, a += 2, b += 2) {
    const p = i32x4.splat(load<u16>(a));
    const q = i32x4.splat(load<u16>(b));
    const x = isBrain<T>() ? i32x4.shl(p, 16) : fromHalf(p);
    const y = isBrain<T>() ? i32x4.shl(q, 16) : fromHalf(q);
    store<u16>(out, <u16>i32x4.extract_lane(narrow<T>(of32(op, x, y)), 0));
  }
}

// @ts-ignore: decorator
@inline
function chooseSmall<T>(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  if (op == SUM) small<T>(SUM, out, a, b, n);
  else if (op == PRODUCT) small<T>(PRODUCT, out, a, b, n);
  else if (op == MIN) small<T>(MIN, out, a, b, n);
  else small<T>(MAX, out, a, b, n);
}

// The type argument only tells the two formats apart.
export function bfloat16(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  chooseSmall<i16>(op, out, a, b, n);
}
export function float16(op: i32, out: usize, a: usize, b: usize, n: i32): void {
  chooseSmall<i32>(op, out, a, b, n);
}
export function divideBfloat16(out: usize, n: i32, divisor: f32): void {
  const end = out + <usize>n * 2;
  for (; out < end; out += 2) {
    const x = i32x4.shl(i32x4.splat(load<u16>(out)), 16);
    store<u16>(out, <u16>i32x4.extract_lane(toBrain(f32x4.div(x, f32x4.splat(divisor))), 0));
  }
}
export function divideFloat16(out: usize, n: i32, divisor: f32): void {
  const end = out + <usize>n * 2;
  for (; out < end; out += 2) {
    const x = fromHalf(i32x4.splat(load<u16>(out)));
    store<u16>(out, <u16>i32x4.extract_lane(toHalf(f32x4.div(x, f32x4.splat(divisor))), 0));
  }
}
