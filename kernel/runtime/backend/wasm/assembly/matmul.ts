/**
 * f32 matrix product in the manner of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008):
 * B is packed in panels of NR columns, A in panels of MR rows, and the innermost loop keeps an MR x NR tile of C in
 * registers. V8 has 15 vector registers for it and loads all operands of a round before it multiplies: nine accumulators, three
 * of B and three broadcasts of A fit exactly, and nine chains hide the latency of two multipliers that take four cycles each.
 * Eight (4 x 8) do not; more, or unrolled loops, spill.
 */
import { fma } from './math';

const MR: i32 = 3;
const NR: i32 = 12;
/** Sizes of the packed blocks: KC x NR of B stays in L1, MC x KC of A in L2. */
const KC: i32 = 256;
const MC: i32 = 96;

/** Bytes of scratch that `matmul` wants for an [m, k] x [k, n] product. */
export function matmulScratch(n: i32): i32 {
  const columns = ((n + NR - 1) / NR) * NR;
  return 4 * (KC * columns + MC * KC + MR * NR);
}

// @ts-ignore: decorator
@inline
function lower(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 0, 4, 1, 5);
}

// @ts-ignore: decorator
@inline
function upper(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 2, 6, 3, 7);
}

/** Four numbers of each of four columns, which lie `column` bytes apart, stored as four rows of a panel. */
// @ts-ignore: decorator
@inline
function transpose4(from: usize, column: usize, out: usize): void {
  const c0 = v128.load(from);
  const c1 = v128.load(from + column);
  const c2 = v128.load(from + 2 * column);
  const c3 = v128.load(from + 3 * column);
  const even0 = lower(c0, c2);
  const odd0 = lower(c1, c3);
  const even1 = upper(c0, c2);
  const odd1 = upper(c1, c3);
  v128.store(out, lower(even0, odd0));
  v128.store(out, upper(even0, odd0), NR << 2);
  v128.store(out, lower(even1, odd1), NR << 3);
  v128.store(out, upper(even1, odd1), 3 * (NR << 2));
}

/** Panels of NR columns, k running inside a panel; missing columns are zero. */
function packB(b: usize, rs: i32, cs: i32, k0: i32, kc: i32, n: i32, out: usize): void {
  const row = (<usize>rs) << 2;
  const column = (<usize>cs) << 2;
  for (let j = 0; j < n; j += NR) {
    const width = min(NR, n - j);
    let source = b + (<usize>k0) * row + (<usize>j) * column;
    let k = 0;
    if (width == NR && cs == 1) {
      for (; k < kc; k++) {
        v128.store(out, v128.load(source));
        v128.store(out, v128.load(source, 16), 16);
        v128.store(out, v128.load(source, 32), 32);
        source += row;
        out += NR << 2;
      }
    } else {
      if (width == NR && rs == 1) {
        for (; k + 4 <= kc; k += 4) {
          transpose4(source, column, out);
          transpose4(source + 4 * column, column, out + 16);
          transpose4(source + 8 * column, column, out + 32);
          source += 16;
          out += NR << 4;
        }
      }
      for (; k < kc; k++) {
        for (let c = 0; c < NR; c++) {
          const value = c < width ? load<f32>(source + (<usize>c) * column) : <f32>0;
          store<f32>(out + ((<usize>c) << 2), value);
        }
        source += row;
        out += NR << 2;
      }
    }
  }
}

/** Panels of MR rows, k running inside a panel; missing rows are zero. May write one number more than the panels have. */
function packA(a: usize, rs: i32, cs: i32, i0: i32, mc: i32, k0: i32, kc: i32, out: usize): void {
  const row = (<usize>rs) << 2;
  const column = (<usize>cs) << 2;
  for (let i = 0; i < mc; i += MR) {
    const height = min(MR, mc - i);
    let p = a + (<usize>(i0 + i)) * row + (<usize>k0) * column;
    let k = 0;
    if (height == MR) {
      if (rs == 1) {
        // The fourth number is not of this panel; what belongs there is written next.
        for (; k + 1 < kc; k++) {
          v128.store(out, v128.load(p));
          p += column;
          out += MR << 2;
        }
      } else if (cs == 1) {
        for (; k + 4 <= kc; k += 4) {
          const x = v128.load(p);
          const y = v128.load(p + row);
          const z = v128.load(p + 2 * row);
          const xy = lower(x, y);
          v128.store(out, v128.shuffle<f32>(xy, v128.shuffle<f32>(z, x, 0, 5, 0, 5), 0, 1, 4, 5));
          v128.store(out, v128.shuffle<f32>(v128.shuffle<f32>(y, z, 1, 5, 2, 6), x, 0, 1, 6, 2), 16);
          v128.store(out, v128.shuffle<f32>(v128.shuffle<f32>(z, x, 2, 7, 3, 3), v128.shuffle<f32>(y, z, 3, 7, 3, 7), 0, 1, 4, 5), 32);
          p += 16;
          out += 4 * (MR << 2);
        }
      }
      for (; k < kc; k++) {
        store<f32>(out, load<f32>(p));
        store<f32>(out, load<f32>(p + row), 4);
        store<f32>(out, load<f32>(p + 2 * row), 8);
        p += column;
        out += MR << 2;
      }
    } else {
      for (; k < kc; k++) {
        for (let q = 0; q < MR; q++) {
          const value = q < height ? load<f32>(p + (<usize>q) * row) : <f32>0;
          store<f32>(out + ((<usize>q) << 2), value);
        }
        p += column;
        out += MR << 2;
      }
    }
  }
}

