/** The SIMD kernels against the oracle: one suite, sizes around the vector and block edges. */
import { describe, expect, it } from 'vitest';
import { enableRelaxedSimd } from '../../platform/index.js';
import type { Backend, Nd } from '../backend.js';
import { referenceBackend } from '../reference/index.js';
import { createWasmBackend } from './index.js';

// Before anything enables relaxed SIMD, so that both modules are seen; where the engine has it anyway they are one.
const plain = createWasmBackend(referenceBackend);
const wasm = createWasmBackend(referenceBackend, enableRelaxedSimd);

function values(n: number, seed: number, scale = 2): Float32Array {
  const out = new Float32Array(n);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < n; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = (state / 2 ** 32 - 0.5) * 2 * scale;
  }
  return out;
}

function nd(shape: number[], data: Float32Array = new Float32Array(shape.reduce((a, b) => a * b, 1))): Nd {
  const strides = shape.map((_, d) => shape.slice(d + 1).reduce((a, b) => a * b, 1));
  return { dtype: 'float32', data, shape, strides, offset: 0 };
}

const transposed = (x: Nd): Nd => {
  const [b, r, c] = x.shape as [number, number, number];
  const [s0, s1, s2] = x.strides as [number, number, number];
  return { ...x, shape: [b, c, r], strides: [s0, s2, s1] };
};

/** Runs the same call on both backends and compares what they wrote. */
function same(outs: number[][], call: (backend: Backend, outs: Nd[]) => void, tolerance = 1e-5): void {
  const [want, got] = [outs.map((s) => nd(s)), outs.map((s) => nd(s))];
  call(referenceBackend, want);
  call(wasm, got);
  const unfused = outs.map((s) => nd(s));
  call(plain, unfused);
  compare(want, got, tolerance);
  compare(want, unfused, tolerance);
}

function compare(want: Nd[], got: Nd[], tolerance: number): void {
  want.forEach((w, i) => {
    const g = got[i]!.data as Float32Array;
    (w.data as Float32Array).forEach((x, j) => {
      const allowed = tolerance + 2e-6 * Math.abs(x);
      if (!(Math.abs(g[j]! - x) <= allowed) && !Object.is(g[j], x)) {
        expect.fail(`output ${i} at ${j}: got ${g[j]}, want ${x}`);
      }
    });
  });
}

describe('matmul', () => {
  for (const [m, k, n] of [
    [17, 33, 19],
    [64, 64, 64],
    [5, 300, 9],
    [130, 257, 71],
    [1, 128, 64],
    [97, 70, 1],
  ] as const) {
    it(`agrees on [${m}, ${k}] x [${k}, ${n}] in every layout`, () => {
      const [a, b] = [nd([2, m, k], values(2 * m * k, 1)), nd([2, k, n], values(2 * k * n, 2))];
      const at = transposed(nd([2, k, m], values(2 * m * k, 3)));
      const bt = transposed(nd([2, n, k], values(2 * k * n, 4)));
      const bias = { ...nd([n], values(n, 5)), shape: [2, m, n], strides: [0, 0, 1] };
      const tolerance = 1e-6 * k + 1e-5;
      for (const [x, y] of [
        [a, b],
        [at, b],
        [a, bt],
        [at, bt],
      ] as const) {
        same([[2, m, n]], (backend, [o]) => backend.matmul(x, y, o!), tolerance);
        same([[2, m, n]], (backend, [o]) => backend.matmul(x, y, o!, bias), tolerance);
      }
    });
  }
});

