import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

let two: Cluster;
beforeAll(async () => {
  two = await Cluster.start(2);
});
afterAll(() => two.stop());

/** Weighted sum of the result, so that every element has a gradient of its own; then forward and gradient. */
const through = (call: string) => `
  const x = torch.arange(4, { dtype: torch.float32 }).add(rank).reshape([4, 1]).requiresGrad_();
  const y = ${call};
  const w = torch.arange(1, y.numel() + 1, { dtype: torch.float32 }).reshape([...y.shape]).mul(rank + 1);
  y.mul(w).sum().backward();
  return [y.flatten().tolist(), x.grad.flatten().tolist()]`;

// Seen from PyTorch 2.13's functional collectives with gloo, on the same tensors and weights.
test.each([
  ['allReduce(x)', [1, 3, 5, 7], [1, 3, 5, 7], [3, 6, 9, 12], [3, 6, 9, 12]],
  ['allGatherSingle(x)', [0, 1, 2, 3, 1, 2, 3, 4], [0, 1, 2, 3, 1, 2, 3, 4], [3, 6, 9, 12], [15, 18, 21, 24]],
  [
    'allGatherSingle(x, { gatherDim: -1 })',
    [0, 1, 1, 2, 2, 3, 3, 4],
    [0, 1, 1, 2, 2, 3, 3, 4],
    [3, 9, 15, 21],
    [6, 12, 18, 24],
  ],
  ['reduceScatterSingle(x)', [1, 3], [5, 7], [1, 2, 2, 4], [1, 2, 2, 4]],
  ['allToAllSingle(x)', [0, 1, 1, 2], [2, 3, 3, 4], [1, 2, 2, 4], [3, 4, 6, 8]],
  ['permuteTensor(x, [1, 0])', [1, 2, 3, 4], [0, 1, 2, 3], [2, 4, 6, 8], [1, 2, 3, 4]],
  // The gradient of what only the source gave: both ranks' weights, summed, on the source.
  ['broadcast(x, 1)', [1, 2, 3, 4], [1, 2, 3, 4], [0, 0, 0, 0], [3, 6, 9, 12]],
])('dist.functional.%s has the result and the gradient of PyTorch', async (call, y0, y1, g0, g1) => {
  expect(await two.run(through(`dist.functional.${call}`))).toEqual([
    [y0, g0],
    [y1, g1],
  ]);
});

test.each([
  ['dist.nn.allReduce(x)', [3, 6, 9, 12], [3, 6, 9, 12]],
  ['torch.cat(dist.nn.allGather(x))', [3, 6, 9, 12], [15, 18, 21, 24]],
  ['dist.nn.reduceScatter(torch.empty([2, 1]), [...torch.chunk(x, 2)])', [1, 2, 2, 4], [1, 2, 2, 4]],
  [
    'torch.cat(dist.nn.allToAll([torch.empty([2, 1]), torch.empty([2, 1])], [...torch.chunk(x, 2)]))',
    [1, 2, 2, 4],
    [3, 4, 6, 8],
  ],
  ['dist.nn.scatter([...torch.chunk(x, 2)], 0)', [1, 2, 2, 4], [0, 0, 0, 0]],
  ['torch.cat(dist.nn.gather(x, 1))', [2, 4, 6, 8], [10, 12, 14, 16]],
  ['dist.nn.reduce(x, 0)', [1, 2, 3, 4], [1, 2, 3, 4]],
])('%s sends gradients back', async (call, g0, g1) => {
  const grads = (await two.run(through(call))).map((r) => (r as unknown[][])[1]);
  expect(grads).toEqual([g0, g1]);
});

test('the gradient of a gradient goes through functional.allReduce()', async () => {
  const code = `
    const x = torch.tensor([rank + 1], { dtype: torch.float64 }).requiresGrad_();
    const y = dist.functional.allReduce(x);
    const z = y.mul(y).mul(y).sum();
    const [g] = torch.autograd.grad(z, [x], { createGraph: true });
    const [h] = torch.autograd.grad(g.sum(), [x]);
    return [g.item(), h.item()]`;
  // y = 3 on both: dz/dx summed over the ranks is 2 * 3 * 9, its derivative summed again 2 * 2 * 6 * 3.
  expect(await two.run(code)).toEqual([
    [54, 72],
    [54, 72],
  ]);
});

