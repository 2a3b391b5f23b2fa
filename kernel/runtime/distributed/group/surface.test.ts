/** c10d's surface beyond the collectives themselves: arguments by position, groups' lives, stores, handles, questions. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';
import * as dist from './dist.js';

let four: Cluster;
beforeAll(async () => {
  four = await Cluster.start(4);
});
afterAll(() => four.stop());
const all = (value: unknown) => [value, value, value, value];
const codeOf = (result: unknown) =>
  result instanceof Error && 'code' in result ? String(result.code) : null;

test('every name of torch.distributed.distributed_c10d is there', () => {
  const names =
    `allGather allGatherCoalesced allGatherIntoTensor allGatherObject allGatherSingle allReduce allReduceCoalesced
    allToAll allToAllSingle barrier batchIsendIrecv broadcast broadcastObjectList destroyProcessGroup gather gatherObject
    getBackend getBackendConfig getDebugLevel getDefaultBackendForDevice getGlobalRank getGroupRank getNodeLocalRank getPgCount
    getProcessGroupRanks getRank getWorldSize group initProcessGroup irecv isAvailable isBackendAvailable isGlooAvailable
    isInitialized isMpiAvailable isNcclAvailable isTorchelasticLaunched isUccAvailable isXcclAvailable isend monitoredBarrier
    newGroup newSubgroups newSubgroupsByEnumeration recv recvObjectList reduce reduceScatter reduceScatterCoalesced
    reduceScatterSingle reduceScatterTensor scatter scatterObjectList send sendObjectList shrinkGroup splitGroup supportsComplex
    Backend DebugLevel GroupMember P2POp PrefixStore ProcessGroup ReduceOp Store Work TCPStore FileStore HashStore rendezvous
    registerRendezvousHandler functional nn`.split(/\s+/);
  expect(names.filter((name) => !(name in dist))).toEqual([]);
});

test('arguments by position are those of PyTorch', async () => {
  const code = `
    const g = dist.newGroup([0, 1, 2, 3]), { MAX } = dist.ReduceOp;
    const a = tensor([rank]); dist.allReduce(a, MAX, g);
    const w = tensor([rank]); dist.allReduce(w, MAX, g, true).wait();
    const b = tensor([rank]); dist.broadcast(b, 2, g);
    const r = tensor([rank]); dist.reduce(r, 0, MAX, g);
    const outs = [0, 1, 2, 3].map(() => tensor([0])); dist.allGather(outs, tensor([rank]), g);
    const list = rank === 1 ? [0, 1, 2, 3].map(() => tensor([0])) : null; dist.gather(tensor([rank]), list, 1, g);
    const s = tensor([0]); dist.scatter(s, rank === 3 ? [5, 6, 7, 8].map((v) => tensor([v])) : null, 3, g);
    const x = tensor([0, 0, 0, 0]); dist.allToAllSingle(x, tensor([rank, rank, rank, rank]), [1, 1, 1, 1], [1, 1, 1, 1], g);
    const m = tensor([rank]);
    if (rank === 0) dist.send(m, 1, g, 7); if (rank === 1) dist.recv(m, 0, g, 7);
    const o = [null]; dist.scatterObjectList(o, rank === 0 ? ['a', 'b', 'c', 'd'] : null, 0, g);
    dist.barrier(g, false); dist.monitoredBarrier(g, 1000);
    return [a, w, b, outs[2], x].map((t) => t.get()[0]).concat([r.get()[0] === (rank ? rank : 3), s.get()[0] - rank, o[0]])`;
  expect(await four.run(code)).toEqual(['a', 'b', 'c', 'd'].map((o) => [3, 3, 2, 2, 0, true, 5, o]));
});

test('a destroyed group is refused at once, and its id is given again', async () => {
  const code = `
    for (let i = 0; i < 5000; i++) {
      const g = dist.newGroup([0, 1, 2, 3]);
      if (i % 1000 === 0) { const t = tensor([1]); dist.allReduce(t, { group: g }); if (t.get()[0] !== 4) throw new Error('wrong'); }
      dist.destroyProcessGroup(g);
      state.last = g;
    }
    try { dist.barrier(state.last) } catch (e) { return e.code }`;
  expect(await four.run(code)).toEqual(all('SB_GROUP_DESTROYED'));
}, 60_000);

test('shrinkGroup() goes on without a rank that does not take part', async () => {
  const code = `
    const g = dist.newGroup();
    if (rank === 1) return;
    const s = dist.shrinkGroup([1], g), t = tensor([rank]);
    dist.allReduce(t, s);
    return [t.get()[0], s.rank(), [...s.ranks], g.isDestroyed]`;
  const withGroup = code.replace('dist.allReduce(t, s)', 'dist.allReduce(t, { group: s })');
  expect(await four.run(withGroup)).toEqual([
    [5, 0, [0, 2, 3], true],
    undefined,
    [5, 1, [0, 2, 3], true],
    [5, 2, [0, 2, 3], true],
  ]);
});

test('shrinkGroup() of the world makes a smaller world', async () => {
  const three = await Cluster.start(3);
  const code = `
    if (rank === 0) return;
    dist.shrinkGroup([0]);
    const t = tensor([rank]); dist.allReduce(t);
    return [dist.getRank(), dist.getWorldSize(), t.get()[0]]`;
  expect(await three.run(code)).toEqual([undefined, [0, 2, 3], [1, 2, 3]]);
  await three.stop();
});

test('a Work tells how it went, and its future has the tensors', async () => {
  const code = `
    const t = tensor([rank]); const w = dist.allReduce(t, { asyncOp: true });
    const [out] = await w.getFuture();
    const bad = dist.allReduce(tensor(Array(1 + rank).fill(0)), { asyncOp: true });
    try { bad.wait() } catch {}
    return [out === t, t.get()[0], w.isSuccess(), w.result()[0] === t, bad.isSuccess(), bad.exception().code]`;
  expect(await four.run(code)).toEqual(all([true, 6, true, true, false, 'SB_COLLECTIVE_MISMATCH']));
});

test('stores by name are shared by the ranks, and rendezvous finds one', async () => {
  const code = `
    const s = new dist.TCPStore('localhost', 29500, 4, rank === 0);
    if (rank === 2) s.set('who', 'two');
    const f = new dist.FileStore('/tmp/rendezvous'); f.add('n', 1); f.barrier('b', 4);
    const [[r, mine, count]] = dist.rendezvous('tcp://localhost:29501', rank, 4);
    r.add('seen', 1); r.barrier('done', 4);
    return [s.get('who'), s.numKeys(), f.get('n'), mine - rank, count, r.get('seen'), s.check(['n'])]`;
  expect(await four.run(code)).toEqual(all(['two', 2, '4', 0, 4, '4', false]));
});

test('a key that nobody can set any more is a deadlock', async () => {
  const results = await four.run("if (rank !== 1) dist.getStore().get('never')");
  expect(results.map(codeOf)).toEqual(['SB_DEADLOCK', null, 'SB_DEADLOCK', 'SB_DEADLOCK']);
  expect(String(results[0])).toContain('waits in store.wait (keys "never")');
});

test('a key set late is waited for', async () => {
  const code = `const s = dist.getStore();
    if (rank === 3) { const end = Date.now() + 60; while (Date.now() < end); s.set('late', 'yes'); }
    return s.get('late')`;
  expect(await four.run(code)).toEqual(all('yes'));
});

test.each([
  ['dist.allReduce()', 'SB_NOT_A_TENSOR'],
  ['dist.allGather(undefined, tensor([1]))', 'SB_BAD_ARGUMENT'],
  ['dist.allGather([tensor([1])], tensor([1]))', 'SB_BAD_ARGUMENT'],
  ['dist.broadcast(tensor([1]))', 'SB_BAD_ARGUMENT'],
  ['dist.broadcast(tensor([1]), 9)', 'SB_BAD_ARGUMENT'],
  ['dist.broadcast(tensor([1]), -1)', 'SB_BAD_ARGUMENT'],
  ['dist.broadcast(tensor([1]), 1.5)', 'SB_BAD_ARGUMENT'],
  ['dist.reduce(tensor([1]), { dst: 0, groupDst: 0 })', 'SB_BAD_ARGUMENT'],
  ['dist.allReduce(tensor([1]), { op: "sum" })', 'SB_REDUCE_OP'],
  ['dist.allReduce(tensor([1]), { group: 3 })', 'SB_NOT_A_GROUP'],
  ['dist.allToAllSingle(tensor([1, 2]), tensor([1, 2]), [3, -1, 0, 0], [1, 1, 0, 0])', 'SB_BAD_ARGUMENT'],
  ['dist.reduceScatterTensor(tensor([1]), tensor([1, 2, 3]))', 'SB_BAD_ARGUMENT'],
  ['dist.batchIsendIrecv([])', 'SB_BAD_ARGUMENT'],
  ['dist.batchIsendIrecv([3])', 'SB_BAD_ARGUMENT'],
  ['new dist.P2POp(dist.send, tensor([1]), 0)', 'SB_BAD_ARGUMENT'],
  ['dist.send(tensor([1]), 1, { tag: -1 })', 'SB_BAD_ARGUMENT'],
  ['dist.newGroup([0, 4])', 'SB_BAD_ARGUMENT'],
  ['dist.newGroup([])', 'SB_BAD_ARGUMENT'],
  ['dist.newGroup([0, 0])', 'SB_BAD_ARGUMENT'],
  ['dist.newGroup({ timeoutMs: -1 })', 'SB_BAD_ARGUMENT'],
  ['dist.newSubgroups(3)', 'SB_BAD_ARGUMENT'],
  ['dist.newSubgroups()', 'SB_BAD_ARGUMENT'],
  ['dist.newSubgroupsByEnumeration([[0, 1], [1]])', 'SB_BAD_ARGUMENT'],
  ['dist.splitGroup(null, [[]])', 'SB_BAD_ARGUMENT'],
  ['dist.shrinkGroup([])', 'SB_BAD_ARGUMENT'],
  ['dist.shrinkGroup([7])', 'SB_BAD_ARGUMENT'],
  ['dist.shrinkGroup([rank])', 'SB_BAD_ARGUMENT'],
  ['dist.initProcessGroup("smoke signals")', 'SB_BAD_ARGUMENT'],
  ['dist.initProcessGroup({ worldSize: 7 })', 'SB_BAD_ARGUMENT'],
  ['dist.getGlobalRank(null, 9)', 'SB_BAD_ARGUMENT'],
  ['dist.scatterObjectList([], [1, 2, 3, 4])', 'SB_BAD_ARGUMENT'],
  ['dist.getStore().setTimeout(-1)', 'SB_BAD_ARGUMENT'],
  ['dist.rendezvous("carrier://pigeon")', 'SB_RENDEZVOUS'],
])('%s is refused before any rank waits', async (code, expected) => {
  expect((await four.run(code)).map(codeOf)).toEqual(all(expected));
});

test('the meta device has no data to send', async () => {
  const results = await four.run(
    'const t = tensor([1]); Object.defineProperty(t, "isMeta", { value: true }); dist.allReduce(t)',
  );
  expect(results.map(codeOf)).toEqual(all('SB_META_TENSOR'));
});

test('questions about the surroundings', async () => {
  const code = `return [dist.getBackend(), dist.getBackendConfig(), dist.isBackendAvailable('shm'), dist.isNcclAvailable(),
    dist.getNodeLocalRank() - rank, dist.getDefaultBackendForDevice('cpu'), dist.getDebugLevel(), dist.isAvailable()]`;
  expect(await four.run(code)).toEqual(all(['shm', 'cpu:shm', true, false, 0, 'shm', 'OFF', true]));
});
