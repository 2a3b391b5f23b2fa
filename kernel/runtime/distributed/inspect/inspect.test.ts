import { Sanitizer } from '@jupyterlab/apputils/lib/sanitizer.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';
import { ranksText } from './slices.js';

let four: Cluster;
beforeAll(async () => {
  four = await Cluster.start(4);
});
afterAll(() => four.stop());

const scope = `
  const { Shard, Replicate, Partial, StridedShard } = dist;
  const tp = dist.initDeviceMesh([4], { meshDimNames: ['tp'] });
  const mesh = dist.initDeviceMesh([2, 2], { meshDimNames: ['dp', 'tp'] });
  const counted = (shape) => torch.arange(shape.reduce((a, b) => a * b, 1)).reshape(shape).to(torch.float32);
  const placed = (shape, on, ...p) => dist.distributeTensor(counted(shape), on, p, { srcDataRank: null });
  const shown = (x) => x[Symbol.for('shardbook.toMime')]();
`;
const everywhere = async (code: string): Promise<unknown[]> => {
  const all = await four.run(scope + code);
  for (const value of all) if (value instanceof Error) throw value;
  return all;
};
const first = async <T>(code: string): Promise<T> => (await everywhere(code))[0] as T;
test.each([
  [[0, 2], '0, 2'],
  [[0, 1, 2, 3], '0, 1, 2, 3'],
  [[0, 1, 2, 3, 4, 8, 10, 11], '0-4, 8, 10, 11'],
])('ranksText(%j) is "%s"', (ranks, text) => {
  expect(ranksText(ranks)).toBe(text);
});

const lines = (text: string): string[] => text.split('\n').map((line) => line.trim());

test.each([
  ['placed([10, 2], tp, Shard(0))', ['[0:3, :]', '[3:6, :]', '[6:9, :]', '[9:10, :]']],
  ['placed([5, 2], tp, Shard(0))', ['[0:2, :]', '[2:4, :]', '[4:5, :]', 'empty']],
  ['placed([8, 6], mesh, StridedShard(0, 2), Shard(0))', ['[0:2, :]', '[4:6, :]', '[2:4, :]', '[6:8, :]']],
  [
    'placed([8, 6], mesh, StridedShard(0, 2), Replicate())',
    ['[0:2+4:6, :]', '[0:2+4:6, :]', '[2:4+6:8, :]', '[2:4+6:8, :]'],
  ],
  ['placed([5, 3], mesh, Shard(0), Shard(0))', ['[0:2, :]', '[2:3, :]', '[3:4, :]', '[4:5, :]']],
  ['placed([4, 6], mesh, Shard(1), Shard(0))', ['[0:2, 0:3]', '[2:4, 0:3]', '[0:2, 3:6]', '[2:4, 3:6]']],
  ['placed([], mesh, Replicate(), Replicate())', ['[]', '[]', '[]', '[]']],
])('the text of %s names the slice of each rank', async (made, slices) => {
  const text = await first<string>(`return shown(${made})['text/plain']`);
  const rows = lines(text).slice(2, 6);
  expect(rows.map((row) => row.split(/ {2,}/).at(-1))).toEqual(slices);
});

test('the slices that are drawn are those that ranks hold', async () => {
  const all = await everywhere(`
    const made = [placed([7, 5], mesh, Shard(0), Shard(1)), placed([9, 2], tp, Shard(0)),
      placed([12, 2], mesh, StridedShard(0, 3), Shard(0)), placed([6, 4], mesh, Replicate(), StridedShard(1, 2))];
    return made.map((x) => [dist.inspectDTensor(x).localSlice, x.toLocal().flatten().tolist(), [...x.shape]])`);
  for (const rank of all as [string, number[], number[]][][]) {
    for (const [slice, values, shape] of rank) {
      const picks = slice
        .slice(1, -1)
        .split(', ')
        .map((text, dim) => {
          if (text === ':') return [...Array(shape[dim]!).keys()];
          if (text === 'none') return [];
          return text.split('+').flatMap((range) => {
            const [start, end] = range.split(':').map(Number);
            return [...Array(end! - start!).keys()].map((i) => i + start!);
          });
        });
      expect(values).toEqual(picks[0]!.flatMap((r) => picks[1]!.map((c) => r * shape[1]! + c)));
    }
  }
});

