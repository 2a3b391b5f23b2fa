import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

const SETUP = `
  const { nn, fullyShard, initDeviceMesh, MixedPrecisionPolicy, CPUOffloadPolicy, DataParallelMeshDims, Shard, Replicate,
    DTensor, optim, F, FSDPModule, distributeModule, distributeTensor, DistributedDataParallel, registerFsdpForwardMethod } = runtime;
  class Net extends nn.Module {
    layers; head;
    constructor(width = 6) {
      super();
      this.layers = new nn.ModuleList([0, 1].map(() => new nn.Linear(width, width)));
      this.head = new nn.Linear(width, 3);
    }
    forward(x) { let h = x; for (const layer of this.layers) h = torch.tanh(layer(h)); return this.head(h); }
  }
  const mesh = initDeviceMesh([size]);
  const shard = (net, options = {}) => {
    for (const layer of net.layers) fullyShard(layer, { mesh, ...options });
    return fullyShard(net, { mesh, ...options });
  };
  const made = (width) => { torch.manualSeed(7); return new Net(width); };
  const rows = (step, n = 2) => { torch.manualSeed(100 + step); return torch.randn([n * size, 6]); };
  const mine = (t, n = 2) => t.narrow(0, rank * n, n);
  const failure = (body) => { try { body(); return 'nothing'; } catch (error) { return error.code + ': ' + error.message.split('\\n')[0]; } };
`;

/** What every rank returned, which must be the same. */
async function onAll(cluster: Cluster, body: string): Promise<unknown> {
  const seen = await cluster.run(SETUP + body);
  for (const value of seen) if (value instanceof Error) throw value;
  for (const value of seen) expect(value).toEqual(seen[0]);
  return seen[0];
}

describe.each([1, 2, 3, 4, 8])('fullyShard on %i ranks', (world) => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start(world);
  }, 60_000);
  afterAll(() => cluster.stop());

  it('trains as one process does on the whole batch', async () => {
    const worst = await onAll(
      cluster,
      `
      const [model, reference] = [shard(made()), made()];
      const [a, b] = [model, reference].map((m) => new optim.AdamW(m.parameters(), { lr: 1e-2 }));
      let worst = 0;
      for (let step = 0; step < 4; step++) {
        const x = rows(step);
        const own = model(mine(x)).pow(2).mean();
        own.backward();
        const all = reference(x).pow(2).mean();
        all.backward();
        const mean = own.detach().clone();
        dist.allReduce(mean, { op: dist.ReduceOp.AVG });
        worst = Math.max(worst, Math.abs(mean.item() - all.item()));
        for (const o of [a, b]) { o.step(); o.zeroGrad(); }
      }
      model.reshard();
      for (const [i, p] of model.parameters().entries())
        worst = Math.max(worst, p.fullTensor().sub(reference.parameters()[i]).abs().max().item());
      return Number(worst.toPrecision(12));`,
    );
    expect(worst).toBeLessThan(5e-6);
  });
});

