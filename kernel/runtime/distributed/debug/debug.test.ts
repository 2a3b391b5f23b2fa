/** Recorder, trace, replay, counts, flight recorder and faults on a world of three ranks. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

const SIZE = 3;
let world: Cluster;
beforeAll(async () => {
  world = await Cluster.start(SIZE);
});
afterAll(() => world.stop());

/** What every rank returns; throws the first rank's error. */
async function all<T>(code: string | string[]): Promise<T[]> {
  const results = await world.run(code);
  const failed = results.find((r) => r instanceof Error);
  if (failed !== undefined) throw failed;
  return results as T[];
}

const TRAIN = `
  const { CommRecorder } = runtime;
  const recorder = new CommRecorder({ values: true });
  const step = (x) => {
    const sum = torch.full([4], x, { dtype: torch.float32 });
    dist.allReduce(sum);
    const parts = [0, 1, 2].map(() => torch.zeros([4]));
    dist.allGather(parts, sum.mul(rank + 1));
    return parts[2].sum().item();
  };
`;

describe('CommRecorder', () => {
  it('records op, group, sequence, shapes, bytes, line and values of every rank', async () => {
    const [told] = await all<Record<string, unknown>>(`${TRAIN}
      recorder.run(() => step(rank + 1));
      const trace = recorder.gather();
      const call = trace.at(0);
      const { op, group, tensors, bytes, reduceOp, place, end, start } = call.steps.get(1);
      return {
        op, group, tensors, bytes, reduceOp, place, timed: end >= start,
        ops: trace.calls.map((c) => c.op), ranks: trace.ranks,
        inputs: [...call.inputs].map(([r, [t]]) => [r, t.tolist()]),
        outputs: [...call.outputs].map(([r, [t]]) => [r, t.tolist()]),
        wire: [...call.wireBytes()], text: String(trace),
        shown: call[Symbol.for('shardbook.toMime')]()['text/plain'],
      };`);
    expect(told).toMatchObject({
      op: 'allReduce',
      group: 'world',
      tensors: ['f32[4]'],
      bytes: 16,
      reduceOp: { kind: 'sum', factor: 1 },
      timed: true,
      ops: ['allReduce', 'allGather'],
      ranks: [0, 1, 2],
      inputs: [
        [0, [1, 1, 1, 1]],
        [1, [2, 2, 2, 2]],
        [2, [3, 3, 3, 3]],
      ],
      outputs: [0, 1, 2].map((r) => [r, [6, 6, 6, 6]]),
      // A ring: 2 (N - 1) / N of 16 bytes each.
      wire: [0, 1, 2].map((r) => [r, (2 * 2 * 16) / 3]),
    });
    expect(told!['shown']).toContain('rank 1: tensor([2., 2., 2., 2.]) -> tensor([6., 6., 6., 6.])');
    expect(told!['place']).toMatch(/line \d+/);
    expect(told!['text']).toContain('allReduce      1         64 B');
  });

  it('draws a timeline and a traffic matrix, and exports to Chrome', async () => {
    const [told] = await all<Record<string, unknown>>(`
      const recorder = new runtime.CommRecorder().start();
      const t = torch.zeros([8]);
      if (rank === 0) dist.send(t, 2);
      if (rank === 2) dist.recv(t, 0);
      dist.broadcast(t, 1);
      const trace = recorder.gather();
      const bundle = trace[Symbol.for('shardbook.toMime')]();
      const figure = bundle['application/vnd.plotly.v1+json'];
      const chrome = trace.toChromeTrace().traceEvents;
      return {
        traffic: trace.traffic(), direct: trace.traffic({ algorithm: 'direct' }),
        types: figure.data.map((d) => d.type), z: figure.data.at(-1).z,
        events: chrome.filter((e) => e.ph === 'X').map((e) => [e.pid, e.name, e.args.bytes]),
        names: chrome.filter((e) => e.name === 'process_name').map((e) => e.args.name),
      };`);
    // The message from 0 to 2; the broadcast as a binomial tree from 1: to 2, then to 0.
    expect(told!['traffic']).toEqual([
      [0, 0, 32],
      [32, 0, 32],
      [0, 0, 0],
    ]);
    expect(told!['z']).toEqual(told!['traffic']);
    expect(told!['types']).toContain('bar');
    expect([...(told!['names'] as string[])].sort()).toEqual(['rank 0', 'rank 1', 'rank 2']);
    expect(told!['events']).toContainEqual([0, 'send', 32]);
  });

  it('joins messages from any source, subgroups and object collectives', async () => {
    const [told] = await all<unknown[]>(`
      const { CommRecorder } = runtime;
      const group = dist.newGroup([0, 2]);
      const recorder = new CommRecorder({ values: true }).start();
      if (rank > 0) dist.send(torch.tensor([rank]), 0, { tag: rank });
      else for (const tag of [2, 1]) dist.recv(torch.tensor([0]), null, { tag });
      if (rank !== 1) dist.allReduce(torch.ones([2]), { group });
      dist.broadcastObjectList([{ name: 'x' }], { src: 2 });
      const trace = recorder.gather();
      return trace.calls.map((c) => [c.op, c.ranks, c.missing]);`);
    expect(told).toHaveLength(4);
    expect(told).toContainEqual(['message', [0, 2], []]);
    expect(told).toContainEqual(['message', [0, 1], []]);
    expect(told).toContainEqual(['allReduce', [0, 2], []]);
    expect(told).toContainEqual(['broadcastObjectList', [0, 1, 2], []]);
  });

  it('shows which rank left a call out', async () => {
    const results = await world.run(`
      state.recorder = new runtime.CommRecorder().start();
      if (rank !== 1) dist.allReduce(torch.ones([2]));
      return 'not here';`);
    expect(results[0]).toMatchObject({ code: 'SB_DEADLOCK' });
    const [told] = await all<{ missing: number[]; error: string }>(`
      const trace = state.recorder.gather();
      return { missing: trace.at(0).missing, error: trace.of(0)[0].error };`);
    expect(told!.missing).toEqual([1]);
    expect(told!.error).toContain('Cannot');
  });
});