test('a pending reduction says whose values it is of', async () => {
  const text = await first<string>(
    "return shown(dist.DTensor.fromLocal(torch.ones([4, 4]), mesh, [Partial('max'), Shard(1)]))['text/plain']",
  );
  expect(text).toContain('dp (2): P(max), pending: the value is the maximum over the ranks of [0, 2] [1, 3]');
});

test('visualizeSharding() prints the table that PyTorch prints, on the first rank alone', async () => {
  const printed = await everywhere(`
    const seen = [];
    const before = console.log;
    console.log = (text) => seen.push(text);
    try {
      dist.visualizeSharding(placed([4, 4], mesh, Shard(0), Shard(1)), 'weights');
      dist.visualizeSharding(placed([4], mesh, Replicate(), Shard(0)));
    } finally { console.log = before }
    return seen`);
  expect(printed[0]).toEqual([
    [
      'weights',
      '         Col 0-1    Col 2-3',
      '-------  ---------  ---------',
      'Row 0-1  cpu:0      cpu:1',
      'Row 2-3  cpu:2      cpu:3',
    ].join('\n'),
    ['         Col 0-0', '-------  ---------', 'Row 0-1  cpu:0,2', 'Row 2-3  cpu:1,3'].join('\n'),
  ]);
  expect(printed.slice(1)).toEqual([[], [], []]);
});

test('the picture of a mesh has its grid and its groups', async () => {
  const { 'text/plain': text, 'text/html': html } = await first<Record<string, string>>('return shown(mesh)');
  expect(text).toBe(
    [
      'DeviceMesh (dp=2, tp=2) on cpu, 4 ranks',
      '        tp=0  tp=1',
      '  dp=0  0     1',
      '  dp=1  2     3',
      'groups',
      '  dp  [0, 2] [1, 3]',
      '  tp  [0, 1] [2, 3]',
    ].join('\n'),
  );
  expect(html).toContain('rank 3, dp=1, tp=1');
});

test('pictures keep tables, colours and titles in a notebook that is not trusted', async () => {
  const pictures = await first<string[]>(`
    const debug = new dist.DTensorDebugger(mesh);
    return [mesh, placed([5, 3], tp, Shard(0)), dist.explainRedistribute(placed([4, 4], mesh, Shard(0), Replicate()), [Replicate(), Shard(1)]),
      dist.analyseMesh(mesh), debug.verifyCommunication(), dist.inspectDTensor(placed([5, 3], tp, Shard(0)), '<b>&"w"')].map((x) => shown(x)['text/html'])`);
  const count = (text: string, what: RegExp): number => (text.match(what) ?? []).length;
  for (const html of pictures) {
    const safe = new Sanitizer().sanitize(html);
    for (const what of [/<table/g, /<td/g, /scope=/g, /title=/g, /background-color:/g, /border:/g])
      expect(count(safe, what)).toBe(count(html, what));
    expect(html).not.toMatch(/<script|<style|javascript:| on\w+=/);
  }
  expect(pictures[5]).toContain('&lt;b&gt;&amp;&quot;w&quot;');
});

test('all ranks draw the same picture, so that a notebook shows it once', async () => {
  const all = await everywhere(
    `return [placed([5, 3], tp, Shard(0)), mesh, dist.explainRedistribute(placed([5, 4], mesh, Shard(0), Shard(0)), [Replicate(), Shard(1)])].map(shown)`,
  );
  expect(new Set(all.map((x) => JSON.stringify(x))).size).toBe(1);
});

