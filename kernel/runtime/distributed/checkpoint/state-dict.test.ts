import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

const SETUP = `
  const { nn, optim, fullyShard, initDeviceMesh, getModelStateDict, setModelStateDict, getOptimizerStateDict, setOptimizerStateDict, DTensor } = runtime;
  class Net extends nn.Module { a = new nn.Linear(3, 5); b = new nn.Linear(5, 2); forward(x) { return this.b(torch.tanh(this.a(x))); } }
  const made = (seed, wrap = false) => {
    torch.manualSeed(seed);
    const net = new Net();
    if (wrap) net.a = nn.checkpointWrapper(net.a);
    fullyShard(net, { mesh: initDeviceMesh([size]) });
    return net;
  };
  const trained = (net) => {
    const optimizer = new optim.AdamW(net.parameters(), { lr: 0.01 });
    for (let i = 0; i < 2; i++) { net(torch.ones([2, 3]).mul(rank + i)).sum().backward(); optimizer.step(); optimizer.zeroGrad(); net.reshard(); }
    return optimizer;
  };
`;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start(2);
}, 60_000);
afterAll(() => cluster.stop());

async function run(body: string): Promise<unknown[]> {
  const seen = await cluster.run(SETUP + body);
  for (const value of seen) if (value instanceof Error) throw value;
  return seen;
}

describe('getModelStateDict', () => {
  it('gives shards, whole tensors, or whole tensors on rank 0 alone, under plain names', async () => {
    const [zero, one] = await run(`
      const net = made(1, true);
      const shown = (dict) => Object.entries(dict).map(([k, t]) => [k, t instanceof DTensor, t.localPart().shape]);
      return [shown(getModelStateDict(net)), shown(getModelStateDict(net, { fullStateDict: true })), shown(getModelStateDict(net, { fullStateDict: true, cpuOffload: true }))];`);
    const names = ['a.weight', 'a.bias', 'b.weight', 'b.bias'];
    expect(zero).toEqual([
      names.map((name, i) => [name, true, [[3, 3], [3], [1, 5], [1]][i]]),
      names.map((name, i) => [name, false, [[5, 3], [5], [2, 5], [2]][i]]),
      names.map((name, i) => [name, false, [[5, 3], [5], [2, 5], [2]][i]]),
    ]);
    expect((one as unknown[])[2]).toEqual([]);
  });
});

describe('setModelStateDict and setOptimizerStateDict', () => {
  it.each([
    ['shards', '{}', '{}'],
    ['whole tensors', '{ fullStateDict: true }', '{}'],
    ['what rank 0 has', '{ fullStateDict: true, cpuOffload: true }', '{ broadcastFromRank0: true }'],
    ['a flat dictionary', '{ flattenOptimizerStateDict: true }', '{}'],
  ])('bring another model into the same state from %s', async (_name, get, set) => {
    const seen = await run(`
      const [net, other] = [made(1), made(2)];
      const optimizer = trained(net);
      const second = trained(other);
      const [model, saved] = [getModelStateDict(net, ${get}), getOptimizerStateDict(net, optimizer, ${get})];
      setModelStateDict(other, model, ${set});
      setOptimizerStateDict(other, second, saved, ${set});
      for (const [m, o] of [[net, optimizer], [other, second]]) { m(torch.ones([1, 3]).mul(rank + 1)).sum().backward(); o.step(); o.zeroGrad(); m.reshard(); }
      return Math.max(...net.parameters().map((p, i) => p.fullTensor().sub(other.parameters()[i].fullTensor()).abs().max().item()));`);
    expect(seen).toEqual([0, 0]);
  });
});

describe('getOptimizerStateDict', () => {
  it('makes the state of an optimizer that has not stepped, and changes neither parameters nor rate', async () => {
    const [seen] = await run(`
      const net = made(1);
      const optimizer = new optim.AdamW(net.parameters(), { lr: 0.01 });
      const before = net.parameters().map((p) => p.localPart().clone());
      const fresh = getOptimizerStateDict(net, optimizer).state;
      return [Object.keys(fresh), fresh['a.weight'].exp_avg instanceof DTensor, optimizer.paramGroups[0].lr,
        net.parameters().every((p, i) => p.grad === null && torch.equal(p.localPart(), before[i]))];`);
    expect(seen).toEqual([['a.weight', 'a.bias', 'b.weight', 'b.bias'], true, 0.01, true]);
  });
});
