import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

let two: Cluster;
beforeAll(async () => {
  two = await Cluster.start(2);
}, 60_000);
afterAll(() => two.stop());

const prelude = `
  const { DTensor, Shard, Replicate, Partial, StridedShard, distributeTensor, dtensor, nn, F, optim } = runtime;
  const mesh = dist.initDeviceMesh([2], { meshDimNames: ['tp'] });
  const x = torch.arange(8, { dtype: torch.float32 }).reshape(4, 2);
  const sharded = () => distributeTensor(x, mesh, [Shard(0)]);
  const fails = (body) => { try { body(); return 'no error'; } catch (error) { return error.code + ': ' + error.message; } };`;
const run = (code: string): Promise<unknown[]> => two.run(`${prelude}\n${code}`);
const both = (value: unknown): unknown[] => [value, value];

test('an asynchronous redistribution is complete when its result is used', async () => {
  const code = `
    const d = sharded().redistribute([Replicate()], { asyncOp: true });
    const before = d.isPending;
    return [before, d.toLocal().flatten().tolist(), d.isPending, d.add(1).toLocal().sum().item()]`;
  expect(await run(code)).toEqual(both([true, [0, 1, 2, 3, 4, 5, 6, 7], false, 36]));
});

test('redistribute() communicates in forwardDtype and its gradient in backwardDtype', async () => {
  const code = `
    const d = DTensor.fromLocal(x, mesh, [Partial()]).detach().requiresGrad_(true);
    const seen = [];
    const stop = runtime.onComm((event) => seen.push(event.dtype));
    const y = d.redistribute([Shard(0)], { forwardDtype: torch.bfloat16, backwardDtype: torch.float64 });
    y.mul(y.detach()).sum().backward();
    stop();
    return [seen.map((dtype) => dtype.name ?? dtype), y.dtype.name, d.grad.dtype.name]`;
  expect((await run(code))[0]).toEqual([['bfloat16', 'float64'], 'bfloat16', 'float32']);
});

test('localMap() gives parts to a function and wraps what it returns', async () => {
  const code = `
    const f = dtensor.localMap((a, b) => a.mm(b), { outPlacements: [Partial()], inPlacements: [[Shard(1)], [Shard(0)]], redistributeInputs: true });
    const y = f(distributeTensor(x, mesh, [Replicate()]), distributeTensor(x.t(), mesh, [Shard(0)]));
    const strict = dtensor.localMap((a) => a, { outPlacements: [Shard(0)], inPlacements: [[Shard(1)]] });
    return [y.fullTensor().equal(x.mm(x.t())), y.placements.join(), fails(() => strict(sharded())), f(x, x.t()).shape]`;
  const [first] = (await run(code)) as [unknown[]];
  expect(first[0]).toBe(true);
  expect(first[1]).toBe('P(sum)');
  expect(first[2]).toContain(
    'SB_LOCAL_MAP: Cannot run a localMap function: argument 0 is f32[4, 2] S(0) on mesh (tp=2), wanted S(1)',
  );
  expect(first[3]).toEqual([4, 4]);
});

test('registerSharding() replaces a rule until it is taken back', async () => {
  const code = `
    const cut = () => sharded().sin().placements.join();
    const first = cut();
    const undo = dtensor.registerSharding('sin', () => [[[Replicate()], [Replicate()]]]);
    const second = cut();
    undo();
    return [first, second, cut()]`;
  expect(await run(code)).toEqual(both(['S(0)', 'R', 'S(0)']));
});

test('implicitReplication() lets plain tensors into operations', async () => {
  const code = `
    const refused = fails(() => sharded().add(torch.ones([4, 2])));
    const sum = dtensor.implicitReplication(() => sharded().add(torch.ones([4, 2])));
    return [refused.split('\\n')[0], sum.placements.join(), sum.fullTensor().equal(x.add(1))]`;
  expect(await run(code)).toEqual(
    both([
      'SB_DTENSOR_MIXED: Cannot run "add" on f32[4, 2] S(0) on mesh (tp=2) and f32[4, 2]: f32[4, 2] is a plain tensor, the others are DTensors',
      'S(0)',
      true,
    ]),
  );
});

test('errors write tensors with their placements and mesh, and say what helps', async () => {
  const code = `
    const other = dist.initDeviceMesh([1, 2], { meshDimNames: ['dp', 'tp'] });
    const p = DTensor.fromLocal(x, mesh, [Partial()]);
    return [
      fails(() => sharded().add(distributeTensor(x, other, [Replicate(), Shard(0)]))),
      fails(() => distributeTensor(x, mesh, [Shard(2)])),
      fails(() => p.add_(1)),
      fails(() => p.redistribute([Partial('max')])),
      fails(() => sharded().fullTensor().add(1) && sharded().kthvalue(1, 0)),
      fails(() => sharded().tolist()),
      fails(() => DTensor.fromLocal(x, other, [Partial('sum'), Partial('max')])),
    ]`;
  const [texts] = (await run(code)) as string[][];
  expect(texts![0]).toContain('f32[4, 2] S(0) on mesh (tp=2) and f32[4, 2] (R, S(0)) on mesh (dp=1, tp=2)');
  expect(texts![1]).toContain(
    'SB_PLACEMENT: Cannot distribute f32[4, 2]: S(2) cuts dimension 2, the tensor has 2',
  );
  expect(texts![2]).toContain('SB_DTENSOR_INPLACE: Cannot run "add_" on f32[4, 2] P(sum) on mesh (tp=2)');
  expect(texts![3]).toContain(
    'SB_REDISTRIBUTE: Cannot redistribute f32[4, 2] P(sum) on mesh (tp=2) to P(max)',
  );
  expect(texts![5]).toContain('SB_DTENSOR_MEMORY: Cannot read the memory of f32[4, 2] S(0) on mesh (tp=2)');
  expect(texts![6]).toContain('SB_MIXED_PARTIAL');
  for (const text of texts!.filter((t) => t !== 'no error')) expect(text).toContain('help: ');
});

