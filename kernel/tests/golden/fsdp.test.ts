/** What PyTorch 2.13 did on the same programs: event traces, communication, layouts, division of gradients. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../../runtime/distributed/transport/testing/cluster.js';
import { dividePlan, torch } from '../../runtime/index.js';

interface Golden {
  name: string;
  ranks: unknown[];
}

const load = (world: number): Map<string, Golden> => {
  const text = readFileSync(new URL(`fsdp_w${world}.json`, import.meta.url), 'utf8');
  return new Map((JSON.parse(text) as Golden[]).map((golden) => [golden.name, golden]));
};

/** Runs on every rank before each program: the recorder's network, and how what happens is written down. */
const SETUP = `
  const { nn, fullyShard, onFsdp, pytorchLabels, initDeviceMesh, MixedPrecisionPolicy, Shard, DTensor, optim } = runtime;
  class Layer extends nn.Module {
    lin1; lin2;
    constructor(d) { super(); this.lin1 = new nn.Linear(d, 2 * d); this.lin2 = new nn.Linear(2 * d, d); }
    forward(x) { return this.lin2(torch.relu(this.lin1(x))); }
  }
  class Net extends nn.Module {
    inp; layers; head;
    constructor(d, n) {
      super();
      this.inp = new nn.Linear(d, d, { bias: false });
      this.layers = new nn.ModuleList(Array.from({ length: n }, () => new Layer(d)));
      this.head = new nn.Linear(d, 3);
    }
    forward(x) { let h = this.inp(x); for (const layer of this.layers) h = layer(h); return this.head(h); }
  }
  torch.random.manualSeed(0);
  const mesh = initDeviceMesh([size]);
  const shard = (net, options = {}) => {
    for (const layer of net.layers) fullyShard(layer, { mesh, ...options });
    return fullyShard(net, { mesh, ...options });
  };
  const x = (d = 6) => torch.randn([2, d]);
  const trace = (body) => {
    const labels = [];
    const stop = onFsdp((event) => labels.push(...pytorchLabels(event)));
    try { body(); } finally { stop(); }
    return labels;
  };
  const step = (net, input = x()) => {
    let loss;
    const fwd = trace(() => { loss = net(input).sum(); });
    return { fwd, bwd: trace(() => loss.backward()) };
  };
  const comm = (labels) => labels.filter((label) => /^(AG|RS|AR)\\[/.test(label));
`;

