import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';
import { blocks, collapse, cutAxis, isOrthogonal, isSorted, merge, rowMajor } from './layout.js';

let eight: Cluster;
beforeAll(async () => {
  eight = await Cluster.start(8);
});
afterAll(() => eight.stop());

/** What rank 5 gets. */
const onFive = async (code: string): Promise<unknown> => (await eight.run(code))[5];
const errorOf = async (code: string): Promise<{ code: string; message: string; help?: string }> =>
  (await onFive(
    `try { ${code} } catch (e) { return { code: e.code, message: e.message, help: e.help } }`,
  )) as never;

const cube = "const mesh = dist.initDeviceMesh([2, 2, 2], { meshDimNames: ['dp', 'cp', 'tp'] });";

test('merge() joins extents that follow on each other and forgets those of size 1', () => {
  expect(
    merge([
      { size: 2, stride: 4 },
      { size: 1, stride: 9 },
      { size: 4, stride: 1 },
    ]),
  ).toEqual([{ size: 8, stride: 1 }]);
  expect(
    merge([
      { size: 2, stride: 4 },
      { size: 2, stride: 1 },
    ]),
  ).toHaveLength(2);
});

test('blocks() cuts the rank list into every block of an axis', () => {
  const [dp, tp] = rowMajor([2, 2]);
  expect(blocks(dp!, 4)).toEqual([
    [0, 2],
    [1, 3],
  ]);
  expect(blocks(tp!, 4)).toEqual([
    [0, 1],
    [2, 3],
  ]);
});

test('isOrthogonal() and isSorted() tell overlapping and turned layouts', () => {
  const [dp, cp, tp] = rowMajor([2, 2, 2]);
  expect(isOrthogonal(collapse([dp!, tp!]))).toBe(true);
  expect(isOrthogonal(collapse([dp!, dp!]))).toBe(false);
  expect(isSorted(collapse([tp!, cp!]))).toBe(false);
});

test('cutAxis() cuts a flattened axis along its parts and refuses sizes across them', () => {
  const flat = collapse([rowMajor([2, 3, 2])[0]!, rowMajor([2, 3, 2])[2]!]);
  expect(cutAxis(flat, [2, 2])).toEqual([[{ size: 2, stride: 6 }], [{ size: 2, stride: 1 }]]);
  expect(() => cutAxis(rowMajor([6])[0]!, [4, 2])).toThrow('cut across');
});

test('groups of a (2, 2, 2) mesh hold the ranks that differ along their axis alone', async () => {
  const all = await eight.run(`${cube} return mesh.getAllGroups().map((g) => g.ranks.join(','))`);
  const perAxis = [0, 1, 2].map((axis) => [...new Set(all.map((groups) => (groups as string[])[axis]!))]);
  expect(perAxis).toEqual([
    ['0,4', '1,5', '2,6', '3,7'],
    ['0,2', '1,3', '4,6', '5,7'],
    ['0,1', '2,3', '4,5', '6,7'],
  ]);
});

test('a mesh prints as PyTorch prints it', async () => {
  const texts = await onFive(`${cube}
    const flat = mesh.get(['dp', 'tp']).flatten();
    return [mesh, dist.initDeviceMesh([8]), flat, new dist.DeviceMesh('cpu', [[0, 2], [4, 6]])].map(String)`);
  expect(texts).toEqual([
    "DeviceMesh((dp=2, cp=2, tp=2), 'cpu', stride=(4, 2, 1))",
    "DeviceMesh((8,), 'cpu', stride=(1,))",
    "DeviceMesh((dp_tp=4), 'cpu', stride=((4, 1),))",
    "DeviceMesh((2, 2), 'cpu', stride=(2, 1))",
  ]);
});

test('concatenate() puts axes of one mesh in any order', async () => {
  expect(
    await onFive(`${cube}
      const turned = dist.DeviceMesh.concatenate([mesh.get('tp'), mesh.get('dp')]);
      return [turned.mesh.tolist(), turned.getCoordinate(), turned.getGroup('tp') === mesh.getGroup('tp')]`),
  ).toEqual([
    [
      [0, 4],
      [1, 5],
    ],
    [1, 1],
    true,
  ]);
});

