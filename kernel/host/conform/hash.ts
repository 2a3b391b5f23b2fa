/**
 * The corpus's exact integer hash: element i is `(i * 2654435761 + seed * 40503 + 12345) mod 2^32` with its bits mixed.
 * All of it stays in 32-bit arithmetic, so the numbers are the recorder's bit for bit.
 */
function hashAt(i: number, base: number): number {
  let x = (Math.imul(i >>> 0, 2654435761 | 0) + base) >>> 0;
  // An index beyond 2^32 would wrap in 64 bits and then be masked: the same as wrapping here.
  x = (x ^ (x >>> 16)) >>> 0;
  x = Math.imul(x, 0x45d9f3b) >>> 0;
  return (x ^ (x >>> 16)) >>> 0;
}

function baseOf(seed: number): number {
  return Number((BigInt.asUintN(64, BigInt(seed)) * 40503n + 12345n) & 0xffffffffn);
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Float32 values in [-0.5, 0.5) times `scale`, computed in float64 and rounded once. */
export function hashFill(shape: readonly number[], seed: number, scale = 1): Float32Array {
  const out = new Float32Array(countOf(shape));
  const base = baseOf(seed);
  for (let i = 0; i < out.length; i++) out[i] = (hashAt(i, base) / 4294967296 - 0.5) * scale;
  return out;
}

/** Whole numbers in [low, high). */
export function hashInts(shape: readonly number[], seed: number, low: number, high: number): number[] {
  const base = baseOf(seed);
  return Array.from({ length: countOf(shape) }, (_, i) => low + (hashAt(i, base) % (high - low)));
}