test('explain() names the strategy, its collectives and the alternatives, and sends nothing', async () => {
  const code = `
    const [a, b] = [distributeTensor(x, mesh, [Shard(0)]), distributeTensor(x.t(), mesh, [Shard(0)])];
    const mode = new CommDebugMode();
    const told = mode.run(() => dtensor.explain('mm', a, b));
    const back = dtensor.explain((v) => v.relu().sum(), a.detach().requiresGrad_(true), { backward: true });
    return [mode.getTotalCounts(), told.collectives, told.ops[0].chosen, told.ops[0].moves[0].trace, told.ops[0].alternatives.length > 0,
      String(told).split('\\n')[0], told.result, back.ops.filter((op) => op.phase === 'backward').length > 0, a.grad]`;
  const [first] = (await run(code)) as [unknown[]];
  expect(first[0]).toBe(0);
  expect(first[1]).toEqual({ all_gather: 1 });
  expect(first[2]).toMatchObject({ in: ['S(0)', 'R'], out: ['S(0)'] });
  expect(first[3]).toBe('S(0) -> R');
  expect(first[4]).toBe(true);
  expect(first[5]).toBe('mm: f32[4, 2] S(0) on mesh (tp=2) and f32[2, 4] S(0) on mesh (tp=2)');
  expect(first[6]).toBe('f32[4, 4] S(0) on mesh (tp=2)');
  expect(first[7]).toBe(true);
  expect(first[8]).toBe(null);
});

test('distributeModule() replicates what the partition leaves, once', async () => {
  const code = `
    const m = new nn.Sequential(new nn.Linear(2, 4), new nn.BatchNorm1d(4));
    dtensor.distributeModule(m, mesh, (name, part) => {
      if (name === '0') part.registerParameter('weight', new nn.Parameter(distributeTensor(part.weight.detach(), mesh, [Shard(0)])));
    }, (_, [input]) => [distributeTensor(input, mesh, [Replicate()])], (_, out) => out.toLocal());
    const kinds = m.namedParameters().map(([name, p]) => name + ' ' + p.placements.join());
    const buffers = m.namedBuffers().map(([name, b]) => name + ' ' + (b instanceof DTensor));
    return [kinds, buffers.length, buffers.every((b) => b.endsWith('true')), fails(() => dtensor.distributeModule(m, mesh)).split(':')[0]]`;
  expect(await run(code)).toEqual(
    both([['0.weight S(0)', '0.bias R', '1.weight R', '1.bias R'], 3, true, 'SB_DTENSOR_MODULE']),
  );
});

test('random numbers in place are drawn part by part; factories draw one tensor however it is cut', async () => {
  const code = `
    torch.manualSeed(3);
    const whole = torch.rand(4, 2);
    torch.manualSeed(3);
    const cut = dtensor.rand([4, 2], { deviceMesh: mesh, placements: [Shard(0)] });
    torch.manualSeed(5);
    const own = torch.rand(2, 2);
    torch.manualSeed(5);
    const filled = dtensor.zeros([4, 2], { deviceMesh: mesh, placements: [Shard(0)] }).uniform_();
    const dropped = F.dropout(dtensor.ones([4, 2], { deviceMesh: mesh, placements: [Shard(0)] }), 0.5);
    return [cut.fullTensor().equal(whole), filled.toLocal().equal(own), dropped.placements.join(), torch.randLike(cut).placements.join()]`;
  expect(await run(code)).toEqual(both([true, true, 'S(0)', 'S(0)']));
});

test('operations that would change the shape in place are refused, as PyTorch has no rule for them', async () => {
  const code = `
    const failure = (body) => { try { body(); return 'nothing'; } catch (error) { return error.code; } };
    const t = () => dtensor.ones([2, 2], { deviceMesh: mesh, placements: [Shard(0)] });
    return ['t_', 'transpose_', 'swapaxes_', 'unsqueeze_', 'squeeze_'].map((name) => failure(() => t()[name](0, 1)));`;
  expect(await run(code)).toEqual(both([...Array.from({ length: 4 }, () => 'SB_DTENSOR_OP'), 'nothing']));
});