test('slices of a slice, flattened axes and equality are as in PyTorch', async () => {
  expect(
    await onFive(`${cube}
      const dpCp = mesh.get(['dp', 'cp']);
      const flat = dpCp.flatten();
      return [
        dpCp.get('cp').equals(mesh.get('cp')),
        mesh.get('dp').equals(dist.initDeviceMesh([2], { meshDimNames: ['dp'] })),
        dpCp.flatten() === flat,
        flat.mesh.tolist(),
        mesh.get(['dp_cp', 'tp']).shape,
        mesh.get('cp').getGroup('dp_cp') === flat.getGroup(),
        flat.unflatten(0, [2, 2], ['a', 'b']).mesh.tolist(),
        mesh.flattenedOver([0, 1]) === flat,
      ]`),
  ).toEqual([
    true,
    false,
    true,
    [1, 3, 5, 7],
    [4, 2],
    true,
    [
      [1, 3],
      [5, 7],
    ],
    true,
  ]);
});

test('ranks outside a mesh have no coordinate and no group', async () => {
  const said = await eight.run(`
    const mesh = new dist.DeviceMesh('cpu', [[0, 2], [4, 6]], { meshDimNames: ['x', 'y'] });
    let code = null;
    try { mesh.getGroup('x') } catch (e) { code = e.code }
    return [mesh.getCoordinate(), code]`);
  expect(said[4]).toEqual([[1, 0], null]);
  expect(said[5]).toEqual([null, 'SB_NOT_MEMBER']);
});

test('mesh.run() makes it the current mesh inside', async () => {
  expect(
    await onFive(
      `${cube} return [dist.currentMesh(), mesh.run(() => dist.currentMesh() === mesh), dist.currentMesh()]`,
    ),
  ).toEqual([null, true, null]);
});

test.each([
  [`${cube} mesh.get('tq')`, 'SB_MESH_NAME', 'Cannot slice mesh (dp=2, cp=2, tp=2): it has no axis "tq"'],
  [`${cube} mesh.get(['tp', 'dp'])`, 'SB_MESH_ORDER', 'its axes come in another order'],
  [`${cube} mesh.get(['tp', 'tp'])`, 'SB_MESH_OVERLAP', 'these axes overlap'],
  [`${cube} mesh.getGroup()`, 'SB_MESH_AXIS', 'without an axis: it has 3 axes'],
  [`${cube} mesh.getGroup(3)`, 'SB_MESH_AXIS', 'wanted -3 to 2'],
  [`${cube} mesh.size(3)`, 'SB_MESH_AXIS', 'wanted -3 to 2'],
  [`${cube} mesh.flatten('tp')`, 'SB_MESH_NAME', 'has an axis of that name'],
  [
    `${cube} mesh.unflatten('tp', [2, 2], ['a', 'b'])`,
    'SB_MESH_SHAPE',
    'they multiply to 4, the axis has 2 ranks',
  ],
  [
    `${cube} dist.DeviceMesh.concatenate([mesh.get('dp'), mesh.get(['dp', 'cp'])])`,
    'SB_MESH_OVERLAP',
    'they overlap',
  ],
  ['dist.initDeviceMesh([2, 4]).get("dp")', 'SB_MESH_UNNAMED', 'its axes have no names'],
  ['dist.initDeviceMesh([16])', 'SB_MESH_TOO_BIG', 'the world has 8'],
  ["dist.initDeviceMesh([2, 4], { meshDimNames: ['a', 'a'] })", 'SB_MESH_NAMES', 'two axes are named "a"'],
  ["dist.initDeviceMesh([8], { meshDimNames: ['a', 'b'] })", 'SB_MESH_NAMES', '2 names are given, wanted 1'],
  ["dist.initDeviceMesh('cpu:0', [8])", 'SB_MESH_DEVICE', 'without an index'],
  ['new dist.DeviceMesh([0, 0])', 'SB_MESH_TABLE', 'rank 0 is in its table twice'],
  ['new dist.DeviceMesh([0, 8])', 'SB_MESH_TOO_BIG', 'the world has ranks 0 to 7'],
])('%s says what is wrong', async (code, errorCode, words) => {
  const error = await errorOf(code);
  expect(error.code).toBe(errorCode);
  expect(error.message).toContain(words);
});

test('broadcast() from a rank outside an axis says the ranks of its group once', async () => {
  const error = await errorOf(
    `${cube} dist.broadcast(tensor([0]), { src: 0, group: mesh.getGroup('tp') }); throw new TypeError('not refused')`,
  );
  expect(error.message).toBe('Cannot run "broadcast": rank 0 is not in group mesh axis tp (ranks 4, 5)');
});
