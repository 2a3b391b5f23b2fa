/**
 * Compute kernels and a training step on one thread beside PyTorch's, tfjs's WASM backend's and ml-matrix's. Everybody is
 * measured in turn, several rounds long, and every figure is the fastest run of all rounds, ours and the peers' alike: what the
 * machine does when nobody else is on it.
 */
import { Matrix } from 'ml-matrix';
import { F, optim, type Tensor, torch } from '../runtime/index.js';
import { fastestMs, round } from './stats.js';
import { TORCH_ABSENT, torchPeer } from './torch-peer.js';
import { trainingStep } from './training-step.js';

const SIZES = [256, 512, 1024] as const;

/** What must hold, as speed of ours over the peer's. */
const WANTED = { matmul: 0.4, matmulOfTfjs: 1.3, kernels: 0.25, trainingStep: 1 / 3 };

const ROUNDS = 3;

type Times = Record<string, number>;
/** The smaller of both by name; the reason of an absent peer stays. */
function fastest<T extends Times | string | undefined>(before: T | undefined, now: T): T {
  if (typeof before !== 'object' || typeof now !== 'object') return now;
  return Object.fromEntries(
    Object.entries(now).map(([name, ms]) => [name, Math.min(ms, before[name] ?? ms)]),
  ) as T;
}

const gflops = (n: number, ms: number): number => (2 * n ** 3) / ms / 1e6;

/** Milliseconds of tfjs's product by size; the reason when it cannot be had. */
async function tfjsMatmul(): Promise<Times | string> {
  try {
    await import('@tensorflow/tfjs-backend-wasm');
    const tf = await import('@tensorflow/tfjs-core');
    await tf.setBackend('wasm');
    const result: Times = {};
    for (const n of SIZES) {
      const [a, b] = [tf.randomNormal([n, n]), tf.randomNormal([n, n])] as [TfMatrix, TfMatrix];
      result[n] = fastestMs(() => {
        const c = tf.matMul(a, b);
        c.dataSync();
        c.dispose();
      });
    }
    return result;
  } catch (error) {
    return `absent: ${error instanceof Error ? error.message : String(error)}`;
  }
}
type TfMatrix = import('@tensorflow/tfjs-core').Tensor2D;

function products(): Times {
  const result: Times = {};
  for (const n of SIZES) {
    const [a, b] = [torch.randn([n, n]), torch.randn([n, n])];
    result[n] = fastestMs(() => a.matmul(b));
  }
  return result;
}

function kernels(): Times {
  const result: Times = {};
  const x = torch.randn([512, 2048]);
  const [w, c] = [torch.randn([2048]), torch.randn([2048])];
  result['softmaxMs'] = fastestMs(() => F.softmax(x, -1));
  result['layerNormMs'] = fastestMs(() => F.layerNorm(x, [2048], { weight: w, bias: c }));
  result['geluMs'] = fastestMs(() => F.gelu(x));
  const p = torch.randn([1 << 20]).requiresGrad_();
  p.grad = torch.randn([1 << 20]);
  const optimizer = new optim.AdamW([p], { lr: 1e-3 });
  result['adamWMs'] = fastestMs(() => optimizer.step());
  const [q, k, v] = [0, 1, 2].map(() => torch.randn([1, 8, 512, 64]).requiresGrad_()) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const g = torch.randn([1, 8, 512, 64]);
  result['attentionMs'] = fastestMs(() => {
    q.grad = k.grad = v.grad = null;
    F.scaledDotProductAttention(q, k, v, { isCausal: true }).backward(g);
  });
  return result;
}

/** Ours beside PyTorch's, with the speed of ours as a share of it. */
function beside(
  ours: number,
  peer: number | undefined,
  wanted: number,
): Record<string, number | string | boolean> {
  if (peer === undefined) return { ours: round(ours) };
  const share = peer / ours;
  return { ours: round(ours), torch: round(peer), ofTorch: round(share), wanted, holds: share >= wanted };
}

export async function benchTensors(): Promise<Record<string, unknown>> {
  const result: Record<string, unknown> = {};
  let [ours, other, theirs, tfjs]: [Times, Times, Times | undefined, Times | string] = [
    {},
    {},
    undefined,
    '',
  ];
  const step = trainingStep();
  let stepMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    ours = fastest(ours, products());
    other = fastest(other, kernels());
    stepMs = Math.min(stepMs, fastestMs(step, 3, 0, round === 0 ? 2 : 0));
    theirs = fastest(theirs, torchPeer('tensors'));
    tfjs = fastest(tfjs, await tfjsMatmul());
  }
  for (const n of SIZES) {
    const line: Record<string, unknown> = {
      ours: round(gflops(n, ours[n]!)),
      ...(theirs ? { torch: round(gflops(n, theirs[`matmul${n}Ms`]!)) } : {}),
    };
    if (theirs) line['ofTorch'] = round(theirs[`matmul${n}Ms`]! / ours[n]!);
    if (typeof tfjs === 'string') line['tfjs'] = tfjs;
    else {
      line['tfjs'] = round(gflops(n, tfjs[n]!));
      line['ofTfjs'] = round(tfjs[n]! / ours[n]!);
    }
    if (n < 1024) {
      const [a, b] = [Matrix.rand(n, n), Matrix.rand(n, n)];
      line['mlMatrix'] = round(
        gflops(
          n,
          fastestMs(() => a.mmul(b), 2, 0, 1),
        ),
      );
    }
    line['wanted'] = `${WANTED.matmul} of torch, ${WANTED.matmulOfTfjs} of tfjs`;
    line['holds'] =
      !(theirs && theirs[`matmul${n}Ms`]! / ours[n]! < WANTED.matmul) &&
      !(typeof tfjs !== 'string' && tfjs[n]! / ours[n]! < WANTED.matmulOfTfjs);
    result[`matmul${n}GFlops`] = line;
  }
  for (const [name, ms] of Object.entries(other)) result[name] = beside(ms, theirs?.[name], WANTED.kernels);
  result['trainingStepMs'] = beside(stepMs, theirs?.['trainingStepMs'], WANTED.trainingStep);
  if (theirs === undefined) result['torch'] = TORCH_ABSENT;
  return result;
}
