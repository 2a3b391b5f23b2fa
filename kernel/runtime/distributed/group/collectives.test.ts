import { afterAll, beforeAll, expect, test } from 'vitest';
import { torch } from '../../tensor/index.js';
import { Cluster } from '../transport/testing/cluster.js';
import { destination, readBytes } from './tensors.js';

let four: Cluster;
beforeAll(async () => {
  four = await Cluster.start(4);
});
afterAll(() => four.stop());
const all = (value: unknown) => [value, value, value, value];

test('allReduce() sums small and large tensors to the same value on every rank', async () => {
  expect(await four.run('const t = tensor([rank + 1, 10]); dist.allReduce(t); return t.get()')).toEqual(
    all([10, 40]),
  );
  const large = `const n = 700001; const t = tensor(Array.from({ length: n }, (_, i) => i % 7 + rank));
    dist.allReduce(t); return t.get().every((x, i) => x === 4 * (i % 7) + 6)`;
  expect(await four.run(large)).toEqual(all(true));
});

test.each([
  ['AVG', 'float32', 2.5],
  ['PRODUCT', 'float64', 24],
  ['MIN', 'int64', 1],
  ['MAX', 'bfloat16', 4],
  ['BXOR', 'int32', 4],
  ['BOR', 'int64', 7],
  ['SUM', 'bool', 1],
  ['SUM', 'float16', 10],
])('allReduce() with %s on %s', async (op, dtype, expected) => {
  const value = dtype === 'bool' ? 'rank === 2 ? 1 : 0' : 'rank + 1';
  const code = `const t = tensor([${value}], '${dtype}'); dist.allReduce(t, { op: dist.ReduceOp.${op} }); return t.get()[0]`;
  expect(await four.run(code)).toEqual(all(expected));
});

test('broadcast(), scatter(), gather() and reduce() have one root', async () => {
  const code = `
    const b = tensor([rank]); dist.broadcast(b, { src: 2 });
    const s = tensor([-1]); dist.scatter(s, rank === 1 ? [0, 1, 2, 3].map((i) => tensor([i * 10])) : undefined, { src: 1 });
    const outs = rank === 3 ? [0, 1, 2, 3].map(() => tensor([0])) : undefined;
    dist.gather(tensor([rank * rank]), outs, { dst: 3 });
    const r = tensor([rank]); dist.reduce(r, { dst: 0 });
    return [b.get()[0], s.get()[0], outs?.map((t) => t.get()[0]) ?? null, r.get()[0]]`;
  expect(await four.run(code)).toEqual([
    [2, 0, null, 6],
    [2, 10, null, 1],
    [2, 20, null, 2],
    [2, 30, [0, 1, 4, 9], 3],
  ]);
});

test('allGather(), reduceScatter() and their single-tensor forms', async () => {
  const code = `
    const outs = [0, 1, 2, 3].map(() => tensor([0])); dist.allGather(outs, tensor([rank]));
    const g = tensor(Array(8).fill(0)); dist.allGatherSingle(g, tensor([rank, rank + 10]));
    const r = tensor([0]); dist.reduceScatter(r, [0, 1, 2, 3].map((i) => tensor([i + rank])));
    const s = tensor([0]); dist.reduceScatterTensor(s, tensor([0, 1, 2, 3]));
    return [outs.map((t) => t.get()[0]), g.get(), r.get()[0], s.get()[0]]`;
  const gathered = [0, 10, 1, 11, 2, 12, 3, 13];
  expect(await four.run(code)).toEqual([0, 1, 2, 3].map((r) => [[0, 1, 2, 3], gathered, 4 * r + 6, 4 * r]));
});

test('allToAllSingle() moves uneven splits', async () => {
  const code = `
    const input = Array.from({ length: rank + 1 }, () => rank); const sizes = [0, 0, 0, 0]; sizes[3 - rank] = rank + 1;
    const from = [0, 0, 0, 0]; from[3 - rank] = 4 - rank;
    const out = tensor(Array(4 - rank).fill(-1));
    dist.allToAllSingle(out, tensor(input), { inputSplitSizes: sizes, outputSplitSizes: from });
    return out.get()`;
  expect(await four.run(code)).toEqual([[3, 3, 3, 3], [2, 2, 2], [1, 1], [0]]);
});

