import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { torch } from '../../tensor/index.js';
import { Cluster } from '../transport/testing/cluster.js';
import { assignBuckets } from './index.js';

const SETUP = `
  const { nn, optim, DistributedDataParallel, fp16CompressHook, onComm } = runtime;
  class Net extends nn.Module {
    a = new nn.Linear(5, 8); b = new nn.Linear(8, 3); unused = new nn.Linear(2, 2);
    forward(x) { return this.b(torch.tanh(this.a(x))); }
  }
  const made = (seed = 1) => { torch.manualSeed(seed); const net = new Net(); net.unused.requiresGrad_(false); return net; };
  const rows = (step) => { torch.manualSeed(10 + step); return torch.randn([2 * size, 5]); };
  const mine = (t) => t.narrow(0, 2 * rank, 2);
  const gap = (model, reference) => Math.max(...model.parameters().map((p, i) => {
    const q = reference.parameters()[i];
    return p.grad === null || q.grad === null ? (p.grad === q.grad ? 0 : NaN) : p.grad.sub(q.grad).abs().max().item();
  }));
  const failure = (body) => { try { body(); return 'nothing'; } catch (error) { return error.code; } };
`;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start(4);
}, 60_000);
afterAll(() => cluster.stop());

async function onAll(body: string): Promise<unknown> {
  const seen = await cluster.run(SETUP + body);
  for (const value of seen) if (value instanceof Error) throw value;
  for (const value of seen) expect(value).toEqual(seen[0]);
  return seen[0];
}

describe('assignBuckets', () => {
  it('closes a bucket that is full, the first one early, dtypes apart', () => {
    const t = (n: number, dtype = torch.float32) => torch.zeros([n], { dtype });
    expect(assignBuckets([t(2), t(2), t(3), t(1)], { first: 8, rest: 16 })).toEqual([[0], [1, 2], [3]]);
    expect(assignBuckets([t(1), t(1, torch.float64), t(1)], { first: 100, rest: 100 })).toEqual([
      [0, 2],
      [1],
    ]);
  });
});

describe('DistributedDataParallel', () => {
  it.each([
    ['as it comes', '{}'],
    ['with small buckets', '{ bucketCapMb: 0.0001 }'],
    ['with gradients in the buckets', '{ gradientAsBucketView: true, bucketCapMb: 0.0001 }'],
    ['with a static graph', '{ staticGraph: true }'],
    ['looking for unused parameters', '{ findUnusedParameters: true }'],
  ])('averages gradients over ranks %s', async (_name, options) => {
    const worst = await onAll(`
      const [net, reference] = [new DistributedDataParallel(made(rank + 1), ${options}), made()];
      const [a, b] = [net, reference].map((m) => new optim.SGD(m.parameters(), { lr: 0.1 }));
      let worst = 0;
      for (let step = 0; step < 3; step++) {
        net(mine(rows(step))).pow(2).mean().backward();
        reference(rows(step)).pow(2).mean().backward();
        worst = Math.max(worst, gap(net.module, reference));
        for (const o of [a, b]) { o.step(); o.zeroGrad(); }
      }
      return worst;`);
    expect(worst).toBeLessThan(1e-6);
  });

  it('reduces in the order of arrival after one step; a graph that may change, last layers first', async () => {
    expect(
      await onAll(`
        const buckets = (options) => {
          const net = new DistributedDataParallel(made(), { bucketCapMb: 0.00005, ...options });
          const first = net.reducer.buckets.map((names) => names.join('+'));
          for (let i = 0; i < 2; i++) net(mine(rows(i))).sum().backward();
          return [first, net.reducer.buckets.map((names) => names.join('+'))];
        };
        return [buckets({}), buckets({ findUnusedParameters: true })];`),
    ).toEqual([
      [['a.weight+a.bias+b.weight+b.bias'], ['b.bias+b.weight', 'a.bias+a.weight']],
      [
        ['b.bias', 'a.bias+b.weight', 'a.weight'],
        ['b.bias', 'a.bias+b.weight', 'a.weight'],
      ],
    ]);
  });

  it('sends half the bytes with a compressing hook', async () => {
    const [plain, small, worst] = (await onAll(`
      const [net, hooked] = [new DistributedDataParallel(made()), new DistributedDataParallel(made())];
      hooked.registerCommHook(null, fp16CompressHook);
      const count = (body) => { let n = 0; const stop = onComm((c) => { n += c.op === 'allReduce' ? c.bytes : 0; }); body(); stop(); return n; };
      const run = (m) => count(() => m(mine(rows(0))).sum().backward());
      return [run(net), run(hooked), gap(net.module, hooked.module)];`)) as [number, number, number];
    expect(small).toBe(plain / 2);
    expect(worst).toBeLessThan(0.01);
  });

  it('names what never got a gradient, and ranks with other models', async () => {
    expect(
      await onAll(`
        const net = made();
        net.unused.requiresGrad_(true);
        const ddp = new DistributedDataParallel(net);
        ddp(mine(rows(0))).sum().backward();
        return [
          failure(() => ddp(mine(rows(1)))),
          failure(() => new DistributedDataParallel(new nn.Linear(2, rank === 3 ? 3 : 2))),
          failure(() => new DistributedDataParallel(new nn.ReLU())),
        ];`),
    ).toEqual(['SB_DDP_UNFINISHED', 'SB_DDP_RANKS_DIFFER', 'SB_DDP_NO_PARAMETERS']);
  });
});
