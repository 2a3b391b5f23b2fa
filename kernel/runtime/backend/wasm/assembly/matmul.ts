/**
 * f32 matrix product in the manner of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008):
 * B is packed in panels of NR columns, A in panels of MR rows, and the innermost loop keeps an MR x NR tile of C in
 * registers: eight accumulators, two of B and one broadcast of A. Larger tiles (6 x 8, 4 x 12) and unrolled
 * loops were measured slower: V8 spills.
 */
import { fma } from './math';

const MR: i32 = 4;
const NR: i32 = 8;
/** Sizes of the packed blocks: KC x NR of B stays in L1, MC x KC of A in L2. */
const KC: i32 = 256;
const MC: i32 = 96;

/** Bytes of scratch that `matmul` wants for an [m, k] x [k, n] product. */
export function matmulScratch(n: i32): i32 {
  const columns = ((n + NR - 1) / NR) * NR;
  return 4 * (KC * columns + MC * KC + MR * NR);
}

/** Panels of NR columns, k running inside a panel; missing columns are zero. */
function packB(b: usize, rs: i32, cs: i32, k0: i32, kc: i32, n: i32, out: usize): void {
  for (let j = 0; j < n; j += NR) {
    const width = min(NR, n - j);
    if (width == NR && cs == 1) {
      let source = b + ((<usize>(k0 * rs + j)) << 2);
      for (let k = 0; k < kc; k++) {
        v128.store(out, v128.load(source));
        v128.store(out, v128.load(source, 16), 16);
        source += (<usize>rs) << 2;
        out += NR << 2;
      }
    } else {
      for (let k = 0; k < kc; k++) {
        for (let c = 0; c < NR; c++) {
          const value = c < width ? load<f32>(b + ((<usize>((k0 + k) * rs + (j + c) * cs)) << 2)) : <f32>0;
          store<f32>(out + ((<usize>c) << 2), value);
        }
        out += NR << 2;
      }
    }
  }
}

/** Panels of MR rows, k running inside a panel; missing rows are zero. */
function packA(a: usize, rs: i32, cs: i32, i0: i32, mc: i32, k0: i32, kc: i32, out: usize): void {
  for (let i = 0; i < mc; i += MR) {
    const height = min(MR, mc - i);
    if (height == MR) {
      let p = a + ((<usize>((i0 + i) * rs + k0 * cs)) << 2);
      const r: usize = (<usize>rs) << 2;
      const c: usize = (<usize>cs) << 2;
      for (let k = 0; k < kc; k++) {
        store<f32>(out, load<f32>(p));
        store<f32>(out, load<f32>(p + r), 4);
        store<f32>(out, load<f32>(p + 2 * r), 8);
        store<f32>(out, load<f32>(p + 3 * r), 12);
        p += c;
        out += MR << 2;
      }
    } else {
      for (let k = 0; k < kc; k++) {
        for (let r = 0; r < MR; r++) {
          const value = r < height ? load<f32>(a + ((<usize>((i0 + i + r) * rs + (k0 + k) * cs)) << 2)) : <f32>0;
          store<f32>(out + ((<usize>r) << 2), value);
        }
        out += MR << 2;
      }
    }
  }
}

/** One MR x NR tile: c (leading dimension ldc in bytes) = or += panel a times panel b. */
function tile(a: usize, b: usize, kc: i32, c: usize, ldc: usize, first: bool): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  for (const end = a + ((<usize>(kc * MR)) << 2); a < end; ) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let s = v128.load_splat<f32>(a);
    c00 = fma(s, b0, c00);
    c01 = fma(s, b1, c01);
    s = v128.load_splat<f32>(a, 4);
    c10 = fma(s, b0, c10);
    c11 = fma(s, b1, c11);
    s = v128.load_splat<f32>(a, 8);
    c20 = fma(s, b0, c20);
    c21 = fma(s, b1, c21);
    s = v128.load_splat<f32>(a, 12);
    c30 = fma(s, b0, c30);
    c31 = fma(s, b1, c31);
    a += MR << 2;
    b += NR << 2;
  }
  if (!first) {
    let d = c;
    c00 = f32x4.add(v128.load(d), c00);
    c01 = f32x4.add(v128.load(d, 16), c01);
    d += ldc;
    c10 = f32x4.add(v128.load(d), c10);
    c11 = f32x4.add(v128.load(d, 16), c11);
    d += ldc;
    c20 = f32x4.add(v128.load(d), c20);
    c21 = f32x4.add(v128.load(d, 16), c21);
    d += ldc;
    c30 = f32x4.add(v128.load(d), c30);
    c31 = f32x4.add(v128.load(d, 16), c31);
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  c += ldc;
  v128.store(c, c10);
  v128.store(c, c11, 16);
  c += ldc;
  v128.store(c, c20);
  v128.store(c, c21, 16);
  c += ldc;
  v128.store(c, c30);
  v128.store(c, c31, 16);
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