test('an empty view that begins behind the end of its storage can be sent', () => {
  const end = torch.zeros([0, 4]).narrow(1, 2, 2);
  expect(end.storageOffset).toBe(2);
  expect(readBytes(end)).toHaveLength(0);
  expect(destination(end).bytes).toHaveLength(0);
});

test('send() and recv() match by tag, from any source, in order, through many chunks', async () => {
  const code = `
    if (rank === 0) {
      const big = tensor(Array.from({ length: 300000 }, (_, i) => i % 1000)); const small = tensor([7]);
      const work = [dist.isend(big, 1, { tag: 5 }), dist.isend(small, 1, { tag: 6 })];
      for (const w of work) w.wait();
      return 'sent';
    }
    if (rank === 1) {
      const small = tensor([0]); const big = tensor(Array(300000).fill(0));
      dist.recv(small, 0, { tag: 6 }); dist.recv(big, 0, { tag: 5 });
      return [small.get()[0], big.get().every((x, i) => x === i % 1000)];
    }
    if (rank === 2) { const t = tensor([0]); const from = dist.recv(t); return [from, t.get()[0]]; }
    dist.send(tensor([33]), 2); return 'sent'`;
  expect(await four.run(code)).toEqual(['sent', [7, true], [3, 33], 'sent']);
});

test('batchIsendIrecv() shifts around the ring', async () => {
  const code = `
    const out = tensor([0]);
    const works = dist.batchIsendIrecv([new dist.P2POp(dist.isend, tensor([rank]), (rank + 1) % 4), new dist.P2POp(dist.irecv, out, (rank + 3) % 4)]);
    for (const w of works) w.wait();
    return out.get()[0]`;
  expect(await four.run(code)).toEqual([3, 0, 1, 2]);
});

test('async Work of several groups may be waited for in any order', async () => {
  const code = `
    const g = [dist.newGroup([0, 1, 2, 3]), dist.newGroup([0, 1, 2, 3])];
    const ts = [tensor([rank]), tensor([rank * 10])];
    const order = rank % 2 ? [0, 1] : [1, 0];
    const works = []; for (const i of order) works[i] = dist.allReduce(ts[i], { group: g[i], asyncOp: true });
    for (const i of order) works[i].wait();
    return [ts[0].get()[0], ts[1].get()[0], works[0].isCompleted()]`;
  expect(await four.run(code)).toEqual(all([6, 60, true]));
});

test('newGroup() sorts its ranks; non-members hold NON_GROUP_MEMBER and do nothing', async () => {
  const code = `
    const g = dist.newGroup([3, 0]); const t = tensor([rank + 1]); dist.allReduce(t, { group: g });
    return [dist.getRank(g), dist.getWorldSize(g), t.get()[0], g === dist.GroupMember.NON_GROUP_MEMBER]`;
  expect(await four.run(code)).toEqual([
    [0, 2, 5, false],
    [-1, -1, 2, true],
    [-1, -1, 3, true],
    [1, 2, 5, false],
  ]);
});

test('object collectives copy values of any size', async () => {
  const code = `
    const objects = [0, 0, 0, 0]; dist.allGatherObject(objects, { rank, text: 'x'.repeat(rank * 100) });
    const list = rank === 1 ? ['a', { b: 1 }] : [null, null]; dist.broadcastObjectList(list, { src: 1 });
    const got = [null]; dist.scatterObjectList(got, rank === 0 ? [1, 'two', [3], { four: 4 }] : undefined, { src: 0 });
    let received = null;
    if (rank === 2) dist.sendObjectList(['m', 1], 3);
    if (rank === 3) { received = [null, null]; dist.recvObjectList(received, 2); }
    return [objects.map((o) => o.text.length), list[1].b, got[0], received]`;
  const lengths = [0, 100, 200, 300];
  expect(await four.run(code)).toEqual([
    [lengths, 1, 1, null],
    [lengths, 1, 'two', null],
    [lengths, 1, [3], null],
    [lengths, 1, { four: 4 }, ['m', 1]],
  ]);
});