/** One MR x NR tile: c (leading dimension ldc in bytes) = or += panel a times panel b. */
function tile(a: usize, b: usize, kc: i32, c: usize, ldc: usize, first: bool): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0);
  for (const end = a + ((<usize>(kc * MR)) << 2); a < end; ) {
    const b0 = v128.load(b, 0);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(b, 32);
    let s: v128;
    s = v128.load_splat<f32>(a, 0);
    c00 = fma(s, b0, c00);
    c01 = fma(s, b1, c01);
    c02 = fma(s, b2, c02);
    s = v128.load_splat<f32>(a, 4);
    c10 = fma(s, b0, c10);
    c11 = fma(s, b1, c11);
    c12 = fma(s, b2, c12);
    s = v128.load_splat<f32>(a, 8);
    c20 = fma(s, b0, c20);
    c21 = fma(s, b1, c21);
    c22 = fma(s, b2, c22);
    a += MR << 2;
    b += NR << 2;
  }
  if (!first) {
    let d = c;
    c00 = f32x4.add(v128.load(d, 0), c00);
    c01 = f32x4.add(v128.load(d, 16), c01);
    c02 = f32x4.add(v128.load(d, 32), c02);
    d += ldc;
    c10 = f32x4.add(v128.load(d, 0), c10);
    c11 = f32x4.add(v128.load(d, 16), c11);
    c12 = f32x4.add(v128.load(d, 32), c12);
    d += ldc;
    c20 = f32x4.add(v128.load(d, 0), c20);
    c21 = f32x4.add(v128.load(d, 16), c21);
    c22 = f32x4.add(v128.load(d, 32), c22);
    d += ldc;
  }
  v128.store(c, c00, 0);
  v128.store(c, c01, 16);
  v128.store(c, c02, 32);
  c += ldc;
  v128.store(c, c10, 0);
  v128.store(c, c11, 16);
  v128.store(c, c12, 32);
  c += ldc;
  v128.store(c, c20, 0);
  v128.store(c, c21, 16);
  v128.store(c, c22, 32);
  c += ldc;
}

/**
 * c [m, n] row major = (with `accumulate`: +=) a [m, k] (strides ars, acs in elements) times b [k, n] (strides brs, bcs).
 * `scratch` has `matmulScratch(n)` bytes.
 */
export function matmul(
  a: usize, ars: i32, acs: i32, b: usize, brs: i32, bcs: i32, c: usize, m: i32, n: i32, k: i32, accumulate: bool, scratch: usize,
): void {
  const columns = ((n + NR - 1) / NR) * NR;
  const packedB = scratch;
  const packedA = packedB + 4 * <usize>(KC * columns);
  const edge = packedA + 4 * <usize>(MC * KC);
  const ldc = (<usize>n) << 2;
  for (let k0 = 0; k0 < k; k0 += KC) {
    const kc = min(KC, k - k0);
    const first = k0 == 0 && !accumulate;
    packB(b, brs, bcs, k0, kc, n, packedB);
    for (let i0 = 0; i0 < m; i0 += MC) {
      const mc = min(MC, m - i0);
      packA(a, ars, acs, i0, mc, k0, kc, packedA);
      for (let j = 0; j < n; j += NR) {
        const panelB = packedB + 4 * <usize>(j * kc);
        for (let i = 0; i < mc; i += MR) {
          const panelA = packedA + 4 * <usize>(i * kc);
          const target = c + 4 * (<usize>(i0 + i) * n + j);
          const height = min(MR, mc - i);
          const width = min(NR, n - j);
          if (height == MR && width == NR) {
            tile(panelA, panelB, kc, target, ldc, first);
          } else {
            tile(panelA, panelB, kc, edge, NR << 2, true);
            for (let r = 0; r < height; r++) {
              for (let s = 0; s < width; s++) {
                const value = load<f32>(edge + 4 * <usize>(r * NR + s));
                const at = target + <usize>r * ldc + 4 * <usize>s;
                store<f32>(at, first ? value : load<f32>(at) + value);
              }
            }
          }
        }
      }
    }
  }
}

/** Adds a row of n values to each of the m rows of c. */
export function addRow(c: usize, row: usize, m: i32, n: i32): void {
  for (let i = 0; i < m; i++) {
    let j = 0;
    for (; j + 4 <= n; j += 4) {
      const at = c + 4 * <usize>j;
      v128.store(at, f32x4.add(v128.load(at), v128.load(row + 4 * <usize>j)));
    }
    for (; j < n; j++) {
      const at = c + 4 * <usize>j;
      store<f32>(at, load<f32>(at) + load<f32>(row + 4 * <usize>j));
    }
    c += 4 * <usize>n;
  }
}
