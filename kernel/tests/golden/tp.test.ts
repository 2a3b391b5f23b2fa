/** Tensor parallelism against what PyTorch 2.13 observed: outputs, placements, collectives, gradients, optimizers. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster } from '../../runtime/distributed/transport/testing/cluster.js';

interface Case {
  name: string;
  world: number;
  ranks: Record<string, unknown>[];
}

/** `g(shape, seed)[i] = (((7 i + 3 seed) mod 11) - 5) / 4` makes all inputs of the golden files; `out` is how they write tensors. */
const scope = `
  const { nn, F, optim } = runtime;
  const { Shard, Replicate, ColwiseParallel, RowwiseParallel, SequenceParallel, parallelizeModule } = dist;
  const g = (shape, seed) => torch.tensor(Array.from({ length: shape.reduce((a, b) => a * b, 1) },
    (_, i) => (((7 * i + 3 * seed) % 11) - 5) / 4)).reshape(shape);
  const out = (t) => ({ dtype: t.dtype.name, shape: [...t.shape], data: t.detach().flatten().tolist().map(Number) });
  const local = (t) => (t instanceof dist.DTensor ? t.localTensor : t);
  const places = (t) => (t instanceof dist.DTensor ? t.placements.map((p) => p.key) : null);
  const NAMES = { allReduce: 'all_reduce', allGatherSingle: 'all_gather_into_tensor', reduceScatterSingle: 'reduce_scatter_tensor' };
  const counted = (body) => {
    const comm = new CommDebugMode();
    const value = comm.run(body);
    return [value, Object.fromEntries(Object.entries(comm.getCommCounts()).map(([op, n]) => [NAMES[op] ?? op, n]))];
  };
  const set = (p, v) => torch.noGrad(() => p.copy_(v));
  const mesh = dist.initDeviceMesh('cpu', [size]);
  class Net extends nn.Module {
    constructor() {
      super();
      this.w1 = new nn.Linear(8, 16);
      this.w2 = new nn.Linear(16, 8);
      this.parameters().forEach((p, i) => set(p, g([...p.shape], i + 1).div(4)));
    }
    forward(x) { return this.w2(F.relu(this.w1(x))) }
  }
  const byName = (net, of) => Object.fromEntries(net.namedParameters().map(([n, p]) => [n, of(p)]));
  const mlp = (plan, x) => {
    const net = parallelizeModule(new Net(), mesh, plan);
    x.requiresGrad_();
    const [y, fwd] = counted(() => net(x));
    const [, bwd] = counted(() => y.sum().backward());
    return { out: out(local(y)), out_pl: places(y), fwd, bwd, dx: out(x.grad), pl: byName(net, places),
      grads: byName(net, (p) => ({ pl: places(p.grad), local: out(local(p.grad)) })) };
  };
  const embedding = (style) => {
    const net = new nn.Embedding(8, 4);
    set(net.weight, g([8, 4], 1));
    parallelizeModule(net, mesh, style);
    const [y, fwd] = counted(() => net(torch.tensor([[0, 3, 7, 2], [5, 5, 1, 6]])));
    const [, bwd] = counted(() => y.sum().backward());
    return { out: out(y), fwd, bwd, wpl: places(net.weight), g_pl: places(net.weight.grad), g: out(local(net.weight.grad)) };
  };
  const train = (make) => {
    const net = parallelizeModule(new Net(), mesh, { w1: new ColwiseParallel(), w2: new RowwiseParallel() });
    const optimizer = make(net.parameters());
    const losses = [5, 6, 7].map((seed) => {
      const loss = net(g([4, 8], seed)).pow(2).mean();
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return out(loss);
    });
    return { losses, params: byName(net, (p) => out(local(p))) };
  };
`;