/** What each golden case ran; the value of the body is compared with the recorded one. */
const PROGRAMS: Record<string, string> = {
  'fsdp.shard_shapes[n,[w.local,b.local],[padded]]': `
    const rows = [];
    for (let n = 1; n <= 9; n++) {
      const lin = fullyShard(new nn.Linear(2, n), { mesh });
      const piece = Math.ceil(n / size);
      rows.push([n, [[...lin.weight.localTensor.shape], [...lin.bias.localTensor.shape]], [[piece, 2], [piece]]]);
    }
    return rows;`,
  'fsdp.trace.reshard_after_forward=default': 'return step(shard(new Net(6, 3)));',
  'fsdp.trace.reshard_after_forward=True':
    'return step(shard(new Net(6, 3), { reshardAfterForward: true }));',
  'fsdp.trace.reshard_after_forward=False':
    'return step(shard(new Net(6, 3), { reshardAfterForward: false }));',
  'fsdp.trace.reshard_after_forward=2': 'return step(shard(new Net(6, 3), { reshardAfterForward: 2 }));',
  'fsdp.trace.explicit_prefetch': `
    const net = shard(new Net(6, 3));
    const layers = [...net.layers];
    layers.slice(0, -1).forEach((layer, i) => layer.setModulesToForwardPrefetch([layers[i + 1]]));
    layers.slice(1).forEach((layer, i) => layer.setModulesToBackwardPrefetch([layers[i]]));
    return step(net);`,
  'fsdp.grad_accum.no_sync': `
    const net = shard(new Net(6, 3));
    const logs = [];
    for (let i = 0; i < 3; i++) {
      net.setRequiresGradientSync(i === 2);
      net.setReshardAfterBackward(i === 2);
      net.setIsLastBackward(i === 2);
      const { fwd, bwd } = step(net);
      logs.push([fwd, bwd]);
    }
    return { logs };`,
  'fsdp.trace.grouped_modules': `
    const net = new Net(6, 3);
    fullyShard([net.layers.at(0), net.layers.at(1)], { mesh });
    fullyShard(net.layers.at(2), { mesh });
    return step(fullyShard(net, { mesh }));`,
  'fsdp.trace.two_forwards_one_backward': `
    const net = shard(new Net(6, 2));
    let loss;
    const fwd = trace(() => { loss = net(x()).sum().add(net(x()).sum()); });
    return { fwd, bwd: trace(() => loss.backward()) };`,
  'hsdp.trace': `
    const hybrid = initDeviceMesh([2, 2], { meshDimNames: ['replicate', 'shard'] });
    return step(shard(new Net(6, 2), { mesh: hybrid }));`,
  'hsdp.grad_accum.no_all_reduce': `
    const hybrid = initDeviceMesh([2, 2], { meshDimNames: ['replicate', 'shard'] });
    const net = shard(new Net(6, 1), { mesh: hybrid });
    const bwd = [];
    for (const last of [false, true]) {
      net.setRequiresAllReduce(last);
      bwd.push(comm(step(net).bwd).filter((label) => !label.startsWith('AG')));
    }
    return { bwd };`,
  'fsdp.frozen_param': `
    const net = new Net(6, 1);
    net.layers.at(0).lin1.weight.requiresGrad_(false);
    const { bwd } = step(shard(net));
    net.reshard();
    return {
      comm: comm(bwd).filter((label) => label.startsWith('RS')),
      gradnone: net.namedParameters().filter(([, p]) => p.grad === null).map(([name]) => name),
    };`,
  'fsdp.state_dict': `
    const dict = shard(new Net(6, 1)).stateDict();
    const entry = (d) => ({ pl: d.placements.map(String), shape: [...d.shape], local: [...d.localTensor.shape] });
    return Object.fromEntries(Object.entries(dict).map(([name, d]) => [name, entry(d)]));`,
  'fsdp.ignored_params': `
    const net = new Net(6, 2);
    const ignoredParams = [net.head.bias];
    for (const layer of net.layers) fullyShard(layer, { mesh, ignoredParams });
    fullyShard(net, { mesh, ignoredParams });
    return Object.fromEntries(net.namedParameters().map(([name, p]) => [name, p instanceof DTensor ? 'DTensor' : 'Tensor']));`,
  'fsdp.manual_unshard_reshard_nograd': `
    const net = shard(new Net(6, 2));
    const kind = (p) => (p instanceof DTensor ? 'DTensor' : 'Parameter') + '[' + p.shape.join(', ') + ']';
    const unshard_log = trace(() => net.unshard());
    const root_after_unshard = [kind(net.inp.weight)];
    const child_is_dtensor = net.layers.at(0).parameters().map((p) => p instanceof DTensor);
    net.reshard();
    const after_reshard = [kind(net.inp.weight)];
    const nograd_fwd = trace(() => runtime.noGrad(() => net(x())));
    return {
      unshard_log, root_after_unshard, child_is_dtensor, after_reshard, nograd_fwd,
      root_params_dtensor_after_fwd: [net.inp.weight instanceof DTensor],
    };`,
};
for (const [param, reduce] of [
  ['bfloat16', 'float32'],
  ['None', 'bfloat16'],
] as const) {
  const full = param === 'None' ? 'None' : `torch.${param}`;
  PROGRAMS[`fsdp.mp.param=${full}.reduce=torch.${reduce}.out=None.cast=True`] = `
    const mpPolicy = new MixedPrecisionPolicy({ paramDtype: torch.${param} ?? null, reduceDtype: torch.${reduce} });
    const net = shard(new Net(6, 3), { mpPolicy });
    const seen = {};
    net.layers.at(0).lin1.registerForwardPreHook((m, [input]) => {
      seen.in = 'torch.' + input.dtype.name;
      seen.w = 'torch.' + m.weight.dtype.name;
    });
    let out;
    const fwd = trace(() => { out = net(x()); });
    const bwd = trace(() => out.sum().backward());
    net.reshard();
    return {
      seen,
      out_dtype: 'torch.' + out.dtype.name,
      param_dtype: 'torch.' + net.inp.weight.dtype.name,
      grad_dtype: 'torch.' + net.inp.weight.grad.dtype.name,
      comm: [...comm(fwd), ...comm(bwd)],
    };`;
}
for (const factor of [1, 2, 4]) {
  PROGRAMS[`fsdp.divide_factor=${factor}.0.force_sum`] = `
    const net = shard(new Net(6, 1));
    for (const module of [net, ...net.layers]) {
      module.setGradientDivideFactor(${factor});
      module.setForceSumReductionForComms(true);
    }
    return { comm: comm(step(net).bwd).filter((label) => label.startsWith('RS')) };`;
}

for (const world of [2, 4]) {
  describe(`FSDP on ${world} ranks as PyTorch`, () => {
    const golden = load(world);
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await Cluster.start(world);
    }, 60_000);
    afterAll(() => cluster.stop());

    it.each(
      Object.entries(PROGRAMS).filter(([name]) => golden.has(name) && golden.get(name)!.ranks[0] !== 'skip'),
    )('%s', async (name, body) => {
      const { ranks } = golden.get(name)!;
      const seen = await cluster.run(SETUP + body);
      for (const [rank, value] of seen.entries()) expect(value).toEqual(ranks[rank] ?? ranks[0]);
    });

    it('an output dtype on every block makes the next one fail', async () => {
      const seen = await cluster.run(`${SETUP}
        const mpPolicy = new MixedPrecisionPolicy({ paramDtype: torch.bfloat16, outputDtype: torch.float32 });
        const net = new Net(6, 3);
        for (const layer of net.layers) fullyShard(layer, { mesh, mpPolicy });
        fullyShard(net, { mesh, mpPolicy });
        try { net(x()); return 'ran'; } catch (error) { return error.code; }`);
      expect(new Set(seen).size).toBe(1);
      expect(seen[0]).toMatch(/^SB_/);
    });

    it('divides as the table of reduce ops says', () => {
      const table = golden.get(
        'fsdp.divide_table[reduce_dtype,rs_size,ar_size,factor,force_sum,pre,post,rs_op,ar_op]',
      )!.ranks[0] as [
        string,
        number | null,
        number | null,
        number | null,
        boolean,
        number | null,
        number | null,
        string,
        string,
      ][];
      expect(table.length).toBeGreaterThan(50);
      for (const [dtype, shardSize, replicateSize, factor, forceSum, before, after, rs, ar] of table) {
        const plan = dividePlan({
          dtype: torch[dtype as 'float32'],
          shardSize,
          replicateSize,
          factor,
          forceSum,
        });
        const op = (kind: string): string =>
          kind === 'premulSum' ? 'PREMUL_SUM(1/factor)' : `RedOpType.${kind.toUpperCase()}`;
        expect([plan.before, plan.after, op(plan.reduceScatter.kind), op(plan.allReduce.kind)]).toEqual([
          before,
          after,
          rs,
          ar,
        ]);
      }
    });
  });
}