test('a DTensor prints, copies, detaches and keeps gradients as a tensor does', async () => {
  const code = `
    const p = new nn.Parameter(sharded());
    const m = new nn.Linear(2, 4); m.registerParameter('weight', p);
    const copy = nn.deepCopy ? nn.deepCopy(m) : m;
    p.mul(2).sum().backward();
    const printed = String(sharded());
    return [printed, p instanceof nn.Parameter, p.detach() instanceof DTensor, p.grad.placements.join(), copy.weight instanceof DTensor,
      copy.weight.placements.join(), copy.weight.requiresGrad, p.isLeaf, p.data instanceof DTensor]`;
  const [first] = (await run(code)) as [unknown[]];
  expect(first[0]).toMatch(
    /^DTensor\(local_tensor=tensor\(\[\[0\., 1\.\],\s+\[2\., 3\.\]\]\), device_mesh=.*, placements=\(Shard\(dim=0\),\)\)$/s,
  );
  expect(first.slice(1)).toEqual([true, true, 'R', true, 'S(0)', true, true, true]);
});

test('DTensors travel inside objects as the part of their sender', async () => {
  const code = `
    const mine = sharded();
    const list = [rank === 0 ? { d: mine, n: 3 } : null];
    dist.broadcastObjectList(list, { src: 0 });
    const { d, n } = list[0];
    return [d instanceof DTensor, d.placements.join(), d.toLocal().flatten().tolist(), n, d.deviceMesh === mesh]`;
  const [first] = (await run(code)) as [unknown[]];
  expect(first).toMatchObject([true, 'S(0)', [0, 1, 2, 3], 3, true]);
});

test('ranks outside the mesh take part and hold nothing', async () => {
  const code = `
    const one = new runtime.DeviceMesh([0]);
    const d = distributeTensor(x, one, [Shard(0)]).mul(2).add(1);
    return [d.shape, [...d.toLocal().shape], d.sum().placements.join(), one.getCoordinate()]`;
  expect(await run(code)).toEqual([
    [[4, 2], [4, 2], 'P(sum)', [0]],
    [[4, 2], [0], 'P(sum)', null],
  ]);
});

test('gradients of gradients go through redistributions', async () => {
  const code = `
    const d = sharded().detach().requiresGrad_(true);
    const y = d.redistribute([Replicate()]).pow(3).sum();
    const [first] = runtime.autograd.grad(y, d, null, { createGraph: true });
    const [second] = runtime.autograd.grad(first.sum(), d);
    return [first.placements.join(), first.fullTensor().equal(x.pow(2).mul(3)), second.fullTensor().equal(x.mul(6))]`;
  expect(await run(code)).toEqual(both(['S(0)', true, true]));
});

test('Shard.localShardSizeAndOffset() cuts as torch.chunk does; the part of a parameter is a parameter', async () => {
  const code = `
    const p = new nn.Parameter(sharded());
    return [[0, 1, 2, 3].map((r) => Shard.localShardSizeAndOffset(5, 4, r)), p.toLocal() instanceof nn.Parameter, p.toLocal().requiresGrad,
      runtime.noGrad(() => p.toLocal()) instanceof nn.Parameter, p.localTensor instanceof nn.Parameter]`;
  expect(await run(code)).toEqual(
    both([
      [
        [2, 0],
        [2, 2],
        [1, 4],
        [0, 5],
      ],
      true,
      true,
      true,
      false,
    ]),
  );
});

test('strategies are found once for equal calls', async () => {
  const code = `
    let asked = 0;
    const undo = dtensor.registerSharding('cos', () => { asked++; return [[[Shard(0)], [Shard(0)]]]; });
    for (let i = 0; i < 5; i++) sharded().cos();
    undo();
    return asked`;
  expect(await run(code)).toEqual(both(1));
});

test('strided shards that stand for no order of cuts are joined before they are cut anew', async () => {
  const code = `
    const rows = torch.arange(16, { dtype: torch.float32 }).reshape(8, 2);
    const one = distributeTensor(rows, mesh, [StridedShard(0, 4)], { srcDataRank: null });
    const grid = dist.initDeviceMesh([2, 1]);
    const two = distributeTensor(rows, grid, [StridedShard(0, 2), Replicate()], { srcDataRank: null });
    return [one.fullTensor().equal(rows), one.redistribute([Shard(0)]).fullTensor().equal(rows), two.redistribute([Replicate(), Shard(0)]).fullTensor().equal(rows)]`;
  expect(await run(code)).toEqual(both([true, true, true]));
});

test('collectives of several axes become one over a flattened mesh', async () => {
  const code = `
    const mesh2 = dist.initDeviceMesh([1, 2], { meshDimNames: ['a', 'b'] });
    const d = DTensor.fromLocal(x, mesh2, [Partial(), Partial('avg')]);
    const count = () => { const mode = new CommDebugMode(); const y = mode.run(() => d.redistribute([Replicate(), Replicate()])); return [mode.getTotalCounts(), y.toLocal().equal(x)]; };
    const before = count();
    mesh2.flatten('ab');
    return [before, count()]`;
  expect(await run(code)).toEqual(
    both([
      [1, true],
      [1, true],
    ]),
  );
});