test.each([
  ['[5, 4]', 'tp', 'Shard(0)', 'Replicate()'],
  ['[5, 4]', 'tp', 'Shard(0)', 'Shard(1)'],
  ['[8, 4]', 'mesh', 'Shard(0), Shard(0)', 'Replicate(), Shard(1)'],
  ['[6, 4]', 'mesh', 'Replicate(), Shard(0)', 'Shard(0), Replicate()'],
  ['[6, 4]', 'mesh', 'Replicate(), Replicate()', 'Shard(0), Shard(1)'],
])('explainRedistribute() of %s on %s names the collectives that run', async (shape, on, from, to) => {
  const [expected, counted, trace] = await first<[Record<string, number>, Record<string, number>, string]>(`
    const x = placed(${shape}, ${on}, ${from});
    const plan = dist.explainRedistribute(x, [${to}]);
    const comm = new CommDebugMode();
    comm.run(() => x.redistribute([${to}]));
    return [plan.counts, comm.getCommCounts(), plan.trace]`);
  const total = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);
  expect(total(expected)).toBe(total(counted));
  expect(trace.split(' -> ').length).toBeGreaterThan(1);
});

test('explainRedistribute() counts bytes with the padding of uneven parts', async () => {
  const steps = await first<{ kind: string; bytesIn: number; bytesOnWire: number; paddedRows: number }[]>(`
    const gather = dist.explainRedistribute(placed([5, 4], tp, Shard(0)), [Replicate()]);
    const pending = dist.DTensor.fromLocal(torch.ones([5, 4]), tp, [Partial()]);
    return [gather, dist.explainRedistribute(pending, [Shard(0)]), dist.explainRedistribute(pending, [Replicate()])]
      .map((plan) => plan.steps[0]).map(({ kind, bytesIn, bytesOnWire, paddedRows }) => ({ kind, bytesIn, bytesOnWire, paddedRows }))`);
  expect(steps).toEqual([
    // Two rows of four floats, to three others.
    { kind: 'all_gather', bytesIn: 32, bytesOnWire: 96, paddedRows: 3 },
    // Eight rows of four floats, three quarters of them leave.
    { kind: 'reduce_scatter', bytesIn: 128, bytesOnWire: 96, paddedRows: 3 },
    { kind: 'all_reduce', bytesIn: 80, bytesOnWire: 120, paddedRows: 0 },
  ]);
});

test('analyseMesh() names the axis that crosses nodes', async () => {
  const [swapped, right] = await first<
    { findings: { level: string; axis: string; message: string }[]; ok: boolean }[]
  >(`
    const look = (m) => { const { findings, ok } = dist.analyseMesh(m, { ranksPerNode: 2 }); return { findings, ok } };
    return [look(dist.initDeviceMesh([2, 2], { meshDimNames: ['tp', 'dp'] })), look(mesh)]`);
  expect(right).toEqual({ findings: [], ok: true });
  expect(swapped!.ok).toBe(false);
  expect(swapped!.findings[0]).toMatchObject({ level: 'warning', axis: 'tp' });
  expect(swapped!.findings[0]!.message).toContain('[0, 2] lies on 2 nodes');
});

test('verifyMeshGroups() hears every member of every group', async () => {
  const all = await everywhere('return dist.verifyMeshGroups(mesh)');
  expect(all[3]).toEqual([
    { axis: 'dp', expected: [1, 3], answered: [1, 3], sum: 4, ok: true },
    { axis: 'tp', expected: [2, 3], answered: [2, 3], sum: 5, ok: true },
  ]);
});

