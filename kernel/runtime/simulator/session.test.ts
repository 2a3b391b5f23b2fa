/** Real programs on two ranks in virtual time. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster as World } from '../distributed/transport/testing/cluster.js';
import { Cluster, formulas } from './index.js';

const SPEC = `new runtime.Cluster({
  ranks: 2,
  device: { flopsPerSecond: 1e9, memoryBytes: 4e6, memoryBytesPerSecond: 1e15 },
  tiers: [{ name: 'link', ranks: 2, latencySeconds: 1e-6, bytesPerSecond: 1e9 }],
})`;

let world: World;
beforeAll(async () => {
  world = await World.start(2);
});
afterAll(() => world.stop());

async function both<T>(code: string): Promise<T[]> {
  const results = await world.run(
    `const sim = new runtime.Simulation(${SPEC}, state.options ?? {});\n${code}`,
  );
  const failed = results.find((r) => r instanceof Error);
  if (failed !== undefined) throw failed;
  return results as T[];
}

describe('Simulation', () => {
  it('times products by their FLOPs and collectives by the algorithm, alike on every rank and run', async () => {
    const code = `
      const a = torch.zeros([100, 50]); const b = torch.zeros([50, 20]);
      const g = torch.zeros([1000]);
      const result = sim.run(() => { a.mm(b); dist.allReduce(g); a.mm(b); });
      return [result.makespan, result.spans.map((s) => [s.rank, s.label, s.start, s.end])];`;
    const [first, second] = await both<[number, unknown[]]>(code);
    expect(first).toEqual(second);
    expect(await both(code)).toEqual([first, second]);
    const product = (2 * 100 * 50 * 20) / 1e9;
    const link = { alpha: 1e-6, bandwidth: 1e9 };
    const reduce = formulas.collectiveTime({ algorithm: 'ringAllReduce', size: 4000, world: 2, ...link });
    expect(first![0]).toBeCloseTo(2 * product + reduce, 12);
    expect(first![1]).toHaveLength(6);
  });

  it('async collectives overlap compute until they are waited for', async () => {
    const [told] = await both<Record<string, number>>(`
      const a = torch.zeros([100, 50]); const b = torch.zeros([50, 20]);
      const g = torch.zeros([50000]);
      const result = sim.run(() => {
        const work = dist.allReduce(g, { asyncOp: true });
        a.mm(b);
        work.wait();
        sim.mark('reduced');
        a.mm(b);
      });
      const { exposed, communication } = result.summary(0);
      return { makespan: result.makespan, exposed, communication, reduced: result.timeOf(1, 'reduced') };`);
    const product = (2 * 100 * 50 * 20) / 1e9;
    expect(told!['communication']).toBeCloseTo(200e3 / 1e9 + 2e-6, 9);
    expect(told!['exposed']).toBeCloseTo(told!['communication']! - product, 9);
    expect(told!['reduced']).toBeCloseTo(told!['communication']!, 9);
    expect(told!['makespan']).toBeCloseTo(told!['communication']! + product, 9);
  });

  it('follows messages, also from any source', async () => {
    const [told] = await both<unknown[]>(`
      const result = sim.run(() => {
        if (rank === 0) { torch.zeros([100, 50]).mm(torch.zeros([50, 20])); dist.send(torch.zeros([250]), 1); }
        else dist.recv(torch.zeros([250]));
      });
      return result.of(1).map((s) => [s.label, s.start, s.end]);`);
    const start = (2 * 100 * 50 * 20) / 1e9;
    const [[label, from, to]] = told as [[string, number, number]];
    expect(label).toBe('0 to 1');
    expect(from).toBeCloseTo(start, 12);
    expect(to).toBeCloseTo(start + 1e-6 + 1e-6, 12);
  });

  it('another algorithm, scale and dtype give other times for the same run', async () => {
    const [told] = await both<number[]>(`
      const g = torch.zeros([25000]);
      sim.start();
      dist.allReduce(g);
      sim.stop();
      return ['ring', 'naive', 'auto'].map((algorithm) => sim.result({ algorithm }).makespan);`);
    const time = (algorithm: formulas.TimedAlgorithm): number =>
      formulas.collectiveTime({ algorithm, size: 1e5, world: 2, alpha: 1e-6, bandwidth: 1e9 });
    expect(told![0]).toBeCloseTo(time('ringAllReduce'), 12);
    expect(told![1]).toBeCloseTo(time('naiveAllReduce'), 12);
    expect(told![2]).toBeLessThanOrEqual(told![0]!);
  });

  it("throws on the rank whose device's memory is too small", async () => {
    const results = await world.run(`
      const sim = new runtime.Simulation(${SPEC}, { ledger: true });
      const x = torch.zeros([500000]);
      sim.run(() => { if (rank === 1) { const y = x.add(1); y.add(x); } });`);
    expect(results[1]).toMatchObject({ code: 'SB_OUT_OF_MEMORY' });
  });

  it('a sharded model computes the same FLOPs on each of its ranks, and its traffic is that of the closed form', async () => {
    const [told] = await both<Record<string, number>>(`
      const { nn, fullyShard, CommRecorder } = runtime;
      const model = new nn.Sequential(new nn.Linear(64, 64, { bias: false }), new nn.Linear(64, 64, { bias: false }));
      for (const layer of model) fullyShard(layer);
      fullyShard(model);
      const recorder = new CommRecorder().start();
      const result = sim.run(() => model.call(torch.ones([8, 64])).sum().backward());
      const trace = recorder.gather();
      return { wire: trace.wireBytes()[0], makespan: result.makespan, counts: trace.counts() };`);
    const traffic = formulas.strategyTraffic({
      strategy: 'fsdp',
      groups: [4096, 4096],
      world: 2,
      paramBytes: 4,
      reduceBytes: 4,
    });
    expect(told!['wire']).toBe(traffic.total);
    expect(told!['makespan']).toBeGreaterThan(0);
  });

  it("FSDP's gathers run ahead of compute as far as the closed form of its prefetch says", async () => {
    const [told] = await both<{ spans: [string, number, number][]; forward: number }>(`
      const { nn, fullyShard } = runtime;
      const model = new nn.Sequential(...[1, 2, 3, 4, 5].map(() => new nn.Linear(64, 64, { bias: false })));
      for (const layer of model) fullyShard(layer);
      fullyShard(model);
      const x = torch.ones([50, 64]);
      model.call(x).sum().backward();
      const result = sim.run(() => { model.call(x); sim.mark('forward done'); });
      return { spans: result.of(0).map((s) => [s.stream, s.start, s.end]), forward: result.timeOf(0, 'forward done') };`);
    const gather = 1e-6 + (64 * 64 * 4) / 2 / 1e9;
    const compute = (2 * 50 * 64 * 64) / 1e9;
    const gathers = told!.spans.filter(([stream]) => stream === 'all-gather');
    expect(gathers).toHaveLength(5);
    for (const [, start, end] of gathers) expect(end - start).toBeCloseTo(gather, 9);
    const layers = Array(5).fill(0);
    const expected = formulas.forwardOverlap(
      layers.map(() => compute),
      layers.map(() => gather),
      2,
    );
    expect(told!.forward).toBeCloseTo(expected.total, 9);
  });

  it('needs a cluster as large as the world', async () => {
    const results = await world.run(`
      const one = new runtime.Cluster({ ...runtime.Cluster.preset('laptop').spec, ranks: 1,
        tiers: [{ name: 'm', ranks: 1, latencySeconds: 0, bytesPerSecond: 1 }] });
      new runtime.Simulation(one);`);
    expect(results[0]).toMatchObject({ code: 'SB_SIMULATION' });
    expect(Cluster.preset('laptop').ranks).toBe(8);
  });
});
