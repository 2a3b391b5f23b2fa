import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';
import { matches } from './fnmatch.js';

let four: Cluster;
beforeAll(async () => {
  four = await Cluster.start(4);
});
afterAll(() => four.stop());

const scope = `
  const { nn, F } = runtime;
  const { Shard, Replicate, Partial, ColwiseParallel, RowwiseParallel, SequenceParallel, PrepareModuleInput, PrepareModuleOutput,
    PrepareModuleInputOutput, ParallelStyle, parallelizeModule, lossParallel } = dist;
  const mesh = dist.initDeviceMesh([4], { meshDimNames: ['tp'] });
  const counted = (shape) => torch.arange(shape.reduce((a, b) => a * b, 1)).reshape(shape).to(torch.float32);
  const places = (m) => Object.fromEntries(m.namedParameters().map(([n, p]) => [n, p.placements ? p.placements.map(String).join() : 'plain']));
  class Net extends nn.Module {
    constructor() {
      super();
      this.blocks = new nn.ModuleList([0, 1].map(() => new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.Linear(8, 4))));
      this.norm = new nn.LayerNorm(4);
    }
    forward(x) { for (const b of this.blocks) x = b(x); return this.norm(x) }
  }
`;
const onAll = async (code: string): Promise<unknown[]> => {
  const all = await four.run(scope + code);
  for (const value of all) if (value instanceof Error) throw value;
  return all;
};
const errorOf = async (code: string): Promise<{ code: string; message: string; help: string }> =>
  (
    await four.run(
      `${scope} try { ${code} } catch (e) { return { code: e.code, message: e.message, help: e.help } }`,
    )
  )[0] as never;

test.each([
  ['wq', 'w?', true],
  ['wq', 'w[qkv]', true],
  ['wo', 'w[!qkv]', true],
  ['wq', 'w[!qkv]', false],
  ['10', '[0-9]', false],
  ['10', '[0-9]*', true],
  ['a.b', 'a?b', true],
  ['a]b', 'a[]]b', true],
  ['a[b', 'a[b', true],
  ['axb', 'a.b', false],
  ['blocks', '*', true],
  ['', '*', true],
])('fnmatch of "%s" with "%s" is %s', (name, pattern, expected) => {
  expect(matches(name, pattern)).toBe(expected);
});

test('a plan applies each style to all submodules that its path fits', async () => {
  const [found] = await onAll(`
    const net = parallelizeModule(new Net(), mesh, { 'blocks.*.0': new ColwiseParallel(), 'blocks.1.[2]': new RowwiseParallel(), norm: new SequenceParallel() });
    return places(net)`);
  expect(found).toEqual({
    'blocks.0.0.weight': 'S(0)',
    'blocks.0.0.bias': 'S(0)',
    'blocks.0.2.weight': 'plain',
    'blocks.0.2.bias': 'plain',
    'blocks.1.0.weight': 'S(0)',
    'blocks.1.0.bias': 'S(0)',
    'blocks.1.2.weight': 'S(1)',
    'blocks.1.2.bias': 'R',
    'norm.weight': 'R',
    'norm.bias': 'R',
  });
});

test('a path that fits nothing is warned about and skipped', async () => {
  const [[found, warned] = []] = (await onAll(`
    const warned = [];
    const before = console.warn;
    console.warn = (text) => warned.push(text);
    try { return [places(parallelizeModule(new nn.Linear(4, 4), mesh, { 'x.y': new ColwiseParallel() })), warned] }
    finally { console.warn = before }`)) as [Record<string, string>, string[]][];
  expect(found).toEqual({ weight: 'plain', bias: 'plain' });
  expect(warned).toEqual(['parallelizeModule: path "x.y" is skipped: no submodule of Linear fits "x"']);
});

test('srcDataRank says whose parameters count', async () => {
  const sums = await onAll(`
    const made = (srcDataRank) => {
      const net = new nn.Linear(2, 4, { bias: false });
      torch.noGrad(() => net.weight.fill_(rank));
      parallelizeModule(net, mesh, new ColwiseParallel(), { srcDataRank });
      return net.weight.toLocal().sum().item();
    };
    const comm = new CommDebugMode();
    const alone = comm.run(() => made(null));
    return [made(0), made(2), alone, comm.getTotalCounts()]`);
  expect(sums).toEqual([0, 1, 2, 3].map((rank) => [0, 4, 2 * rank, 0]));
});

test('a style of the user gets the module and the mesh', async () => {
  const [seen] = await onAll(`
    class Mark extends ParallelStyle { apply(module, on) { module.marked = [on.describe(), this.srcDataRank]; return module } }
    return parallelizeModule(new Net(), mesh, { norm: new Mark() }, { srcDataRank: 1 }).norm.marked`);
  expect(seen).toEqual(['(tp=4)', 1]);
});