describe('replay', () => {
  it('replayCall() computes a collective again with another input of one rank', async () => {
    const [told] = await all<Record<string, unknown>>(`${TRAIN}
      recorder.run(() => step(rank + 1));
      const trace = recorder.gather();
      const same = runtime.replayCall(trace.at(0), {});
      const again = runtime.replayCall(trace.at(0), { 1: torch.zeros([4]) });
      let refused;
      try { runtime.replayCall(trace.at(0), { 1: torch.zeros([5]) }); } catch (e) { refused = e.code; }
      return { same: same.changed, changed: again.changed, sum: again.outputs.get(2)[0].tolist(), refused };`);
    expect(told).toEqual({ same: [], changed: [0, 1, 2], sum: [4, 4, 4, 4], refused: 'SB_REPLAY' });
  });

  it('replayRank() runs one rank alone against the recorded others', async () => {
    const [told] = await all<Record<string, unknown>>([
      `${TRAIN}
      const before = recorder.run(() => step(rank + 1));
      const trace = recorder.gather();
      const same = runtime.replayRank(trace, () => step(rank + 1));
      const again = runtime.replayRank(trace, () => step(10));
      let refused;
      try { runtime.replayRank(trace, () => dist.barrier()); } catch (e) { refused = e.message; }
      return {
        before, same: same.value, unchanged: same.steps.every((s) => !s.outputsDiffer), value: again.value,
        differs: again.steps.map((s) => [s.recorded.op, s.inputsDiffer, s.outputsDiffer]), refused,
      };`,
      ...Array(SIZE - 1).fill(`${TRAIN} recorder.run(() => step(rank + 1)); recorder.gather();`),
    ]);
    expect(told).toMatchObject({
      before: 72,
      same: 72,
      unchanged: true,
      // Rank 2's part of the gather is as recorded; rank 0 sees its own new sum, 15 = 10 + 2 + 3, in its own part.
      value: 72,
      differs: [
        ['allReduce', true, true],
        ['allGather', true, true],
      ],
    });
    expect(told!['refused']).toContain('Cannot replay call 0: the rank now calls barrier');
  });

  it('replays every collective to the bits that were recorded', async () => {
    const [told] = await all<unknown[]>(`
      const x = torch.arange(6, { dtype: torch.float32 }).add(rank / 7);
      const rec = new runtime.CommRecorder({ values: true });
      const run = () => {
        const three = () => [0, 1, 2].map(() => torch.zeros([2]));
        const cut = [x.narrow(0, 0, 2), x.narrow(0, 2, 2), x.narrow(0, 4, 2)];
        for (const op of ['SUM', 'AVG', 'MAX', 'PRODUCT']) dist.allReduce(x.clone(), { op: dist.ReduceOp[op] });
        dist.allReduce(x.clone(), { op: dist.ReduceOp.PREMUL_SUM(0.3) });
        dist.reduce(x.clone(), 1);
        dist.broadcast(x.clone(), 2);
        dist.allGatherSingle(torch.zeros([18]), x);
        dist.reduceScatterSingle(torch.zeros([2]), x);
        dist.reduceScatter(torch.zeros([2]), cut);
        dist.gather(x, rank === 0 ? [0, 1, 2].map(() => torch.zeros([6])) : null, { dst: 0 });
        dist.scatter(torch.zeros([2]), rank === 1 ? cut : null, { src: 1 });
        dist.allToAll(three(), cut);
        dist.allToAllSingle(torch.zeros([6]), x);
        dist.allToAllSingle(torch.zeros([3 * (rank + 1)]), x,
          { outputSplitSizes: [0, 1, 2].map(() => rank + 1), inputSplitSizes: [1, 2, 3] });
        dist.allReduceCoalesced([x.clone(), x.clone()]);
        dist.allGatherCoalesced([0, 1, 2].map(() => [torch.zeros([6]), torch.zeros([2])]), [x, cut[0]]);
        dist.reduceScatterCoalesced([torch.zeros([2])], [x]);
        const got = [null, null, null];
        dist.allGatherObject(got, { rank });
        const work = dist.isend(x, (rank + 1) % 3);
        dist.recv(torch.zeros([6]), (rank + 2) % 3);
        work.wait();
        return got.map((g) => g.rank);
      };
      rec.run(run);
      const trace = rec.gather();
      const changed = trace.calls.filter((c) => runtime.replayCall(c, {}).changed.length > 0).map(String);
      const alone = runtime.replayRank(trace, run);
      return [changed, alone.value, alone.steps.filter((s) => s.outputsDiffer).map((s) => s.step.op), trace.calls.length];`);
    expect(told).toEqual([[], [0, 1, 2], [], 22]);
  });
});