test('functional collectives of a list take one call', async () => {
  const code = `
    const mode = new CommDebugMode().start();
    const a = torch.tensor([rank, 1]); const b = torch.tensor([[rank * 10]]);
    const r = dist.functional.allReduceCoalesced([a, b]).map((t) => t.tolist());
    const g = dist.functional.allGatherSingleCoalesced([a, b]).map((t) => t.tolist());
    const s = dist.functional.reduceScatterSingleCoalesced([a, torch.tensor([[1, 2], [3, 4]])], 'sum', { scatterDims: [0, 1] });
    mode.stop();
    return [r, g, s.map((t) => t.tolist()), mode.getTotalCounts()]`;
  const [zero, one] = (await two.run(code)) as unknown[][];
  const gathered = [
    [0, 1, 1, 1],
    [[0], [10]],
  ];
  expect(zero).toEqual([[[1, 2], [[10]]], gathered, [[1], [[2], [6]]], 3]);
  expect(one).toEqual([[[1, 2], [[10]]], gathered, [[2], [[4], [8]]], 3]);
});

test('allReduceCoalesced(), allGatherCoalesced() and reduceScatterCoalesced() work in place', async () => {
  const code = `
    const a = tensor([rank, 1]); const b = tensor([5]);
    const work = dist.allReduceCoalesced([a, b], { asyncOp: true }); work.wait();
    const outs = [0, 1].map(() => [tensor([0, 0]), tensor([0], 'int64')]);
    dist.allGatherCoalesced(outs, [tensor([rank, 2]), tensor([rank + 7], 'int64')]);
    const r = tensor([0]); const q = tensor([0, 0]);
    dist.reduceScatterCoalesced([r, q], [tensor([1, 2]), tensor([rank, 1, 2, 3])]);
    return [a.get(), b.get(), outs.map((l) => l.map((t) => t.get())), r.get(), q.get()]`;
  const gathered = [
    [[0, 2], [7]],
    [[1, 2], [8]],
  ];
  expect(await two.run(code)).toEqual([
    [[1, 2], [10], gathered, [2], [1, 2]],
    [[1, 2], [10], gathered, [4], [4, 6]],
  ]);
});

test('backward of a maximum is refused, and so are lists of the wrong size and non-permutations', async () => {
  const code = (call: string) => `
    const x = torch.ones([2]).requiresGrad_();
    try { ${call}; return 'nothing' } catch (error) { return error.code + ' ' + error.message.split('\\n')[0] }`;
  const both = async (call: string) => (await two.run(code(call)))[1];
  expect(await both(`dist.functional.allReduce(x, 'max').sum().backward()`)).toContain(
    'backward of reduce op "max"',
  );
  expect(await both('dist.functional.permuteTensor(x, [0, 0])')).toContain('[0, 0] is not a permutation');
  expect(await both('dist.nn.scatter([x], 0)')).toContain("1 tensors are given, wanted 2 (the group's size)");
  expect(await both('dist.functional.reduceScatterSingle(torch.ones([3]))')).toContain(
    'cannot be cut into 2 equal',
  );
  expect(await both(`dist.allReduceCoalesced([tensor([1]), tensor([1], 'int64')])`)).toContain(
    'wanted one dtype',
  );
});

test('objects carry tensors, wherever they are inside, as copies', async () => {
  const code = `
    const t = torch.tensor([[1, 2], [3, 4]]).add(rank); const o = { w: t.t(), again: t.t(), list: [new Map([['k', t]])], n: rank };
    o.self = o;
    const all = [null, null]; dist.allGatherObject(all, o);
    const p = torch.ones([1]).requiresGrad_(); const b = [rank === 0 ? p : null]; dist.broadcastObjectList(b, { src: 0 });
    return all.map((x) => [x.w.tolist(), x.list[0].get('k').tolist(), x.n, x.self === x]).concat([[b[0].requiresGrad, b[0].tolist()]])`;
  const entry = (r: number) => [
    [
      [1 + r, 3 + r],
      [2 + r, 4 + r],
    ],
    [
      [1 + r, 2 + r],
      [3 + r, 4 + r],
    ],
    r,
    true,
  ];
  expect((await two.run(code))[1]).toEqual([entry(0), entry(1), [true, [1]]]);
});
