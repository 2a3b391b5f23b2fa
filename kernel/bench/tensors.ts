/** Compute kernels and a training step on one thread beside PyTorch's, tfjs's and ml-matrix's. */
import { Matrix } from 'ml-matrix';
import { F, optim, type Tensor, torch } from '../runtime/index.js';
import { round, timeMs } from './stats.js';
import { TORCH_ABSENT, torchPeer } from './torch-peer.js';
import { trainingStep } from './training-step.js';

/** tfjs is a peer of its own process: it is not a dependency, and is measured only where somebody installed it. */
async function tfjsMatmul(n: number): Promise<number | undefined> {
  const core: string = '@tensorflow/tfjs-core';
  const backend: string = '@tensorflow/tfjs-backend-wasm';
  try {
    await import(backend);
    const tf = (await import(core)) as {
      setBackend(name: string): Promise<boolean>;
      randomNormal(shape: number[]): { dispose(): void };
      matMul(a: unknown, b: unknown): { dataSync(): unknown; dispose(): void };
    };
    await tf.setBackend('wasm');
    const [a, b] = [tf.randomNormal([n, n]), tf.randomNormal([n, n])];
    return timeMs(() => {
      const c = tf.matMul(a, b);
      c.dataSync();
      c.dispose();
    });
  } catch {
    return undefined;
  }
}

function ours(): Record<string, number> {
  const result: Record<string, number> = {};
  for (const n of [256, 512, 1024]) {
    const [a, b] = [torch.randn([n, n]), torch.randn([n, n])];
    result[`matmul${n}Ms`] = timeMs(() => a.matmul(b));
  }
  const x = torch.randn([512, 2048]);
  const [w, c] = [torch.randn([2048]), torch.randn([2048])];
  result['softmaxMs'] = timeMs(() => F.softmax(x, -1));
  result['layerNormMs'] = timeMs(() => F.layerNorm(x, [2048], { weight: w, bias: c }));
  result['geluMs'] = timeMs(() => F.gelu(x));
  const p = torch.randn([1 << 20]).requiresGrad_();
  p.grad = torch.randn([1 << 20]);
  const optimizer = new optim.AdamW([p], { lr: 1e-3 });
  result['adamWMs'] = timeMs(() => optimizer.step());
  const [q, k, v] = [0, 1, 2].map(() => torch.randn([1, 8, 512, 64]).requiresGrad_()) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const g = torch.randn([1, 8, 512, 64]);
  result['attentionMs'] = timeMs(() => {
    q.grad = k.grad = v.grad = null;
    F.scaledDotProductAttention(q, k, v, { isCausal: true }).backward(g);
  });
  result['trainingStepMs'] = timeMs(trainingStep());
  return result;
}

export async function benchTensors(): Promise<Record<string, unknown>> {
  const mine = ours();
  const torchMs = torchPeer('tensors');
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(mine)) {
    const peer = torchMs?.[name];
    result[name] =
      peer === undefined
        ? { ours: round(value) }
        : { ours: round(value), torch: round(peer), speedOfTorch: round(peer / value) };
  }
  const a = Matrix.rand(512, 512);
  const b = Matrix.rand(512, 512);
  result['mlMatrix512Ms'] = round(timeMs(() => a.mmul(b), 3, 1));
  result['tfjs512Ms'] =
    (await tfjsMatmul(512)) ??
    'not installed (npm install --no-save @tensorflow/tfjs-core @tensorflow/tfjs-backend-wasm)';
  if (torchMs === undefined) result['torch'] = TORCH_ABSENT;
  return result;
}