test('DTensorDebugger inspects, checks communication and compares with a reference', async () => {
  const all = await everywhere(`
    const debug = new dist.DTensorDebugger(tp);
    const x = placed([1024, 512], tp, Shard(0));
    const { localShape, localBytes, localStatistics } = debug.inspect(x, 'weight');
    const report = debug.verifyCommunication();
    const small = placed([10, 4], tp, Shard(0));
    const wrong = counted([10, 4]);
    wrong.narrow(0, 7, 1).narrow(1, 3, 1).add_(5);
    const { ok, index, maxDifference } = debug.compareWithReference(small, wrong);
    return { localShape, localBytes, mean: localStatistics.mean, report: report.ok, same: debug.compareWithReference(small, counted([10, 4])).ok, ok, index, maxDifference }`);
  expect(all[0]).toEqual({
    localShape: [256, 512],
    localBytes: 524_288,
    mean: 65_535.5,
    report: true,
    same: true,
    ok: false,
    index: [7, 3],
    maxDifference: 5,
  });
  expect((all[3] as { ok: boolean }).ok).toBe(false);
});

const model = `
  const { nn } = runtime;
  class Net extends nn.Module {
    constructor() { super(); this.a = new nn.Linear(10, 8); this.b = new nn.Linear(8, 4); }
    forward(x) { return this.b(this.a(x)) }
  }
  const net = new Net();
  for (const p of net.parameters()) torch.noGrad(() => p.copy_(counted([...p.shape]).div(p.numel())));
  const saved = Object.fromEntries(net.namedParameters().map(([n, p]) => [n, p.detach().clone()]));
  dist.parallelizeModule(net, tp, { a: new dist.ColwiseParallel(), b: new dist.RowwiseParallel() });
`;

test('ShardingValidator passes a sound module and reports totals', async () => {
  const [ok, text] = await first<[boolean, string]>(`${model}
    const report = new dist.ShardingValidator(net, { reference: saved, placements: { 'a.weight': [Shard(0)], 'b.weight': [Shard(1)] } }).validate();
    return [report.ok, String(report)]`);
  expect(ok).toBe(true);
  expect(lines(text).slice(0, 4)).toEqual([
    'Parameter Sharding Validation Report',
    'Total parameters: 4',
    'Passed: 4 (100.0%)',
    'Failed: 0 (0.0%)',
  ]);
});

test('ShardingValidator finds wrong placements, replicas, values and plain parameters', async () => {
  const all = await everywhere(`${model}
    torch.noGrad(() => { if (rank === 2) net.getParameter('b.bias').localTensor.add_(1); });
    torch.noGrad(() => { if (rank === 1) net.getParameter('a.weight').localTensor.mul_(2); });
    net.extra = new nn.Parameter(torch.ones([2]));
    const report = new dist.ShardingValidator(net, { reference: saved, placements: { 'b.weight': [Shard(0)] } }).validate();
    return report.results.map(({ name, failures }) => [name, failures.map((f) => [f.check, f.ranks])])`);
  expect(all[0]).toEqual([
    ['extra', [['dtensor', [0, 1, 2, 3]]]],
    ['a.weight', [['values', [0, 1, 2, 3]]]],
    ['a.bias', []],
    ['b.weight', [['placements', [0, 1, 2, 3]]]],
    [
      'b.bias',
      [
        ['replicas', [0, 1, 2, 3]],
        // The replica of rank 2 is the whole for rank 2 alone.
        ['values', [2]],
      ],
    ],
  ]);
  expect(all[3]).toEqual(all[0]);
});

test('ShardingValidator checks gradients against those of one process', async () => {
  const [missing, right, wrong] = await first<[string[], boolean, string[]]>(`${model}
    const x = counted([3, 10]).div(30);
    const plain = new Net();
    for (const [n, p] of plain.namedParameters()) torch.noGrad(() => p.copy_(saved[n]));
    const validator = new dist.ShardingValidator(net);
    const missing = validator.validateGradients().failed;
    net(x).pow(2).mean().backward();
    plain(x).pow(2).mean().backward();
    const grads = Object.fromEntries(plain.namedParameters().map(([n, p]) => [n, p.grad]));
    const right = validator.validateGradients(grads).ok;
    torch.noGrad(() => grads['a.bias'].add_(1));
    return [missing, right, validator.validateGradients(grads).failed]`);
  expect(missing).toEqual(['a.weight', 'a.bias', 'b.weight', 'b.bias']);
  expect(right).toBe(true);
  expect(wrong).toEqual(['a.bias']);
});

