/** Random fills as PyTorch's vector code makes them, bit for bit. */
import { renewWords, TWISTER_WORDS, temper } from '../../base/index.js';

const fround = Math.fround;

/** See `Backend.uniforms`. */
export function uniforms(words: Int32Array, position: number, out: Float32Array): number {
  let used = position;
  for (let i = 0; i < out.length; ) {
    if (used >= TWISTER_WORDS) {
      renewWords(words);
      used = 0;
    }
    const from = used - i;
    const end = Math.min(out.length, TWISTER_WORDS - from);
    for (; i < end; i++) out[i] = (temper(words[from + i]!) & 0xffffff) * 2 ** -24;
    used = from + i;
  }
  return used;
}

/** See `Backend.normalBlocks`. */
export function normalBlocks(d: Float32Array, mean: number, std: number): void {
  for (let at = 0; at < d.length; at += 16) normalBlock(d, at, mean, std);
}

function normalBlock(d: Float32Array, at: number, mean: number, std: number): void {
  for (let j = at; j < at + 8; j++) {
    const radius = fround(Math.sqrt(fround(-2 * log32(fround(1 - d[j]!)))));
    sincos32(fround(TWO_PI_32 * d[j + 8]!));
    d[j] = fround(fround(radius * cos32) * std + mean);
    d[j + 8] = fround(fround(radius * sin32) * std + mean);
  }
}

const TWO_PI_32 = fround(2 * Math.PI);
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