test('the mesh of mesh.run() is used when none is given', async () => {
  const [found] = await onAll(
    'return mesh.run(() => places(parallelizeModule(new nn.Linear(4, 4), null, new RowwiseParallel())))',
  );
  expect(found).toEqual({ weight: 'S(1)', bias: 'R' });
});

test('frozen parameters stay frozen under Colwise and Rowwise', async () => {
  const [flags] = await onAll(`
    const net = new Net().requiresGrad_(false);
    parallelizeModule(net, mesh, { 'blocks.0.0': new ColwiseParallel(), 'blocks.0.2': new RowwiseParallel() });
    return net.parameters().map((p) => p.requiresGrad)`);
  expect(flags).toEqual(Array(10).fill(false));
});

test('PrepareModuleInput and Output bring tensors where they are needed, null leaves one alone', async () => {
  const [seen] = await onAll(`
    class Two extends nn.Module { forward(a, b, { scale }) { this.saw = [a, b, scale].map((t) => t.describe?.() ?? t); return [a, b] } }
    const two = parallelizeModule(new Two(), mesh, new PrepareModuleInputOutput({
      inputLayouts: [Shard(0), null], desiredInputLayouts: [Replicate(), null],
      inputKwargLayouts: { scale: Replicate() }, desiredInputKwargLayouts: { scale: Shard(0) },
      outputLayouts: [Replicate(), null], desiredOutputLayouts: [Shard(1), null] }));
    const [a, b] = two(counted([2, 4]), counted([3]), { scale: counted([4]) });
    return [two.saw, a.describe(), b.describe()]`);
  expect(seen).toEqual([
    ['f32[8, 4] R on mesh (tp=4)', 'f32[3]', 'f32[4] S(0) on mesh (tp=4)'],
    'f32[8, 1]',
    'f32[3]',
  ]);
});

const crossEntropy = (
  options: string,
  target = '[0, 5, 3, 6]',
  on = 'mesh',
  places = '[Shard(1)]',
): string => `
  const logits = counted([4, 7]).mul(1.7).sin();
  const target = torch.tensor(${target});
  const plain = logits.clone().requiresGrad_();
  const options = ${options};
  const ref = F.crossEntropy(plain, target, options);
  ref.sum().backward();
  const cut = dist.distributeTensor(logits, ${on}, ${places}).requiresGrad_();
  const given = ${on === 'mesh' ? 'target' : `dist.distributeTensor(target, ${on}, [Shard(0), Replicate()])`};
  const comm = new CommDebugMode();
  const loss = lossParallel(() => { const l = comm.run(() => F.crossEntropy(cut, given, options)); l.sum().backward(); return l });
  const gap = (a, b) => a.sub(b).abs().max().item();
  return [gap(loss.fullTensor().detach(), ref.detach()) < 1e-5, gap(cut.grad.fullTensor(), plain.grad) < 1e-6, loss.placements.map(String).join(), cut.grad.placements.map(String).join(), comm.getCommCounts()]`;

test.each([
  ['{}', undefined],
  ["{ reduction: 'sum' }", undefined],
  ["{ reduction: 'none' }", undefined],
  ['{ ignoreIndex: 5 }', undefined],
  ['{ weight: counted([7]).add(1) }', undefined],
  ["{ weight: counted([7]).add(1), reduction: 'sum', ignoreIndex: 3 }", undefined],
  ['{}', '[-100, 5, -100, 6]'],
])('lossParallel of seven classes over four ranks equals the plain loss: %s %s', async (options, target) => {
  const all = await onAll(crossEntropy(options, target));
  for (const found of all) expect(found).toEqual([true, true, 'R', 'S(1)', { allReduce: 3 }]);
});

test('lossParallel on a mesh of two axes sums over the batch lazily', async () => {
  const all = await onAll(
    `const two = dist.initDeviceMesh([2, 2]); ${crossEntropy("{ reduction: 'sum' }", undefined, 'two', '[Shard(0), Shard(1)]')}`,
  );
  expect(all[0]).toEqual([true, true, 'P(sum),R', 'S(0),S(1)', { allReduce: 3 }]);
});

test('lossParallel works on ranks without a class', async () => {
  const all = await onAll(`
    const logits = counted([2, 3]).sin();
    const target = torch.tensor([2, 0]);
    const loss = lossParallel(() => F.crossEntropy(dist.distributeTensor(logits, mesh, [Shard(1)]), target));
    return Math.abs(loss.toLocal().item() - F.crossEntropy(logits, target).item()) < 1e-6`);
  expect(all).toEqual([true, true, true, true]);
});