test('fingerprint() changes where a step changed something, and only there', async () => {
  const changed = await first<string[]>(`${model}
    const validator = new dist.ShardingValidator(net);
    const before = validator.fingerprint();
    torch.noGrad(() => { if (rank === 3) net.getParameter('a.bias').localTensor.add_(1) });
    const after = validator.fingerprint();
    return Object.keys(before).flatMap((n) => before[n].flatMap((sum, r) => (sum === after[n][r] ? [] : [n + '@' + r])))`);
  expect(changed).toEqual(['a.bias@3']);
});

test('designPlacements() lays out a transformer and counts what it costs', async () => {
  const design = await first<{
    locals: Record<string, number[]>;
    memory: Record<string, number>;
    traffic: Record<string, number>;
    batch: number[];
    ring: number;
  }>(`
    const d = dist.designPlacements({
      model: { layers: 2, hidden: 4096, heads: 32, ffn: 16384, vocab: 50000 }, parallel: { dp: 4, cp: 2, tp: 2 }, batch: 4, sequence: 32768 });
    return {
      locals: Object.fromEntries(d.parameters.map((p) => [p.name, p.localShape])),
      memory: d.memory,
      traffic: Object.fromEntries(d.traffic.map((t) => [t.axis, t.bytes])),
      batch: d.batch.localShape,
      ring: dist.ringBytes({ batch: 4, sequence: 32768, kvSize: 4096, cp: 2, bytes: 2 }),
    }`);
  expect(design.locals['q']).toEqual([256, 4096]);
  expect(design.locals['attention output']).toEqual([512, 2048]);
  // Ranks of dp see different sequences, ranks of cp different tokens.
  expect(design.batch).toEqual([1, 16384, 4096]);
  expect(design.ring).toBe(1_073_741_824);
  const shared = 2 * (4 * 4096 * 4096 + 3 * 4096 * 16384) + 2 * 50000 * 4096;
  const norms = 5 * 4096;
  expect(design.memory['parameters']).toBe(2 * (shared / 16 + norms / 8));
  expect(design.traffic['dp x cp']).toBe((3 * 2 * (shared / 2 + norms) * 7) / 8);
  expect(design.traffic['tp']).toBe(4 * 2 * 16384 * 4096 * 2);
});

test('recordRedistributes() keeps what operations move by themselves', async () => {
  const [traces, counted, text] = await first<[string[], number, string]>(`
    const [a, b] = [placed([4, 8], tp, Shard(1)), placed([8, 4], tp, Shard(1))];
    const comm = new CommDebugMode();
    const log = comm.run(() => dist.recordRedistributes(() => a.matmul(b).relu()));
    return [log.plans.map((plan) => plan.trace), log.plans.reduce((n, p) => n + Object.values(p.counts).reduce((x, y) => x + y, 0), 0) - comm.getTotalCounts(), shown(log)['text/plain']]`);
  expect(traces.length).toBeGreaterThan(0);
  expect(counted).toBe(0);
  expect(text).toContain('redistribution 1: ');
});

test('meanGradients() are what data parallelism has to give', async () => {
  const all = await everywhere(`
    const { nn } = runtime;
    const net = new nn.Linear(2, 1, { bias: false });
    torch.noGrad(() => net.weight.fill_(1));
    net(torch.ones([1, 2]).mul(rank)).sum().backward();
    const { weight } = dist.meanGradients(net);
    return [weight.tolist(), net.weight.grad.tolist()]`);
  expect(all[3]).toEqual([[[1.5, 1.5]], [[3, 3]]]);
});