describe('elementwise', () => {
  const special = [0, -0, 1e-30, -1e-5, 88.7, 89, -87, -110, 500, -500, Infinity, -Infinity, Number.NaN];
  const x = values(1003, 6, 12);
  x.set(special, 100);
  for (const op of ['exp', 'tanh', 'erf', 'sigmoid'] as const) {
    it(`${op} agrees, at the special values too`, () =>
      same([[1003]], (b, [o]) => b.unary(op, nd([1003], x), o!), 1e-6));
  }
  for (const op of ['tanh', 'erf'] as const) {
    it(`${op} is 1 at the end of the range and never beyond`, () => {
      const far = Float32Array.from({ length: 4000 }, (_, i) => 3 + i / 400);
      const out = nd([4000]);
      for (const backend of [plain, wasm]) {
        backend.unary(op, nd([4000], far), out);
        expect(Math.max(...(out.data as Float32Array))).toBe(1);
        expect(new Set((out.data as Float32Array).subarray(3000))).toEqual(new Set([1]));
      }
    });
  }
  for (const op of ['neg', 'abs', 'sqrt', 'rsqrt', 'reciprocal', 'square', 'relu', 'log'] as const) {
    it(`${op} agrees, at the special values too`, () =>
      same([[1003]], (b, [o]) => b.unary(op, nd([1003], x), o!), 1e-6));
  }
  it('log agrees over the whole range', () => {
    const all = Float32Array.from({ length: 4000 }, (_, i) => 2 ** ((i - 2980) / 20));
    same([[4000]], (b, [o]) => b.unary('log', nd([4000], all), o!), 1e-7);
  });
  const y = values(1003, 21, 12);
  y.set(special.toReversed(), 104);
  for (const op of ['add', 'sub', 'mul', 'div', 'maximum', 'minimum'] as const) {
    it(`${op} agrees, at the special values too`, () =>
      same([[1003]], (b, [o]) => b.binary(op, nd([1003], x), nd([1003], y), o!), 0));
  }
  const whole = nd([300, 130], values(39_000, 22));
  const spread: Record<string, Nd> = {
    scalar: { ...nd([1], values(1, 23)), shape: [300, 130], strides: [0, 0] },
    row: { ...nd([130], values(130, 24)), shape: [300, 130], strides: [0, 1] },
    column: { ...nd([300], values(300, 25)), shape: [300, 130], strides: [1, 0] },
    transposed: { ...nd([130, 300], values(39_000, 26)), shape: [300, 130], strides: [1, 300] },
    part: { ...nd([310, 140], values(43_400, 27)), shape: [300, 130], strides: [140, 1], offset: 145 },
  };
  for (const [name, operand] of Object.entries(spread)) {
    it(`takes a ${name} as either operand`, () => {
      same([[300, 130]], (b, [o]) => b.binary('sub', whole, operand, o!), 0);
      same([[300, 130]], (b, [o]) => b.binary('sub', operand, whole, o!), 0);
      same([[300, 130]], (b, [o]) => b.axpy(-0.3, operand, whole, o!), 1e-6);
    });
  }
  it('the gradient of a threshold agrees, nan passes', () =>
    same([[1003]], (b, [o]) => b.thresholdBackward(nd([1003], y), nd([1003], x), 0.5, o!), 0));
  const finite = values(70_001, 7, 8);
  it('silu agrees over several pieces', () =>
    same([[70_001]], (b, [o]) => b.unary('silu', nd([70_001], finite), o!)));
  for (const approximate of ['none', 'tanh'] as const) {
    it(`gelu (${approximate}) and its gradient agree`, () => {
      const grad = nd([70_001], values(70_001, 8));
      same([[70_001]], (b, [o]) => b.gelu(nd([70_001], finite), o!, approximate), 1e-5);
      same([[70_001]], (b, [o]) => b.geluBackward(grad, nd([70_001], finite), o!, approximate), 1e-5);
    });
  }
  it('adam agrees over steps', () => {
    const p = {
      lr: 1e-2,
      beta1: 0.9,
      beta2: 0.999,
      eps: 1e-8,
      weightDecay: 0.1,
      decoupled: true,
      maximize: false,
    };
    same([[40_001], [40_001], [40_001]], (b, [w, m, v]) => {
      (w!.data as Float32Array).set(values(40_001, 9));
      for (let step = 1; step <= 3; step++)
        b.adam(w!, nd([40_001], values(40_001, 10 + step)), m!, v!, null, { ...p, step });
    });
  });
});

describe('reductions', () => {
  const x = nd([7, 50, 33], values(7 * 50 * 33, 30));
  const moved: Nd = { ...x, shape: [33, 7, 50], strides: [1, 50 * 33, 33] };
  for (const op of ['sum', 'mean'] as const) {
    for (const dims of [[2], [1, 2], [0], [0, 1], [1], [0, 2], [0, 1, 2]]) {
      it(`${op} over [${dims}] agrees in two layouts`, () => {
        for (const t of [x, moved]) {
          const rest = t.shape.filter((_, d) => !dims.includes(d));
          same([rest], (b, [o]) => b.reduce(op, t, dims, o!), 2e-4);
        }
      });
    }
    it(`${op} of a row longer than a piece agrees`, () =>
      same([[2]], (b, [o]) => b.reduce(op, nd([2, 70_001], values(140_002, 31)), [1], o!), 1e-2));
  }
  it('the norm agrees, of values whose squares leave the range too', () => {
    same([[7, 50]], (b, [o]) => b.vectorNorm(x, 2, [2], o!), 1e-5);
    const far = nd([4, 100], values(400, 32, 1e25));
    const near = nd([4, 100], values(400, 33, 1e-25));
    for (const t of [far, near]) {
      same([[4]], (b, [o]) => {
        b.vectorNorm(t, 2, [1], o!);
        const scaled = o!.data as Float32Array;
        for (const [i, v] of scaled.entries()) scaled[i] = v * (t === far ? 1e-25 : 1e25);
      });
    }
  });
});

