/**
 * Uniform and normal fills. `out` receives the values, already rounded to `dtype`, in the order of the memory;
 * float16 and bfloat16 come as the float32 values that they stand for, so the caller encodes them exactly.
 */
import { fma32, fma64, type RandomFloat, roundTo } from './round.js';
import type { RandomStream } from './stream.js';

/** A receiver of values: any numeric typed array (or array) of at least the wanted length. */
export type Values = Float32Array | Float64Array;

const fround = Math.fround;
const TWO_PI = 2 * Math.PI;
const TWO_PI_32 = fround(TWO_PI);

/** `uniform_(low, high)`: values in [low, high). */
export function fillUniform(stream: RandomStream, out: Values, dtype: RandomFloat, low = 0, high = 1): void {
  const n = out.length;
  if (dtype === 'float32' && low === 0 && high === 1) {
    stream.fill24(out);
    return;
  }
  const first = roundTo(dtype, low);
  const end = roundTo(dtype, high);
  if (dtype === 'float64') {
    const width = high - low;
    for (let i = 0; i < n; i++) {
      const value = fma64(stream.u53(), width, low);
      out[i] = value === end ? first : value;
    }
    return;
  }
  const a = fround(low);
  const width = fround(fround(high) - a);
  if (dtype === 'float32') {
    stream.fill24(out);
    for (let i = 0; i < n; i++) {
      const value = fma32(out[i]!, width, a);
      out[i] = value === end ? first : value;
    }
    return;
  }
  for (let i = 0; i < n; i++) {
    const value = roundTo(dtype, fma32(stream.u24(), width, a));
    out[i] = value === end ? first : value;
  }
}

/** One standard normal by Box-Muller; of each pair the second waits in the stream's cache. */
export function drawNormal(stream: RandomStream): number {
  const cached = stream.cachedNormal;
  if (cached !== undefined) {
    stream.cachedNormal = undefined;
    return cached;
  }
  const u1 = stream.u53();
  const u2 = stream.u53();
  const radius = Math.sqrt(-2 * Math.log1p(-u2));
  const angle = TWO_PI * u1;
  stream.cachedNormal = radius * Math.sin(angle);
  return radius * Math.cos(angle);
}

/**
 * `normal_(mean, std)`. A contiguous tensor of 16 elements and more is made in blocks of 16 (PyTorch's vector code);
 * anything else one by one.
 */
export function fillNormal(
  stream: RandomStream,
  out: Values,
  dtype: RandomFloat,
  mean = 0,
  std = 1,
  contiguous = true,
): void {
  const n = out.length;
  if (n < 16 || !contiguous) {
    for (let i = 0; i < n; i++) out[i] = roundTo(dtype, drawNormal(stream) * std + mean);
  } else if (dtype === 'float64') {
    blocks(
      out,
      (part) => {
        for (let i = 0; i < part.length; i++) part[i] = stream.u53();
      },
      (at) => normalBlock64(out, at, mean, std),
    );
  } else if (dtype === 'float32') {
    const m = fround(mean);
    const s = fround(std);
    blocks(
      out,
      (part) => stream.fill24(part),
      (at) => normalBlock32(out, at, m, s),
    );
  } else {
    narrowNormal(stream, out, dtype, fround(mean), fround(std));
  }
}

/** All uniforms first, then the blocks; an incomplete tail is redrawn as the last 16 elements. */
function blocks(out: Values, uniforms: (part: Values) => void, block: (at: number) => void): void {
  const n = out.length;
  uniforms(out);
  for (let at = 0; at + 16 <= n; at += 16) block(at);
  if (n % 16 === 0) return;
  uniforms(out.subarray(n - 16));
  block(n - 16);
}

/** The narrow types draw block by block in float32 and never for the tail that the last block replaces. */
function narrowNormal(
  stream: RandomStream,
  out: Values,
  dtype: RandomFloat,
  mean: number,
  std: number,
): void {
  const n = out.length;
  const block = new Float32Array(16);
  const run = (at: number): void => {
    for (let i = 0; i < 16; i++) block[i] = stream.u24();
    normalBlock32(block, 0, mean, std);
    for (let i = 0; i < 16; i++) out[at + i] = roundTo(dtype, block[i]!);
  };
  for (let at = 0; at + 16 <= n; at += 16) run(at);
  if (n % 16 !== 0) run(n - 16);
}