describe('CommDebugMode', () => {
  it('counts by operation, group, mesh axis and module, in forward and backward', async () => {
    const [told] = await all<Record<string, Record<string, unknown>>>(`
      const { nn } = runtime;
      class Reduce extends nn.Module {
        forward(x) { return dist.functional.allReduce(x, 'sum'); }
      }
      class Net extends nn.Module {
        constructor() { super(); this.inner = new Reduce(); }
        forward(x) { return this.inner.call(x.mul(2)); }
      }
      const mode = new CommDebugMode();
      const x = torch.ones([2], { requiresGrad: true });
      const group = dist.newGroup([0, 1, 2], { groupDesc: 'mesh axis tp (ranks 0, 1, 2)' });
      mode.run(() => {
        new Net().call(x).sum().backward();
        dist.allReduce(torch.ones([2]), { group });
        dist.barrier();
      });
      return {
        total: mode.getTotalCounts(), counts: mode.getCommCounts(), axis: mode.getCommCountsByAxis(),
        module: mode.getCommCountsByModule(), calls: mode.events.map((e) => [e.module, e.backward]),
        table: mode.generateCommDebugTracingTable(), dump: JSON.parse(mode.generateJsonDump()).total,
      };`);
    expect(told).toMatchObject({
      total: 4,
      counts: { allReduce: 3, barrier: 1 },
      axis: { world: { allReduce: 2, barrier: 1 }, tp: { allReduce: 1 } },
      module: { Global: { allReduce: 3, barrier: 1 }, Net: { allReduce: 2 }, 'Net.inner': { allReduce: 2 } },
      calls: [
        ['Net.inner', false],
        ['Net.inner', true],
        [undefined, false],
        [undefined, false],
      ],
      dump: 4,
    });
    expect(told!['table']).toContain('4 calls: allReduce 3, barrier 1');
  });
});