describe('rows', () => {
  for (const n of [3, 16, 77, 1000]) {
    const x = nd([50, n], values(50 * n, 11, 5));
    const g = nd([50, n], values(50 * n, 12));
    const [w, b] = [nd([n], values(n, 13)), nd([n], values(n, 14))];
    it(`softmax of ${n} agrees`, () => {
      for (const log of [false, true]) {
        same([[50, n]], (k, [o]) => k.softmax(x, 1, log, o!), 2e-6);
        same(
          [
            [50, n],
            [50, n],
          ],
          (k, [y, o]) => {
            k.softmax(x, 1, log, y!);
            k.softmaxBackward(g, y!, 1, log, o!);
          },
        );
      }
    });
    it(`norms of ${n} agree`, () => {
      same(
        [[50, n], [50], [50], [50, n], [n], [n]],
        (k, [o, m, r, dx, dw, db]) => {
          k.layerNorm(x, n, w, b, 1e-5, o!, m!, r!);
          k.layerNormBackward(g, x, m!, r!, n, w, dx!, dw!, db!);
        },
        5e-5,
      );
      same(
        [[50, n], [50], [50, n], [n]],
        (k, [o, r, dx, dw]) => {
          k.rmsNorm(x, n, w, 1e-6, o!, r!);
          k.rmsNormBackward(g, x, r!, n, w, dx!, dw!);
        },
        5e-5,
      );
    });
  }
});

describe('embedding', () => {
  const ids = BigInt64Array.from({ length: 700 }, (_, i) => BigInt((i * i) % (i < 400 ? 7 : 41)));
  const index: Nd = { dtype: 'int64', data: ids, shape: [700], strides: [1], offset: 0 };
  for (const width of [5, 33, 64]) {
    for (const byFrequency of [false, true]) {
      it(`the gradient of width ${width} agrees${byFrequency ? ', by frequency' : ''}`, () => {
        const grad = nd([700, width], values(700 * width, 40));
        same([[45, width]], (b, [o]) => b.embeddingBackward(grad, index, 45, 2, byFrequency, o!), 1e-5);
      });
    }
  }
});

describe('attention', () => {
  for (const [n, m, causal, masked] of [
    [70, 70, true, false],
    [150, 40, false, true],
    [3, 200, true, true],
  ] as const) {
    it(`${n} queries on ${m} keys agree${causal ? ', causal' : ''}${masked ? ', masked' : ''}`, () => {
      const [B, d, e] = [2, 24, 20];
      const [q, k, v] = [
        nd([B, n, d], values(B * n * d, 15)),
        nd([B, m, d], values(B * m * d, 16)),
        nd([B, m, e], values(B * m * e, 17)),
      ];
      const bits = values(B * n * m, 18);
      if (masked)
        bits.forEach((x, i) => {
          if (x > 1) bits[i] = Number.NEGATIVE_INFINITY;
        });
      if (masked) bits.fill(Number.NEGATIVE_INFINITY, 0, m);
      const mask = masked ? nd([B, n, m], bits) : null;
      const grad = nd([B, n, e], values(B * n * e, 19));
      const gradLse = nd([B, n], values(B * n, 20));
      const p = { scale: 0.2, causal };
      same(
        [
          [B, n, e],
          [B, n],
          [B, n, d],
          [B, m, d],
          [B, m, e],
        ],
        (b, [o, l, dq, dk, dv]) => {
          b.attention(q, k, v, mask, p, o!, l!);
          b.attentionBackward(grad, q, k, v, mask, o!, l!, gradLse, p, dq!, dk!, dv!, null);
        },
        5e-5,
      );
    });
  }
});

describe('random fills', () => {
  const words = (): Int32Array => Int32Array.from({ length: 624 }, (_, i) => Math.imul(i + 1, 1812433253));

  it('uniforms go through a Mersenne Twister as the reference does', () => {
    for (const n of [64, 623, 625, 20_001]) {
      for (const position of [0, 1, 300, 623, 624]) {
        const [mine, theirs] = [words(), words()];
        const [got, want] = [new Float32Array(n), new Float32Array(n)];
        expect(wasm.uniforms(mine, position, got)).toBe(referenceBackend.uniforms(theirs, position, want));
        expect(got).toEqual(want);
        expect(mine).toEqual(theirs);
      }
    }
  });

  it('normalBlocks gives the bits of the reference, at the ends of the range too', () => {
    const uniform = new Float32Array(1 << 16);
    referenceBackend.uniforms(words(), 624, uniform);
    uniform.set([0, 2 ** -24, 0.5, 1 - 2 ** -24, 0.25, 0.75, 0.2928932, 0.125]);
    uniform.set([0, 2 ** -24, 0.5, 1 - 2 ** -24, 0.25, 0.75, 0.875, 0.125], 8);
    for (const backend of [wasm, plain]) {
      const [got, want] = [uniform.slice(), uniform.slice()];
      backend.normalBlocks(got, 0.25, 1.5);
      referenceBackend.normalBlocks(want, 0.25, 1.5);
      expect(got).toEqual(want);
    }
  });
});
