import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

const SETUP = `
  const { nn, fullyShard, initDeviceMesh, optim, F, verifyFsdp, verifySharding, GradientSyncTester, HookDebugger, FsdpTimeline,
    compareStrategies, ManualFsdp, ManualFsdpWrapper, MemoryLedger, transformerStepPlan, StrategyTable } = runtime;
  const device = runtime.Cluster.preset('h100');
  class Net extends nn.Module {
    layers = new nn.ModuleList([0, 1, 2].map(() => new nn.Linear(16, 16)));
    head = new nn.Linear(16, 4);
    forward(x) { let h = x; for (const layer of this.layers) h = torch.relu(layer(h)); return this.head(h); }
  }
  const mesh = initDeviceMesh([size]);
  const shard = (net) => { for (const layer of net.layers) fullyShard(layer, { mesh }); return fullyShard(net, { mesh }); };
  const batch = (step, r) => { torch.manualSeed(1000 * step + r); return [torch.randn([4, 16]), torch.randn([4, 4])]; };
  const common = {
    build: () => new Net(), shard, batch,
    loss: (m, x, y) => F.mseLoss(m(x), y),
    optimizer: (p) => new optim.AdamW(p, { lr: 1e-2 }),
  };
`;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start(4);
}, 60_000);
afterAll(() => cluster.stop());

async function onRankZero<T>(body: string): Promise<T> {
  const seen = await cluster.run(SETUP + body);
  for (const value of seen) if (value instanceof Error) throw value;
  return seen[0] as T;
}

describe('verifyFsdp', () => {
  it('passes for a model that is sharded right', async () => {
    const report = await onRankZero<{ name: string; passed: boolean }[]>(
      'return verifyFsdp({ ...common, cluster: device }).checks.map(({ name, passed }) => ({ name, passed }));',
    );
    expect(report.map((check) => check.passed)).toEqual([true, true, true, true, true]);
  });

  it('finds what is wrong: nothing sharded, other weights, other division', async () => {
    const failed = await onRankZero<string[][]>(`
      const names = (options) => verifyFsdp({ ...common, ...options }).failed.map((check) => check.name);
      return [
        names({ shard: () => {} }),
        names({ shard: (net) => { runtime.noGrad(() => net.head.bias.add_(1)); shard(net); } }),
        names({ shard: (net) => { shard(net); net.setGradientDivideFactor(1); } }),
      ];`);
    expect(failed[0]).toContain('parameters are sharded');
    expect(failed[1]).toEqual(['gradients are those of the whole batch', 'losses are those of one process']);
    expect(failed[2]).toContain('gradients are those of the whole batch');
  });
});

describe('GradientSyncTester', () => {
  it('passes for gradients that lie as their parameters and agree with one process', async () => {
    expect(
      await onRankZero(`
        torch.manualSeed(3);
        const model = shard(new Net());
        torch.manualSeed(3);
        const plain = new Net();
        const tester = new GradientSyncTester(model, { input: (step, r) => batch(step, r)[0] });
        return [tester.testReduction(), tester.testAccumulation(3), tester.compareWithSingleProcess(plain, 2)].map((r) => r.passed);`),
    ).toEqual([true, true, true]);
  });

  it('fails against a model with other weights', async () => {
    expect(
      await onRankZero(`
        torch.manualSeed(3);
        const tester = new GradientSyncTester(shard(new Net()), { input: (step, r) => batch(step, r)[0] });
        torch.manualSeed(4);
        return tester.compareWithSingleProcess(new Net(), 1).passed;`),
    ).toBe(false);
  });
});

describe('HookDebugger', () => {
  it('names the states of parameters before and after each hook', async () => {
    const text = await onRankZero<string>(`
      const net = shard(new Net());
      const hooks = new HookDebugger();
      hooks.run(() => net(batch(0, rank)[0]).sum().backward());
      return String(hooks);`);
    expect(text).toMatch(
      /preForward +layers\.0 +layers\.0\.weight +sharded \[4, 16\] -> unsharded \[16, 16\]/,
    );
    expect(text).toMatch(/postForward +root +head\.weight +stays unsharded \[4, 16\]/);
    expect(text).toMatch(/postBackwardReshard +root +head\.weight +unsharded \[4, 16\] -> sharded \[1, 16\]/);
  });
});

