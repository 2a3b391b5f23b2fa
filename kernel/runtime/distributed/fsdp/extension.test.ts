/** Parameters whose class decides what travels. Figures recorded from PyTorch 2.13 (gloo), the same program. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

const PROGRAM = `
  const { nn, fullyShard, initDeviceMesh, MixedPrecisionPolicy, optim, Tensor, DTensor, noGrad } = runtime;
  const calls = [];
  /** Travels as float8, with one scale of its rank. */
  class Fp8Weight extends Tensor {
    static of(t) { return new Fp8Weight({ storage: t.storage, shape: t.shape, dtype: t.dtype }); }
    fsdpPreAllGather(mesh, outerSize, outerStride, module, policy) {
      const scale = this.abs().amax().clamp(1e-12).reshape([1]).div(448);
      calls.push(['pre', [...this.shape], [...outerSize], [...outerStride], mesh.size(), module.constructor.name, policy.paramDtype?.name ?? null]);
      return [[this.div(scale).to(torch.float8_e4m3fn), scale], { rows: this.shape[0] }];
    }
    fsdpPostAllGather([q, scales], metadata, dtype, { out } = {}) {
      calls.push(['post', [...q.shape], q.dtype.name, [...scales.shape], metadata.rows, dtype.name, out !== undefined]);
      const whole = q.to(torch.float32).view([scales.numel(), -1]).mul(scales.view([-1, 1])).view([...q.shape]).to(dtype);
      if (out !== undefined) { out.copy_(whole); return; }
      return [whole, [whole]];
    }
  }
  const fill = (shape, k) => {
    const n = shape.reduce((a, b) => a * b, 1);
    return torch.tensor(Array.from({ length: n }, (_, i) => (((i * 37 + k * 11) % 64) - 31) / 50), { dtype: torch.float64 }).to(torch.float32).reshape(shape);
  };
  class Net extends nn.Module {
    a = new nn.Linear(4, 6); b = new nn.Linear(6, 2);
    forward(x) { return this.b(torch.tanh(this.a(x))); }
  }
  const mesh = initDeviceMesh([size]);
  const made = () => {
    const net = new Net();
    noGrad(() => { for (const [k, p] of net.parameters().entries()) p.copy_(fill([...p.shape], k)); });
    net.a.weight = new nn.Parameter(Fp8Weight.of(net.a.weight.detach()));
    return net;
  };
  const sharded = (options = {}) => {
    const net = made();
    fullyShard(net.a, { mesh, ...options });
    return fullyShard(net, { mesh, ...options });
  };
  const train = (paramDtype) => {
    const net = sharded({ mpPolicy: new MixedPrecisionPolicy({ paramDtype }) });
    const local = net.a.weight.localTensor.constructor.name;
    const optimizer = new optim.SGD(net.parameters(), { lr: 0.5 });
    const losses = [];
    for (let step = 0; step < 3; step++) {
      const x = fill([2 * size, 4], 5 + step).narrow(0, 2 * rank, 2);
      const loss = net(x).to(torch.float32).pow(2).mean();
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      losses.push(loss.item());
    }
    net.a.unshard();
    const [whole, kind] = [net.a.weight, net.a.weight instanceof DTensor];
    const values = whole.detach().to(torch.float32).flatten().tolist();
    net.a.reshard();
    return { losses, values, local, kind, freed: whole.storage.nbytes, weight: net.a.weight.fullTensor().detach().flatten().tolist() };
  };
