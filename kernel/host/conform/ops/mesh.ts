/** Meshes: the operations of the recorder's spmd_ops and ops_mesh. */
import { construct, lookUp, member, method, type TensorLike } from '../access.js';
import { clone, dist, given, reduceOp } from './collectives.js';
import { op } from './registry.js';

function named(names: readonly string[] | null | undefined): Record<string, unknown>[] {
  return names === undefined || names === null ? [] : [{ meshDimNames: names }];
}

/** The recorder drops empty lists of names where it passes `tuple(names) if names else None`. */
function someNames(names: readonly string[] | null | undefined): Record<string, unknown>[] {
  return named(names?.length ? names : null);
}

function axisArguments(axis: unknown): unknown[] {
  return axis === undefined || axis === null ? [] : [axis];
}

const ndim = (mesh: unknown): number => Number(member(mesh, 'ndim'));
const axes = (mesh: unknown): number[] => Array.from({ length: ndim(mesh) }, (_, axis) => axis);
const groupRanks = (group: unknown): unknown => dist('getProcessGroupRanks', group);

op('mesh.init', 'shape dim_names', (a) =>
  dist('initDeviceMesh', 'cpu', a.get('shape'), ...someNames(a.get('dim_names'))),
);
op('mesh.init_raw', 'shape dim_names device', (a) =>
  dist('initDeviceMesh', a.get('device', 'cpu'), a.get('shape'), ...named(a.get('dim_names'))),
);
op('mesh.from_ranks', 'ranks dim_names', (a) =>
  construct('dist', 'DeviceMesh', 'cpu', a.get('ranks'), ...someNames(a.get('dim_names'))),
);
op('mesh.from_group', 'group ranks dim_names', (a) =>
  method(
    lookUp('dist', 'DeviceMesh'),
    'fromGroup',
    a.get('group'),
    'cpu',
    a.get('ranks', null),
    ...someNames(a.get('dim_names')),
  ),
);
// Takes the names one by one, so it reads its arguments itself: a list alone is a list of names as well.
op('mesh.slice', 'mesh n0 n1 n2 n3 n4 n5 n6 n7', (a) => {
  const names = Array.from({ length: 8 }, (_, i) => a.get<unknown>(`n${i}`)).filter((n) => n !== undefined);
  return method(a.get('mesh'), 'get', names.length === 1 ? names[0] : names);
});
op('mesh.flatten', 'mesh name', (a) =>
  a.get('name') ? method(a.get('mesh'), 'flatten', a.get('name')) : method(a.get('mesh'), 'flatten'),
);
op('mesh.unflatten', 'mesh dim sizes names', (a) =>
  method(a.get('mesh'), 'unflatten', a.get('dim'), a.get('sizes'), a.get('names')),
);
op('mesh.describe', 'mesh', (a) => {
  const mesh = a.get<unknown>('mesh');
  return {
    shape: member(mesh, 'shape'),
    names: member(mesh, 'meshDimNames'),
    ranks: method(member(mesh, 'mesh'), 'tolist'),
    coordinate: method(mesh, 'getCoordinate'),
    size: method(mesh, 'size'),
  };
});
op('mesh.sizes', 'mesh', (a) => {
  const mesh = a.get<unknown>('mesh');
  return {
    ndim: ndim(mesh),
    size: method(mesh, 'size'),
    dims: axes(mesh).map((i) => method(mesh, 'size', i)),
  };
});
op('mesh.size', 'mesh dim', (a) => method(a.get('mesh'), 'size', ...axisArguments(a.get('dim'))));
op('mesh.names', 'mesh', (a) => member(a.get('mesh'), 'meshDimNames'));
op('mesh.rank', 'mesh', (a) => method(a.get('mesh'), 'getRank'));
op('mesh.coordinate', 'mesh', (a) => method(a.get('mesh'), 'getCoordinate'));
op('mesh.local_rank', 'mesh dim', (a) =>
  method(a.get('mesh'), 'getLocalRank', ...axisArguments(a.get('dim'))),
);
op('mesh.local_ranks', 'mesh', (a) => {
  const mesh = a.get<unknown>('mesh');
  return axes(mesh).map((axis) => method(mesh, 'getLocalRank', axis));
});
op('mesh.group', 'mesh dim', (a) => method(a.get('mesh'), 'getGroup', ...axisArguments(a.get('dim'))));
op('mesh.group_ranks', 'mesh dim', (a) =>
  groupRanks(method(a.get('mesh'), 'getGroup', ...axisArguments(a.get('dim')))),
);
op('mesh.all_group_ranks', 'mesh', (a) =>
  (method(a.get('mesh'), 'getAllGroups') as unknown[]).map(groupRanks),
);
op('mesh.equal', 'a b', (a) => method(a.get('a'), 'equals', a.get('b')));
op('mesh.same_object', 'a b', (a) => a.get('a') === a.get('b'));
op(
  'mesh.same_group',
  'a dim_a b dim_b',
  (a) => method(a.get('a'), 'getGroup', a.get('dim_a')) === method(a.get('b'), 'getGroup', a.get('dim_b')),
);
op('mesh.all_reduce', 't mesh dim op', (a) => {
  const t: TensorLike = clone(a.get('t'));
  const group = method(a.get('mesh'), 'getGroup', ...axisArguments(a.get('dim')));
  dist('allReduce', t, given({ op: reduceOp(a.get('op', 'sum')), group }));
  return t;
});