describe('FsdpTimeline', () => {
  it('gives module events sizes, virtual times and memory, and draws them', async () => {
    const [counts, ordered, lanes, peaks, text] = await onRankZero<
      [number[], boolean, string[], number[], string]
    >(`
      const net = shard(new Net());
      const timeline = FsdpTimeline.record(device, () => net(batch(0, rank)[0]).sum().backward(), { track: [net] });
      const own = timeline.of(0);
      const count = (kind) => own.filter((e) => e.kind === kind && e.phase === 'begin').length;
      const figure = timeline.figure(0);
      return [
        [count('allGather'), count('reduceScatter'), count('finalCallback')],
        own.every((e, i) => i === 0 || e.seconds >= own[i - 1].seconds),
        [...new Set(figure.data.filter((t) => t.type === 'bar').flatMap((t) => t.y))].sort(),
        timeline.peaks,
        String(timeline),
      ];`);
    // Root and three layers forward, three layers again backward.
    expect(counts).toEqual([7, 4, 1]);
    expect(ordered).toBe(true);
    expect(lanes).toEqual(['1 backward', '1 forward', '2 all-gather', '2 reduce-scatter']);
    expect(Math.max(...peaks)).toBeGreaterThan(0);
    expect(text).toContain('reduceScatter');
  });

  it('lets gathers run ahead of computing', async () => {
    const [late, early] = await onRankZero<[number, number]>(`
      // Layers whose forward takes about as long as their gather.
      class Wide extends nn.Module {
        layers = new nn.ModuleList([0, 1, 2, 3].map(() => new nn.Linear(64, 64)));
        forward(x) { let h = x; for (const layer of this.layers) h = layer(h); return h; }
      }
      const slow = runtime.Cluster.of({ ranks: 4, flops: 2e9, bandwidth: 1e9, latency: 0 });
      const time = (blocking) => {
        torch.manualSeed(1);
        const net = shard(new Wide());
        const work = {
          allocate: (shape, { dtype }) => torch.empty([...shape], { dtype }),
          run: (output, input, group) => { dist.allGatherSingle(output, input, { group }); },
        };
        if (blocking) for (const module of [...net.layers]) module.setCustomAllGather(work);
        const input = torch.ones([32, 64]);
        runtime.noGrad(() => net(input));
        net.reshard();
        return FsdpTimeline.record(slow, () => runtime.noGrad(() => net(input))).makespan;
      };
      return [time(true), time(false)];`);
    expect(early).toBeLessThanOrEqual(late);
  });
});

describe('compareStrategies', () => {
  it('measures the same loss, FSDP with half more traffic than DDP and less memory', async () => {
    const rows = await onRankZero<{ strategy: string; loss: number; peak: number; collectives: number }[]>(`
      const { rows } = compareStrategies({
        build: () => new Net(),
        optimizer: (p) => new optim.AdamW(p),
        loss: (m) => F.mseLoss(m(batch(0, rank)[0]), batch(0, rank)[1]),
        cluster: device,
      });
      return rows.map(({ strategy, loss, peak, collectives }) => ({ strategy, loss, peak, collectives }));`);
    const [ddp, fsdp, keep, hsdp] = rows;
    for (const row of rows) expect(row.loss).toBeCloseTo(ddp!.loss, 5);
    expect(fsdp!.peak).toBeLessThan(ddp!.peak);
    expect(fsdp!.collectives - keep!.collectives).toBe(3);
    expect(hsdp!.collectives).toBe(fsdp!.collectives + 4);
  });
});