describe('FlightRecorder', () => {
  it('keeps the last calls and finds where ranks diverged', async () => {
    await world.run(`
      const onFailure = (dump) => { state.failed = dump.entries.at(-1).state; };
      state.flight = new runtime.FlightRecorder({ size: 5, onFailure }).start();
      for (let i = 0; i < 4; i++) dist.allReduce(torch.ones([2]));
      if (rank === 2) dist.broadcast(torch.ones([3]), 0);
      dist.allReduce(torch.ones([2]));`);
    const [told] = await all<Record<string, unknown>>(`
      const dumps = state.flight.gather();
      state.flight.stop();
      const { entries, pg_status } = dumps[0];
      return { failed: state.failed, entries: entries.map((e) => [e.collective_seq_id, e.profiling_name, e.state]), findings: runtime.analyzeFlight(dumps) };`);
    expect(told!['failed']).toBe('failed');
    const entries = told!['entries'] as [number, string, string][];
    expect(entries).toHaveLength(5);
    expect(entries.slice(0, 4).every((e) => e[1] === 'shardbook:allReduce' && e[2] === 'completed')).toBe(
      true,
    );
    expect(entries[4]![2]).toBe('failed');
    const [finding] = told!['findings'] as { problem: string; ranks: Record<number, string> }[];
    expect(finding!.problem).toBe('the ranks call different operations');
    expect(finding!.ranks[2]).toContain('broadcast(float32[3])');
  });
});