`;

interface Seen {
  losses: number[];
  values: number[];
  weight: number[];
  local: string;
  kind: boolean;
  freed: number;
  calls: unknown[][];
}

async function onRanks(cluster: Cluster, body: string): Promise<unknown[]> {
  const seen = await cluster.run(PROGRAM + body);
  for (const value of seen) if (value instanceof Error) throw value;
  return seen;
}

const close = (got: readonly number[], wanted: readonly number[], digits: number): void => {
  for (const [i, value] of wanted.entries()) expect(got[i]).toBeCloseTo(value, digits);
};

describe('fsdpPreAllGather and fsdpPostAllGather', () => {
  let three: Cluster;
  let two: Cluster;
  beforeAll(async () => {
    [three, two] = await Promise.all([Cluster.start(3), Cluster.start(2)]);
  }, 120_000);
  afterAll(() => Promise.all([three.stop(), two.stop()]));

  it('send a weight as float8 with scales: losses and weights are those of PyTorch', {
    timeout: 120_000,
  }, async () => {
    const seen = (await onRanks(three, 'return { ...train(null), calls };')) as Seen[];
    const losses = [
      [0.6248378753662109, 0.03604711592197418, 0.0204129908233881],
      [0.1766921877861023, 0.03068278171122074, 0.010505355894565582],
      [0.4220234751701355, 0.04347800463438034, 0.02206256613135338],
    ];
    for (const [rank, own] of seen.entries()) close(own.losses, losses[rank]!, 5);
    const [{ values, weight, calls, local, kind, freed }] = seen as [Seen];
    close(values.slice(0, 6), [-0.6566054, 0.1524263, -0.4690039, 0.3517529, -0.1876016, 0.5159042], 5);
    close(weight.slice(0, 6), [-0.6566054, 0.1506533, -0.457329, 0.361277, -0.1899412, 0.4998026], 5);
    expect([local, kind, freed]).toEqual(['Fp8Weight', false, 0]);
    const pre = ['pre', [2, 4], [6, 4], [4, 1], 3, 'FSDPLinear', null];
    const post = (again: boolean): unknown[] => ['post', [6, 4], 'float8_e4m3fn', [3], 2, 'float32', again];
    expect(calls).toEqual(Array.from({ length: 7 }, (_, i) => [pre, post(i > 0)]).flat());
  });

  it('go with mixed precision: the hook is told the dtype to compute in', { timeout: 120_000 }, async () => {
    const seen = (await onRanks(two, 'return { ...train(torch.bfloat16), calls };')) as Seen[];
    close(seen[0]!.losses, [0.6330352425575256, 0.04251444339752197, 0.025528088212013245], 2);
    close(seen[1]!.losses, [0.17527157068252563, 0.03313976526260376, 0.01646454632282257], 2);
    close(seen[0]!.values.slice(0, 4), [-0.640625, 0.1484375, -0.45703125, 0.365234375], 2);
    expect(seen[0]!.calls.slice(0, 2)).toEqual([
      ['pre', [3, 4], [6, 4], [4, 1], 2, 'FSDPLinear', 'bfloat16'],
      ['post', [6, 4], 'float8_e4m3fn', [2], 3, 'bfloat16', false],
    ]);
  });

  it('refuse one hook without the other, and shards sent without their padding', {
    timeout: 120_000,
  }, async () => {
    const [first] = await onRanks(
      two,
      `
      const failure = (body) => { try { body(); return 'nothing'; } catch (error) { return error.code + ': ' + error.message.split('\\n')[0]; } };
      class Half extends Tensor { fsdpPreAllGather() { return [[], null]; } }
      const one = new nn.Linear(4, 6);
      one.weight = new nn.Parameter(new Half({ storage: one.weight.storage, shape: one.weight.shape, dtype: one.weight.dtype }));
      return [failure(() => fullyShard(one, { mesh }))];`,
    );
    expect((first as string[])[0]).toMatch(
      /^SB_FSDP_EXTENSION: .*Half has fsdpPreAllGather only, wanted both hooks$/,
    );
    const seen = await onRanks(
      two,
      `
      const uneven = new nn.Linear(4, 3, { bias: false });
      uneven.weight = new nn.Parameter(Fp8Weight.of(uneven.weight.detach()));
      fullyShard(uneven, { mesh });
      if (rank === 0) return '';
      try { uneven.unshard(); } catch (error) { return error.message; }`,
    );
    expect(seen[1]).toMatch(/wanted tensors of the padded shard's shape \[2, 4\]/);
  });
});