describe('ManualFsdp', () => {
  it('does and logs the same by hooks, by a wrapper and by explicit calls', async () => {
    const [logs, differences] = await onRankZero<[string[][], number[]]>(`
      const logs = [];
      const differences = [];
      const x = batch(0, rank)[0].narrow(1, 0, 7);
      for (const way of ['hooks', 'wrapper', 'explicit']) {
        torch.manualSeed(5);
        const module = new nn.Linear(7, 5);
        torch.manualSeed(5);
        const plain = new nn.Linear(7, 5);
        let fsdp;
        let y;
        if (way === 'wrapper') {
          const wrapper = new ManualFsdpWrapper(module);
          fsdp = wrapper.fsdp;
          y = wrapper(x);
        } else {
          fsdp = new ManualFsdp(module);
          if (way === 'hooks') { fsdp.attachHooks(); y = module(x); } else y = fsdp.run(() => module(x));
        }
        y.sum().backward();
        plain(x).sum().backward();
        const flat = torch.cat([plain.weight.grad.reshape([-1]), plain.bias.grad]);
        dist.allReduce(flat, { op: dist.ReduceOp.AVG });
        const part = flat.narrow(0, rank * 10, 10);
        logs.push([...fsdp.log]);
        differences.push(fsdp.shard.grad.sub(part).abs().max().item());
      }
      return [logs, differences];`);
    expect(logs).toEqual(
      Array.from({ length: 3 }, () => ['all-gather Linear', 'free Linear', 'reduce-scatter Linear']),
    );
    for (const difference of differences) expect(difference).toBeLessThan(1e-6);
  });
});

describe('transformerStepPlan', () => {
  it.each([
    { vocab: 300, width: 32, heads: 4, ffn: 64, layers: 3, positions: 64, batch: 2, seq: 16 },
    { vocab: 40, width: 64, heads: 8, ffn: 256, layers: 2, positions: 16, batch: 1, seq: 16 },
    { vocab: 2000, width: 16, heads: 2, ffn: 32, layers: 1, positions: 16, batch: 1, seq: 4 },
    { vocab: 100, width: 128, heads: 8, ffn: 512, layers: 4, positions: 32, batch: 1, seq: 8 },
    { vocab: 50, width: 32, heads: 4, ffn: 128, layers: 2, positions: 64, batch: 4, seq: 64 },
  ])('is what the ledger measures within 1 %: %o', async (shape) => {
    const [measured, planned, at] = await onRankZero<[number, number, string]>(`
      const o = ${JSON.stringify(shape)};
      class Transformer extends nn.Module {
        tok = new nn.Embedding(o.vocab, o.width);
        pos = new nn.Embedding(o.positions, o.width);
        layers = new nn.ModuleList(Array.from({ length: o.layers }, () =>
          new nn.TransformerEncoderLayer(o.width, o.heads, { dimFeedforward: o.ffn, dropout: 0, batchFirst: true })));
        out = new nn.Linear(o.width, o.vocab);
        forward(ids) {
          let x = this.tok(ids).add(this.pos(torch.arange(ids.shape[1])));
          for (const layer of this.layers) x = layer(x);
          return this.out(x);
        }
      }
      const net = shard(new Transformer());
      const optimizer = new optim.AdamW(net.parameters());
      const ids = torch.randint(0, o.vocab, [o.batch, o.seq]);
      const step = () => {
        F.crossEntropy(net(ids).view([-1, o.vocab]), ids.view([-1])).backward();
        optimizer.step();
        optimizer.zeroGrad();
      };
      step();
      const ledger = new MemoryLedger({ rank }).track(net).track(optimizer);
      ledger.run(() => { ledger.resetPeak(); step(); });
      return [ledger.peak.bytes, transformerStepPlan({ world: size, ...o }).peak, ledger.peak.at];`);
    expect(
      Math.abs(measured / planned - 1),
      `at ${at}: ${measured} measured, ${planned} planned`,
    ).toBeLessThan(0.01);
  });
});