const programs: Readonly<Record<string, string>> = {
  'tp.mlp.col_row': 'return mlp({ w1: new ColwiseParallel(), w2: new RowwiseParallel() }, g([4, 8], 5))',
  'tp.mlp.row_col': `return mlp({ w1: new RowwiseParallel({ inputLayouts: Replicate() }),
    w2: new ColwiseParallel({ outputLayouts: Replicate() }) }, g([4, 8], 5))`,
  'tp.mlp.sp': `return mlp({ w1: new ColwiseParallel({ inputLayouts: Shard(0) }),
    w2: new RowwiseParallel({ outputLayouts: Shard(0) }) }, g([4 * size, 8], 5).narrow(0, 4 * rank, 4).clone())`,
  'tp.sequence_parallel.layernorm': `
    const net = new nn.LayerNorm(8);
    set(net.weight, g([8], 2).add(2));
    set(net.bias, g([8], 3));
    parallelizeModule(net, mesh, new SequenceParallel());
    const y = net(g([2, 2 * size, 8], 5).narrow(1, 2 * rank, 2).clone());
    y.pow(2).sum().backward();
    const grad = net.weight.grad;
    return { pl: places(y), out: out(y.toLocal()), wpl: '(Replicate(),)', g_pl: places(grad), g_local: out(local(grad)), g_full: out(grad.fullTensor()) }`,
  'tp.embedding.rowwise': 'return embedding(new RowwiseParallel({ inputLayouts: Replicate() }))',
  'tp.embedding.colwise': 'return embedding(new ColwiseParallel({ outputLayouts: Replicate() }))',
  'tp.loss_parallel.head': `
    const head = new nn.Linear(8, 8, { bias: false });
    set(head.weight, g([8, 8], 1).div(4));
    const x = g([6, 8], 3);
    const target = torch.tensor([0, 3, 7, 2, 5, -100]);
    const ref = F.crossEntropy(head(x), target);
    parallelizeModule(head, mesh, new ColwiseParallel({ useLocalOutput: false }));
    return dist.lossParallel(() => {
      const logits = head(x);
      const [loss, fwd] = counted(() => F.crossEntropy(logits, target));
      const [, bwd] = counted(() => loss.backward());
      return { loss: out(loss.toLocal()), ref: out(ref), fwd, bwd, g: out(local(head.weight.grad)) };
    })`,
  'tp.optim.sgd_m':
    'return train((p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }))',
  'tp.optim.adamw': 'return train((p) => new optim.AdamW(p, { lr: 0.01, weightDecay: 0.1 }))',
  'tp.optim.adamw_amsgrad_nofe':
    'return train((p) => new optim.AdamW(p, { lr: 0.01, amsgrad: true, foreach: false }))',
};

/** Numbers within 1e-6, all else equal. Only what the golden file has is compared. */
function expectClose(got: unknown, expected: unknown, path: string): void {
  if (typeof expected === 'number') {
    expect(Math.abs((got as number) - expected), `${path}: ${String(got)} against ${expected}`).toBeLessThan(
      1e-6 + 2e-6 * Math.abs(expected),
    );
  } else if (Array.isArray(expected)) {
    expect((got as unknown[] | null)?.length, path).toBe(expected.length);
    expected.forEach((value, i) => {
      expectClose((got as unknown[])[i], value, `${path}[${i}]`);
    });
  } else if (typeof expected === 'object' && expected !== null) {
    for (const [key, value] of Object.entries(expected))
      expectClose((got as Record<string, unknown> | null)?.[key], value, `${path}.${key}`);
    if (path.endsWith('fwd') || path.endsWith('bwd')) expect(got, path).toEqual(expected);
  } else expect(got, path).toEqual(expected);
}

describe.each([2, 4])('on %i ranks', (world) => {
  const cases = JSON.parse(readFileSync(new URL(`tp_w${world}.json`, import.meta.url), 'utf8')) as Case[];
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start(world);
  });
  afterAll(() => cluster.stop());

  test.each(
    cases.map((one) => [one.name, one] as const),
  )('%s is as PyTorch observed', async (name, golden) => {
    const got = await cluster.run(scope + (programs[name] ?? `throw new Error('no program')`));
    golden.ranks.forEach((expected, rank) => {
      if (got[rank] instanceof Error) throw got[rank];
      expectClose(got[rank], expected, `rank ${rank}`);
    });
  });
});
