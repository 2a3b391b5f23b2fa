/** What FSDP's memory is booked as, event by event, and what offloading moves where and when. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

const SETUP = `
  const { nn, fullyShard, initDeviceMesh, CPUOffloadPolicy, optim, MemoryLedger, FsdpTimeline, Cluster: Machine } = runtime;
  const mesh = initDeviceMesh([size]);
  const WIDTH = 8;
  const made = (options = {}) => {
    const net = new nn.Sequential(new nn.Linear(WIDTH, WIDTH, { bias: false }), new nn.Tanh(), new nn.Linear(WIDTH, WIDTH, { bias: false }));
    for (const at of [0, 2]) fullyShard(net.at(at), { mesh, ...options });
    return fullyShard(net, { mesh, ...options });
  };
  const input = () => torch.ones([2, WIDTH]);
`;

const WHOLE = 8 * 8 * 4;

describe('accounts of FSDP', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start(2);
  }, 120_000);
  afterAll(() => cluster.stop());

  async function onAll(body: string): Promise<unknown> {
    const seen = await cluster.run(SETUP + body);
    for (const value of seen) if (value instanceof Error) throw value;
    expect(seen[1]).toEqual(seen[0]);
    return seen[0];
  }

  it('book a weight that is gathered again in backward as unsharded from the first moment', {
    timeout: 120_000,
  }, async () => {
    const steps = (await onAll(`
      const net = made();
      net(input()).sum().backward();
      net.zeroGrad();
      const ledger = new MemoryLedger({ rank }).start();
      ledger.track(net);
      const loss = net(input()).sum();
      const from = ledger.timeline.length;
      loss.backward();
      ledger.stop();
      return ledger.timeline.slice(from - 1).map((p) => [p.at, p.categories['Unsharded Param'] ?? 0, p.categories['Activation'] ?? 0]);`)) as [
      string,
      number,
      number,
    ][];
    // What forward saved only shrinks in backward: no weight is among it, not for one event.
    for (let i = 1; i < steps.length; i++)
      expect([steps[i]![0], steps[i]![2] <= steps[i - 1]![2]]).toEqual([steps[i]![0], true]);
    expect(steps.map(([, whole]) => whole)).toContain(WHOLE);
    const gathered = steps.filter(([at]) => at.startsWith('Unsharded Param '));
    expect(gathered.length).toBeGreaterThan(0);
    expect(steps[steps.length - 1]!.slice(1)).toEqual([0, 0]);
  });

  it('keep offloaded shards, gradients and moments on the host', { timeout: 120_000 }, async () => {
    const [between, gradients, device, text, figure, plain] = (await onAll(`
      const run = (options) => {
        const net = made(options);
        const optimizer = new optim.Adam(net.parameters(), { lr: 0.1 });
        const ledger = new MemoryLedger({ rank }).track(net).track(optimizer).start();
        const seen = [];
        for (let step = 0; step < 2; step++) {
          net(input()).sum().backward();
          seen.push({ ...ledger.host.categories });
          optimizer.step();
          optimizer.zeroGrad();
        }
        ledger.stop();
        return { ledger, gradients: seen[1], values: net.parameters().map((p) => p.fullTensor().sum().item()) };
      };
      torch.manualSeed(1);
      const { ledger, gradients, values } = run({ offloadPolicy: new CPUOffloadPolicy() });
      torch.manualSeed(1);
      const other = run({});
      const figure = ledger[Symbol.for('shardbook.toMime')]()['application/vnd.plotly.v1+json'];
      return [
        ledger.host.categories, gradients, ledger.categories, ledger.toString().includes('Host memory of rank'),
        figure.data.map((t) => t.name).filter((name) => name.startsWith('host: ')).sort(),
        [other.ledger.host.peak.bytes, other.ledger.toString().includes('Host'), values.every((v, i) => v === other.values[i])],
      ];`)) as [
      Record<string, number>,
      Record<string, number>,
      Record<string, number>,
      boolean,
      string[],
      unknown,
    ];
    // Two weights over two ranks: one whole weight's bytes. Two moments each, and the steps' numbers.
    expect(between['Offloaded Param']).toBe(WHOLE);
    expect(between['Offloaded Optstate']).toBeGreaterThanOrEqual(2 * WHOLE);
    expect(between['Offloaded Optstate']).toBeLessThanOrEqual(2 * WHOLE + 64);
    expect(gradients['Offloaded Grad']).toBe(WHOLE);
    for (const category of ['Sharded Param', 'Sharded Grad', 'Optstate', 'Offloaded Param'])
      expect(device[category]).toBeUndefined();
    expect(text).toBe(true);
    expect(figure).toEqual(
      expect.arrayContaining(['host: Offloaded Grad', 'host: Offloaded Optstate', 'host: Offloaded Param']),
    );
    expect(plain).toEqual([0, false, true]);
  });

  it('put transfers on the virtual clock, and into the events', { timeout: 120_000 }, async () => {
    const [events, peaks, names, line, slower] = (await onAll(`
      const machine = Machine.preset('h100', { ranksPerNode: 8 });
      const record = (hostBandwidth) => {
        const net = made({ offloadPolicy: new CPUOffloadPolicy() });
        return FsdpTimeline.record(machine, () => net(input()).sum().backward(), { track: [net], hostBandwidth });
      };
      record(1e6);
      const timeline = record(1e6);
      const own = timeline.of(0);
      const last = own[own.length - 1];
      return [
        own.filter((e) => e.kind === 'toDevice' || e.kind === 'toHost' || (e.kind === 'allGather' && e.bytes > 0)).map((e) => [e.kind, e.phase, e.module, e.bytes, e.seconds]),
        timeline.hostPeaks,
        timeline.figure(0).data.map((t) => t.name).filter((n) => n.startsWith('host')),
        timeline.toString().split('\\n')[0].includes('of its host'),
        timeline.makespan > record(1e9).makespan && timeline.makespan >= last.seconds,
      ];`)) as [[string, string, string, number, number][], number[], string[], boolean, boolean];
    const half = WHOLE / 2;
    const moves = events.filter(([kind]) => kind !== 'allGather');
    // Forward gathers both weights, backward the last one's not (still to come: both were freed), and gradients go back.
    const begun = moves
      .filter(([, phase]) => phase === 'begin')
      .map(([kind, , module]) => `${kind} ${module}`);
    expect(begun).toEqual(['toDevice 0', 'toDevice 2', 'toDevice 2', 'toDevice 0', 'toHost 2', 'toHost 0']);
    for (let i = 0; i < moves.length; i += 2) {
      const [begin, end] = [moves[i]!, moves[i + 1]!];
      expect([begin[1], end[1], begin[3]]).toEqual(['begin', 'end', half]);
      expect(end[4] - begin[4]).toBeCloseTo(half / 1e6, 9);
    }
    expect(peaks.every((bytes) => bytes >= 2 * half)).toBe(true);
    expect(names).toContain('host: Offloaded Param');
    expect([line, slower]).toEqual([true, true]);
  });

  it('have no device copies of offloaded shards left once these are sent', {
    timeout: 120_000,
  }, async () => {
    const categories = await onAll(`
      const net = made({ offloadPolicy: new CPUOffloadPolicy(), reshardAfterForward: true });
      const ledger = new MemoryLedger({ rank }).track(net).start();
      torch.noGrad(() => net(input()));
      ledger.stop();
      const sharded = ledger.peak.categories['Sharded Param'] ?? 0;
      // What the last operation left in passing is gone then.
      ledger.resetPeak();
      return [ledger.categories, ledger.host.categories, sharded];`);
    expect(categories).toEqual([{}, { 'Offloaded Param': WHOLE }, 0]);
  });
});