describe('fullyShard', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start(4);
  }, 60_000);
  afterAll(() => cluster.stop());

  it('refuses parameters that an optimizer has', async () => {
    expect(
      await onAll(
        cluster,
        'const net = made(); new optim.SGD(net.parameters(), { lr: 1 }); return failure(() => shard(net));',
      ),
    ).toMatch(
      /^SB_FSDP_OPTIMIZER_FIRST: Cannot shard a module: an optimizer was made with 2 of its 2 parameters/,
    );
  });

  it('refuses meshes without meaning for it, on every rank', async () => {
    expect(
      await onAll(
        cluster,
        `return [
          failure(() => fullyShard(made(), { mesh: initDeviceMesh([2, 2]) })),
          failure(() => fullyShard(made(), { mesh: initDeviceMesh([1, 2, 2], { meshDimNames: ['a', 'b', 'c'] }) })),
          failure(() => fullyShard(made(), { mesh: 4 })),
          failure(() => fullyShard(made(), { mesh, reshardAfterForward: 3 })),
        ].map((text) => text.split(':')[0]);`,
      ),
    ).toEqual(['SB_FSDP_MESH', 'SB_FSDP_MESH', 'SB_FSDP_MESH', 'SB_FSDP_RESHARD']);
  });

  it('refuses what is sharded already, and scalars, and modules without forward', async () => {
    expect(
      await onAll(
        cluster,
        `const net = new nn.Linear(4, 4);
        net.weight = new nn.Parameter(distributeTensor(torch.ones([4, 4]), mesh, [Shard(0)]));
        class Scalar extends nn.Module { s = new nn.Parameter(torch.tensor(1.5)); forward(x) { return x.mul(this.s); } }
        return [
          failure(() => { const m = fullyShard(new nn.Linear(2, 2), { mesh }); fullyShard(m, { mesh }); }),
          failure(() => fullyShard(net, { mesh })),
          failure(() => fullyShard(new Scalar(), { mesh })),
          failure(() => fullyShard(new nn.ModuleList([new nn.Linear(2, 2)]), { mesh })),
        ].map((text) => text.split(':')[0]);`,
      ),
    ).toEqual(['SB_FSDP_ALREADY_SHARDED', 'SB_FSDP_ALREADY_SHARDED', 'SB_FSDP_PARAMETER', 'SB_FSDP_MODULE']);
  });

  it('names ranks that shard other modules, on every rank and before anything hangs', async () => {
    expect(
      await onAll(
        cluster,
        `const net = shard(made(rank === 2 ? 8 : 6)); return failure(() => net(torch.ones([1, 6])));`,
      ),
    ).toBe('SB_FSDP_RANKS_DIFFER: Cannot run FSDP: ranks 0 and 2 shard different modules');
  });

  it('names parameters that two groups share', async () => {
    expect(
      await onAll(
        cluster,
        `const net = made();
        net.layers.at(1).weight = net.layers.at(0).weight;
        shard(net);
        return failure(() => net(torch.ones([1, 6])));`,
      ),
    ).toBe(
      'SB_FSDP_SHARED: Cannot run FSDP: parameter "layers.1.weight" is the same as "layers.0.weight" of another group',
    );
  });

  it('goes on after an error in forward and resetIterState', async () => {
    expect(
      await onAll(
        cluster,
        `const net = shard(made());
        const x = mine(rows(0));
        net(x).sum().backward();
        const before = net.head.weight.grad.fullTensor().clone();
        net.zeroGrad();
        const handle = net.head.registerForwardPreHook(() => { throw new Error('stop here'); });
        const stopped = failure(() => net(x));
        handle.remove();
        net.resetIterState();
        net(x).sum().backward();
        return [stopped, net.head.weight.grad.fullTensor().sub(before).abs().max().item()];`,
      ),
    ).toEqual(['undefined: stop here', 0]);
  });

  it('keeps state on the host with the same numbers', async () => {
    expect(
      await onAll(
        cluster,
        `const train = (options) => {
          const net = shard(made(), options);
          const optimizer = new optim.AdamW(net.parameters());
          const losses = [];
          for (let i = 0; i < 3; i++) {
            const loss = net(mine(rows(i))).pow(2).mean();
            loss.backward();
            optimizer.step();
            optimizer.zeroGrad();
            losses.push(loss.item());
          }
          return losses;
        };
        const moved = [];
        const plain = train({});
        const stop = runtime.onFsdp((e) => { if (e.kind === 'toDevice' || e.kind === 'toHost') moved.push(e.kind); });
        const offloaded = train({ offloadPolicy: new CPUOffloadPolicy() });
        stop();
        return [plain.every((l, i) => l === offloaded[i]), moved.includes('toDevice'), moved.includes('toHost')];`,
      ),
    ).toEqual([true, true, true]);
  });

  it('materialises a meta module by toEmpty and resetParameters', async () => {
    expect(
      await onAll(
        cluster,
        `const net = shard(torch.device('meta', () => new Net()));
        const refused = failure(() => net(torch.ones([1, 6])));
        net.toEmpty({ device: 'cpu' });
        torch.manualSeed(5);
        for (const module of net.modules()) module.resetParameters?.();
        const out = net(torch.ones([1, 6]));
        return [refused.split(':')[0], Number.isFinite(out.sum().item()), net.layers.at(0).weight.isMeta];`,
      ),
    ).toEqual(['SB_FSDP_META', true, false]);
  });

  it('shards over named axes of a mesh that the parameters are on', async () => {
    expect(
      await onAll(
        cluster,
        `const whole = initDeviceMesh([2, 2], { meshDimNames: ['dp', 'tp'] });
        const reference = made();
        const net = made();
        for (const [name, p] of net.namedParameters()) {
          const parts = name.split('.');
          const leaf = parts.pop();
          net.getSubmodule(parts.join('.'))[leaf] = new nn.Parameter(distributeTensor(p.detach(), whole, [Replicate(), Replicate()]));
        }
        fullyShard(net, { mesh: whole, dpMeshDims: new DataParallelMeshDims({ shard: 'dp' }) });
        const placements = net.head.weight.placements.map(String);
        // A distributed loss is that of the whole batch already, and the reduction divides by two ranks: as PyTorch.
        const x = rows(0, 1).narrow(0, 0, 2);
        const own = distributeTensor(x, whole, [Shard(0), Replicate()]);
        const loss = net(own).pow(2).mean();
        loss.backward();
        reference(x).pow(2).mean().backward();
        net.reshard();
        const worst = Math.max(...net.parameters().map((p, i) => p.grad.fullTensor().mul(2).sub(reference.parameters()[i].grad).abs().max().item()));
        return [placements, worst < 1e-6];`,
      ),
    ).toEqual([['S(0)', 'R'], true]);
  });

  it('takes custom collectives, an all-reduce hook and a group of its own for reductions', async () => {
    expect(
      await onAll(
        cluster,
        `const net = fullyShard(made(), { mesh });
        const calls = [];
        net.setCustomAllGather({
          allocate: (shape, { dtype }) => torch.empty([...shape], { dtype }),
          run: (output, input, group) => { calls.push('gather'); dist.allGatherSingle(output, input, { group }); },
        });
        net.setCustomReduceScatter({
          allocate: (shape, { dtype }) => torch.empty([...shape], { dtype }),
          run: (output, input, group, op) => { calls.push('reduce'); dist.reduceScatterSingle(output, input, { group, op }); },
        });
        net.setAllReduceHook((t) => { calls.push('hook'); t.mul_(2); });
        net.setSeparateReduceScatterGroup();
        const x = mine(rows(0));
        net(x).sum().backward();
        const plain = fullyShard(made(), { mesh });
        plain(x).sum().backward();
        return [calls, net.head.bias.grad.fullTensor().div(2).sub(plain.head.bias.grad.fullTensor()).abs().max().item()];`,
      ),
    ).toEqual([['gather', 'reduce', 'hook'], 0]);
  });

  it('says whose a parameter is already, and which ways to lay buffers exclude each other', async () => {
    const [child, after, both, again, event] = (await onAll(
      cluster,
      `const root = fullyShard(new nn.Sequential(new nn.Linear(2, 4)), { mesh });
      const child = failure(() => fullyShard(root.at(0), { mesh }));
      const custom = shard(made());
      custom.setCustomAllGather({ allocate: (shape, { dtype }) => torch.empty([...shape], { dtype }), run: () => undefined });
      const after = failure(() => custom.setSymmMemForComm());
      const net = shard(made());
      net.setAllocateMemoryFromProcessGroupForComm(true);
      const both = failure(() => net.setSymmMemForComm());
      net.setAllocateMemoryFromProcessGroupForComm(false);
      net.setPostOptimEvent(null);
      return [child, after, both, failure(() => net.setSymmMemForComm()), failure(() => net.setPostOptimEvent({}))];`,
    )) as string[];
    expect(child).toBe(
      'SB_FSDP_ALREADY_SHARDED: Cannot shard Linear: its parameter "weight" belongs to the fullyShard call on Sequential already',
    );
    expect(after).toMatch(/^SB_FSDP_BUFFERS: .*the module has custom collectives$/);
    expect(both).toMatch(/^SB_FSDP_BUFFERS: .*in process group memory before$/);
    expect([again, event!.split(':')[0]]).toEqual(['nothing', 'SB_FSDP_EVENT']);
  });

  it('lets the first gather of a step wait for the optimizer only, when told by what mark', async () => {
    const [early, late] = (await onAll(
      cluster,
      `const net = shard(made());
      const start = (told) => {
        const sim = new runtime.Simulation(runtime.Cluster.preset('h100'));
        const result = sim.run(() => {
          sim.mark('stepped');
          sim.compute({ seconds: 1 });
          if (told) net.setPostOptimEvent('stepped');
          torch.noGrad(() => net(mine(rows(0))));
          net.reshard();
        });
        return result.of(0).find((span) => span.stream === 'all-gather').start;
      };
      start(false);
      return [start(true), start(false)];`,
    )) as number[];
    expect(early).toBeLessThan(1);
    expect(late).toBeGreaterThanOrEqual(1);
  });

  it('scales losses and finds overflow anywhere on the mesh', async () => {
    expect(
      await onAll(
        cluster,
        `const net = shard(made());
        const optimizer = new optim.SGD(net.parameters(), { lr: 0.1 });
        const scaler = new optim.GradScaler('cpu', { initScale: 8, growthInterval: 100 });
        const before = net.head.bias.fullTensor().clone();
        scaler.scale(net(mine(rows(0))).sum()).backward();
        // Only the rank that holds the last rows sees the infinity.
        const { localTensor } = net.layers.at(0).weight.grad;
        if (rank === size - 2 && localTensor.numel() > 0) localTensor.fill_(Infinity);
        scaler.step(optimizer);
        scaler.update();
        net.reshard();
        return [scaler.getScale(), net.head.bias.fullTensor().sub(before).abs().max().item()];`,
      ),
    ).toEqual([4, 0]);
  });

  it('clips over several meshes when told, and says so when not', async () => {
    expect(
      await onAll(
        cluster,
        `const whole = initDeviceMesh([2, 2], { meshDimNames: ['dp', 'tp'] });
        const t = torch.arange(8).to(torch.float32).add(1).reshape([4, 2]);
        const onTwo = distributeTensor(t, whole, [Shard(0), Shard(1)]);
        const onOne = distributeTensor(t, whole.get('dp'), [Shard(0)]);
        const parameters = [onTwo, onOne, t.clone()].map((g) => {
          const p = new nn.Parameter(g.detach().clone());
          p.grad = g;
          return p;
        });
        const refused = failure(() => optim.clipGradNorm_(parameters, 1));
        const total = optim.clipGradNorm_(parameters, 1, { mixedMeshes: true }).item();
        const after = Math.hypot(...parameters.flatMap((p) => p.grad.wholeTensor().flatten().tolist()));
        return [refused.split(':')[0], Number(total.toPrecision(6)), Number(after.toPrecision(5))];`,
      ),
    ).toEqual(['SB_OPTIM_MESHES', Number(Math.sqrt(3 * 204).toPrecision(6)), 1]);
  });
});