test('lossParallel leaves plain tensors alone, and ranks outside the mesh take no part', async () => {
  const all = await onAll(`
    const part = new dist.DeviceMesh([0, 2]);
    const logits = counted([4, 6]).sin();
    const target = torch.tensor([0, 5, 3, 2]);
    const cut = dist.distributeTensor(logits, part, [Shard(1)]).requiresGrad_();
    return lossParallel(() => {
      const loss = F.crossEntropy(cut, target);
      loss.backward();
      const same = Math.abs((part.isMember ? loss.toLocal() : F.crossEntropy(logits, target)).item() - F.crossEntropy(logits, target).item());
      return [same < 1e-6, loss.placements.map(String).join(), cut.grad.placements.map(String).join()];
    })`);
  for (const found of all) expect(found).toEqual([true, 'R', 'S(1)']);
});

test('lossParallel as a scope ends where it is told', async () => {
  const [counts] = await onAll(`
    const cut = dist.distributeTensor(counted([4, 8]).sin(), mesh, [Shard(1)]);
    const softmax = () => { const comm = new CommDebugMode(); comm.run(() => F.logSoftmax(cut, 1)); return comm.getCommCounts() };
    const scope = lossParallel();
    const inside = softmax();
    scope.end();
    return [inside, Object.keys(softmax())]`);
  expect(counts).toEqual([{ allReduce: 2 }, expect.arrayContaining([expect.stringContaining('allGather')])]);
});

test.each([
  [
    'parallelizeModule(new nn.LayerNorm(4), mesh, new ColwiseParallel())',
    'SB_TP_MODULE',
    'Cannot apply ColwiseParallel to a LayerNorm',
  ],
  [
    'const l = new nn.Linear(4, 4); for (const s of [new ColwiseParallel(), new RowwiseParallel()]) parallelizeModule(l, mesh, s)',
    'SB_DTENSOR_MODULE',
    'it is distributed already',
  ],
  [
    'parallelizeModule(new nn.Linear(4, 4), null, new ColwiseParallel())',
    'SB_BAD_ARGUMENT',
    'without a mesh',
  ],
  ["parallelizeModule(new nn.Linear(4, 4), mesh, 'colwise')", 'SB_TP_PLAN', 'the plan is string'],
  [
    'parallelizeModule(new nn.Linear(4, 4), dist.initDeviceMesh([2, 2]), new ColwiseParallel())',
    'SB_PLACEMENT',
    'the mesh (2, 2) has 2 axes',
  ],
  ['new PrepareModuleInput({ inputLayouts: Shard(0) })', 'SB_TP_LAYOUTS', 'desiredInputLayouts are not'],
  [
    'new PrepareModuleInput({ inputLayouts: [Shard(0)], desiredInputLayouts: [Shard(0), null] })',
    'SB_TP_LAYOUTS',
    '1 layouts and 2 desired layouts',
  ],
  [
    'new PrepareModuleOutput({ outputLayouts: [Shard(0)], desiredOutputLayouts: [] })',
    'SB_TP_LAYOUTS',
    '1 layouts and 0 desired layouts',
  ],
  [
    'parallelizeModule(new nn.Identity(), mesh, new PrepareModuleInput({ inputLayouts: [Shard(0), null], desiredInputLayouts: [Replicate(), null] }))(counted([2]))',
    'SB_TP_LAYOUTS',
    'it got 1 inputs, the style has 2 layouts',
  ],
  [
    'parallelizeModule(new nn.Linear(4, 4), mesh, new ColwiseParallel())(3)',
    'SB_TP_INPUT',
    'wanted a Tensor or a DTensor',
  ],
  [
    'lossParallel(() => F.crossEntropy(dist.distributeTensor(counted([4, 8]), mesh, [Shard(0)]), torch.tensor([0, 1, 2, 3])))',
    'SB_LOSS_PARALLEL',
    'f32[4, 8] S(0) on mesh (tp=4): 0 axes cut the classes (dimension 1)',
  ],
  [
    'lossParallel(() => F.crossEntropy(dist.distributeTensor(counted([1, 8]), mesh, [Shard(1)]), torch.tensor([8])))',
    'SB_INDEX_RANGE',
    'target 8 is out of range for 8 classes',
  ],
  [
    'lossParallel(() => F.crossEntropy(dist.distributeTensor(counted([4, 8]), dist.initDeviceMesh([2, 2]), [Shard(0), Shard(1)]), torch.tensor([0, 1, 2, 3])))',
    'SB_LOSS_PARALLEL',
    "reduction 'mean' needs a mesh of one axis",
  ],
])('%s says what is wrong', async (code, errorCode, words) => {
  const error = await errorOf(code);
  expect(error.message).toContain(words);
  expect(error.code).toBe(errorCode);
});