describe('FaultPlan', () => {
  it('drops a call: the others learn that the rank skipped it', async () => {
    const results = await world.run(`
      const plan = new runtime.FaultPlan([{ kind: 'drop', rank: 1, op: 'allReduce', at: 2 }]);
      plan.run(() => { for (let i = 0; i < 2; i++) dist.allReduce(torch.ones([1])); });
      return String(plan.events.map((e) => e.call));`);
    expect(results[1]).toMatch(/^allReduce #\d+ of group world$/);
    expect(results[0]).toMatchObject({ code: 'SB_DEADLOCK' });
  });

  it('drops and corrupts single messages', async () => {
    const lost = await world.run(`
      const plan = new runtime.FaultPlan([{ kind: 'drop', rank: 0, op: 'send', peer: 1 }]);
      plan.run(() => { if (rank === 0) dist.send(torch.ones([1]), 1); if (rank === 1) dist.recv(torch.ones([1]), 0); });
      return plan.events.length;`);
    expect(lost[0]).toBe(1);
    expect(lost[1]).toMatchObject({ code: 'SB_DEADLOCK' });
    const [, got] = await all<number[]>(`
      const t = torch.zeros([3]);
      const plan = new runtime.FaultPlan([{ kind: 'corrupt', rank: 1, op: 'recv', bits: 3 }], 2);
      plan.run(() => { if (rank === 0) dist.send(torch.ones([3]), 1); if (rank === 1) dist.recv(t, 0); });
      return t.tolist();`);
    expect(got).not.toEqual([1, 1, 1]);
  });

  it('corrupts what is sent, by seed, and leaves the sender its bits', async () => {
    const code = (seed: number): string => `
      const mine = torch.ones([4]);
      const parts = [0, 1, 2].map(() => torch.zeros([4]));
      const plan = new runtime.FaultPlan([{ kind: 'corrupt', rank: 1, op: 'allGather' }], ${seed});
      plan.run(() => dist.allGather(parts, mine));
      return [mine.tolist(), parts.map((p) => p.tolist()), plan.events.map((e) => e.flipped)];`;
    const [zero, one] = await all<[number[], number[][], unknown[]]>(code(5));
    expect(one![0]).toEqual([1, 1, 1, 1]);
    expect(zero![1][1]).not.toEqual([1, 1, 1, 1]);
    expect(zero![1][1]).toEqual(one![1][1]);
    expect(zero![1][2]).toEqual([1, 1, 1, 1]);
    const again = await all<[number[], number[][], unknown[]]>(code(5));
    expect(again[1]![2]).toEqual(one![2]);
    const other = await all<[number[], number[][], unknown[]]>(code(6));
    expect(other[1]![2]).not.toEqual(one![2]);
  });

  it('delays, fails and kills a rank at the chosen call', async () => {
    const times = await all<[number, number]>(`
      const plan = new runtime.FaultPlan([{ kind: 'delay', rank: 2, ms: 60 }]);
      const start = Date.now();
      plan.run(() => dist.barrier());
      return [start, Date.now()];`);
    const [delayedFrom] = times[2]!;
    // The clock counts whole milliseconds, and a sleep may end one early.
    for (const [, end] of times) expect(end - delayedFrom).toBeGreaterThanOrEqual(58);
    const failed = await world.run(`
      new runtime.FaultPlan([{ kind: 'error', rank: 0 }]).run(() => dist.barrier());`);
    expect(failed[0]).toMatchObject({ code: 'SB_FAULT' });
    expect(failed[1]).toBeInstanceOf(Error);
    const other = await Cluster.start(2);
    const killed = await other.run(`
      new runtime.FaultPlan([{ kind: 'kill', rank: 1, at: 2 }]).run(() => { for (;;) dist.barrier(); });`);
    await other.stop();
    expect(String(killed[0])).toContain('rank 1');
    expect(String(killed[1])).toContain('137');
  });

  it('a rank that hangs can be interrupted, and the others with it', async () => {
    const other = await Cluster.start(2);
    const stuck = other.run(`
      new runtime.FaultPlan([{ kind: 'hang', rank: 0 }]).run(() => dist.barrier());`);
    await expect.poll(() => other.waiting()[1], { timeout: 50_000 }).toContain('collective');
    await other.world.interrupt();
    for (const result of await stuck) expect(result).toBeInstanceOf(Error);
    expect(await other.run('dist.barrier(); return rank')).toEqual([0, 1]);
    await other.stop();
  });

  it('is the same for the same seed, and refuses what makes no sense', async () => {
    const [told] = await all<unknown[]>(`
      const { FaultPlan } = runtime;
      const plan = (seed) => String(FaultPlan.random({ seed, count: 6, worldSize: 4 }));
      const codes = [{ kind: 'melt', rank: 0 }, { kind: 'drop', rank: -1 }, { kind: 'drop', rank: 0, at: 0 }].map((f) => {
        try { new FaultPlan([f]); } catch (e) { return e.code; }
      });
      return [plan(1) === plan(1), plan(1) === plan(2), codes];`);
    expect(told).toEqual([true, false, ['SB_FAULT_PLAN', 'SB_FAULT_PLAN', 'SB_FAULT_PLAN']]);
  });
});