test('CommDebugMode counts what runs inside it', async () => {
  const code = `
    const mode = new CommDebugMode();
    mode.run(() => { dist.barrier(); dist.allReduce(tensor([1, 2])); dist.allReduce(tensor([1])); });
    return [mode.getCommCounts(), mode.getTotalCounts(), mode.getCommBytes().allReduce]`;
  expect(await four.run(code)).toEqual(all([{ barrier: 1, allReduce: 2 }, 3, 12]));
});

test('a thousand collectives of 64 ranks in 8 subgroups give the right sums', async () => {
  const many = await Cluster.start(64);
  const code = `
    const [g] = dist.newSubgroups(8); let ok = true;
    for (let i = 0; i < 20; i++) { const t = tensor([rank + i]); dist.allReduce(t, { group: g }); const base = Math.floor(rank / 8) * 8; ok &&= t.get()[0] === 8 * (base + i) + 28; }
    const big = tensor(Array(262144).fill(1)); dist.allReduce(big); ok &&= big.get().every((x) => x === 64);
    return ok`;
  const results = await many.run(code);
  await many.stop();
  expect(results).toEqual(Array(64).fill(true));
}, 240_000);

test('monitoredBarrier() names the ranks that are late', async () => {
  // Ranks 0 and 1 set out together, so that a busy machine does not make one of them late as well.
  const code = (options: string) => `
    const store = dist.getStore(), told = [0, 1].map((r) => 'told ${options} ' + r);
    dist.barrier();
    // Not store.wait: ranks that all wait are a deadlock, said at once.
    if (rank >= 2) { while (!store.check(told)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); return 'late' }
    try { dist.monitoredBarrier({ timeoutMs: 1500${options} }); return 'passed' }
    catch (e) { return e.code + ' ' + e.message } finally { store.set(told[rank], 'yes') }`;
  const first = (await four.run(code(''))) as string[];
  expect(first.some((text) => text.startsWith('SB_TIMEOUT') && text.includes(': rank 2 did not come'))).toBe(
    true,
  );
  const both = (await four.run(code(', waitAllRanks: true'))) as string[];
  expect(both.some((text) => text.includes(': ranks 2, 3 did not come'))).toBe(true);
  expect(both).not.toContain('passed');
});

test('a group destroyed and initialised again keeps its members in step', async () => {
  const code = `
    const seen = [];
    for (let round = 0; round < 8; round++) {
      dist.initProcessGroup();
      const all = [null, null, null, null]; dist.allGatherObject(all, { rank, round });
      if (round % 3 === 0) dist.barrier();
      seen.push(all.every((o, r) => o.rank === r && o.round === round));
      dist.destroyProcessGroup();
      const end = performance.now() + ((rank * 7 + round * 3) % 5) * 4; while (performance.now() < end);
    }
    dist.initProcessGroup();
    return seen`;
  expect(await four.run(code)).toEqual(all(Array(8).fill(true)));
});

test('ranks share work through a queue of the store: every entry goes to one of them', async () => {
  const code = `
    const store = dist.getStore();
    if (rank === 0) { for (let i = 0; i < 30; i++) store.queuePush('jobs', String(i)); for (let i = 0; i < 3; i++) store.queuePush('jobs', 'end'); return [] }
    const taken = [];
    for (;;) { const job = store.queuePop('jobs'); if (job === 'end') return taken; taken.push(Number(job)) }`;
  const taken = ((await four.run(code)) as number[][]).flat().sort((a, b) => a - b);
  expect(taken).toEqual(Array.from({ length: 30 }, (_, i) => i));
});