function normalBlock64(d: Values, at: number, mean: number, std: number): void {
  for (let j = at; j < at + 8; j++) {
    const radius = Math.sqrt(-2 * Math.log(1 - d[j]!));
    const angle = TWO_PI * d[j + 8]!;
    d[j] = radius * Math.cos(angle) * std + mean;
    d[j + 8] = radius * Math.sin(angle) * std + mean;
  }
}

function normalBlock32(d: Values, at: number, mean: number, std: number): void {
  for (let j = at; j < at + 8; j++) {
    const radius = fround(Math.sqrt(fround(-2 * log32(fround(1 - d[j]!)))));
    sincos32(fround(TWO_PI_32 * d[j + 8]!));
    d[j] = fround(fround(radius * cos32) * std + mean);
    d[j + 8] = fround(fround(radius * sin32) * std + mean);
  }
}

const bitsF = new Float32Array(1);
const bitsI = new Int32Array(bitsF.buffer);
const SQRT_HALF = fround(Math.SQRT1_2);
const L0 = fround(7.0376836292e-2);
const L1 = fround(-1.151461031e-1);
const L2 = fround(1.167699874e-1);
const L3 = fround(-1.2420140846e-1);
const L4 = fround(1.4249322787e-1);
const L5 = fround(-1.6668057665e-1);
const L6 = fround(2.0000714765e-1);
const L7 = fround(-2.4999993993e-1);
const L8 = fround(3.3333331174e-1);
const Q1 = fround(-2.1219444e-4);
const Q2 = fround(0.693359375);

/** The float32 logarithm of PyTorch's vector code (Cephes), x in (0, 1]. */
function log32(x: number): number {
  bitsF[0] = x;
  const bits = bitsI[0]!;
  let e = ((bits >>> 23) & 0xff) - 126;
  bitsI[0] = (bits & 0x007fffff) | 0x3f000000;
  const m = bitsF[0];
  let t = fround(m - 1);
  if (m < SQRT_HALF) {
    e -= 1;
    t = fround(t + m);
  }
  const z = fround(t * t);
  let y = fround(L0 * t + L1);
  y = fround(y * t + L2);
  y = fround(y * t + L3);
  y = fround(y * t + L4);
  y = fround(y * t + L5);
  y = fround(y * t + L6);
  y = fround(y * t + L7);
  y = fround(y * t + L8);
  y = fround(y * t);
  y = fround(y * z + fround(e * Q1));
  y = fround(-z * 0.5 + y);
  return fround(e * Q2 + fround(t + y));
}

const FOUR_OVER_PI = fround(1.27323954473516);
const D1 = fround(-0.78515625);
const D2 = fround(-2.4187564849853516e-4);
const D3 = fround(-3.774894977445941e-8);
const C0 = fround(2.443315711809948e-5);
const C1 = fround(-1.388731625493765e-3);
const C2 = fround(4.166664568298827e-2);
const S0 = fround(-1.9515295891e-4);
const S1 = fround(8.3321608736e-3);
const S2 = fround(-1.6666654611e-1);
// Results of sincos32: two module variables, because a pair would be allocated for every element.
let sin32 = 0;
let cos32 = 0;

/** The float32 sine and cosine of PyTorch's vector code (Cephes), 0 <= angle < 2 pi. */
function sincos32(angle: number): void {
  const j = (Math.trunc(fround(angle * FOUR_OVER_PI)) + 1) & ~1;
  let x = fround(j * D1 + angle);
  x = fround(j * D2 + x);
  x = fround(j * D3 + x);
  const z = fround(x * x);
  let c = fround(fround(C0 * z + C1) * z + C2);
  c = fround(c * z);
  c = fround(fround(c * z - fround(z * 0.5)) + 1);
  let s = fround(fround(S0 * z + S1) * z + S2);
  s = fround(s * z);
  s = fround(s * x + x);
  const swap = (j & 2) !== 0;
  sin32 = swap ? c : s;
  cos32 = swap ? s : c;
  if ((j & 4) !== 0) sin32 = -sin32;
  if (((j - 2) & 4) === 0) cos32 = -cos32;
}
