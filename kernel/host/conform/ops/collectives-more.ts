/** ops_c10d: in-place collectives, asynchronous work, point to point, objects, groups, collectives under autograd. */
import { CommDebugMode } from '../../../runtime/index.js';
import { callIn, construct, lookUp, method, type TensorLike } from '../access.js';
import {
  allToAllSingle,
  clone,
  dist,
  emptyLike,
  given,
  rankIn,
  reduceOp,
  sum,
  worldSizeOf,
  zerosOf,
} from './collectives.js';
import type { Args } from './registry.js';
import { op } from './registry.js';

/** Whether this rank holds the handle of a group it is not in. */
function isOutsider(group: unknown): boolean {
  return group !== undefined && group !== null && group === lookUp('dist', 'GroupMember.NON_GROUP_MEMBER');
}

/** Whether this rank is the one that `global` or, within the group, `own` names. */
function isHere(a: Args, global: string, own: string): boolean {
  const group = a.get('group');
  if (isOutsider(group)) return false;
  return a.has(own) ? rankIn(group) === a.number(own) : rankIn(undefined) === a.get(global);
}

function ends(a: Args, global: 'src' | 'dst'): Record<string, unknown> {
  const own = global === 'src' ? 'group_src' : 'group_dst';
  return given({
    [global]: a.get(global),
    [global === 'src' ? 'groupSrc' : 'groupDst']: a.get(own),
    group: a.get('group'),
  });
}

op('c10d.all_reduce_', 't op group', (a) => {
  dist('allReduce', a.get('t'), given({ op: reduceOp(a.get('op', 'sum')), group: a.get('group') }));
  return a.get('t');
});
op('c10d.reduce', 't dst group_dst op group', (a) => {
  const t = clone(a.get('t'));
  dist('reduce', t, { ...ends(a, 'dst'), op: reduceOp(a.get('op', 'sum')) });
  return isHere(a, 'dst', 'group_dst') ? t : null;
});
op('c10d.broadcast_', 't src group_src group', (a) => {
  dist('broadcast', a.get('t'), ends(a, 'src'));
  return a.get('t');
});
op('c10d.all_gather_', 'outs t group', (a) => {
  dist('allGather', a.get('outs'), a.get('t'), given({ group: a.get('group') }));
  return a.get('outs');
});
op('c10d.all_gather_into_', 'out t group', (a) => {
  dist('allGatherIntoTensor', a.get('out'), a.get('t'), given({ group: a.get('group') }));
  return a.get('out');
});
op('c10d.reduce_scatter', 'parts op group', (a) => {
  const parts = a.get<TensorLike[]>('parts');
  const out = emptyLike(parts[0]!);
  dist('reduceScatter', out, parts, given({ op: reduceOp(a.get('op', 'sum')), group: a.get('group') }));
  return out;
});
op('c10d.reduce_scatter_into_', 'out t op group', (a) => {
  dist(
    'reduceScatterTensor',
    a.get('out'),
    a.get('t'),
    given({ op: reduceOp(a.get('op', 'sum')), group: a.get('group') }),
  );
  return a.get('out');
});
op('c10d.all_to_all', 'parts group', (a) => {
  const outs = a.get<TensorLike[]>('parts').map(emptyLike);
  dist('allToAll', outs, a.get('parts'), given({ group: a.get('group') }));
  return outs;
});
op('c10d.all_to_all_into_', 'out t output_splits input_splits group', (a) => {
  allToAllSingle(a.get('out'), a.get('t'), a.get('output_splits'), a.get('input_splits'), a.get('group'));
  return a.get('out');
});
op('c10d.gather', 't dst group_dst group', (a) => {
  const t = a.get<TensorLike>('t');
  const here = isHere(a, 'dst', 'group_dst');
  const outs = here ? Array.from({ length: worldSizeOf(a.get('group')) }, () => emptyLike(t)) : null;
  dist('gather', t, outs, ends(a, 'dst'));
  return outs;
});
op('c10d.gather_into_', 't outs dst group', (a) => {
  dist('gather', a.get('t'), a.get('outs', null), given({ dst: a.get('dst', 0), group: a.get('group') }));
  return a.get('outs', null);
});
op('c10d.scatter', 'like parts src group_src group', (a) => {
  const out = emptyLike(a.get('like'));
  dist('scatter', out, isHere(a, 'src', 'group_src') ? a.get('parts') : null, ends(a, 'src'));
  return out;
});
op('c10d.scatter_into_', 'out parts src group', (a) => {
  dist('scatter', a.get('out'), a.get('parts', null), given({ src: a.get('src', 0), group: a.get('group') }));
  return a.get('out');
});

// ---------------------------------------------------------------- asynchronous
op('c10d.async', 'name t group op src output_splits input_splits', (a) => {
  const [name, t, group] = [a.get<string>('name'), a.get<TensorLike>('t'), a.get<unknown>('group')];
  const op = reduceOp(a.get('op', 'sum'));
  const size = worldSizeOf(group);
  const options = given({ group, asyncOp: true });
  switch (name) {
    case 'all_reduce': {
      const out = clone(t);
      return [dist('allReduce', out, { ...options, op }), out];
    }
    case 'broadcast': {
      const out = clone(t);
      return [dist('broadcast', out, { ...options, src: a.get('src') }), out];
    }
    case 'all_gather': {
      const out = Array.from({ length: size }, () => emptyLike(t));
      return [dist('allGather', out, t, options), out];
    }
    case 'all_gather_into_tensor': {
      const out = zerosOf([t.shape[0]! * size, ...t.shape.slice(1)], t);
      return [dist('allGatherIntoTensor', out, t, options), out];
    }
    case 'reduce_scatter_tensor': {
      const out = zerosOf([Math.floor(t.shape[0]! / size), ...t.shape.slice(1)], t);
      return [dist('reduceScatterTensor', out, t, { ...options, op }), out];
    }
    case 'all_to_all_single': {
      const outputs = a.get<number[] | null>('output_splits', null);
      const out = zerosOf([outputs?.length ? sum(outputs) : t.shape[0]!, ...t.shape.slice(1)], t);
      return [allToAllSingle(out, t, a.get('output_splits'), a.get('input_splits'), group, true), out];
    }
    case 'barrier':
      return [dist('barrier', options), null];
    default:
      throw new Error(`"${name}" cannot be started asynchronously`);
  }
});
op('c10d.wait', 'work', (a) => void method(a.get('work'), 'wait'));
op('c10d.is_completed', 'work', (a) => Boolean(method(a.get('work'), 'isCompleted')));

// ---------------------------------------------------------------- point to point
function p2p(a: Args, global: 'src' | 'dst'): Record<string, unknown> {
  return { ...ends(a, global), ...given({ tag: a.get('tag') }) };
}

op('c10d.send', 't dst tag group group_dst', (a) => void dist('send', a.get('t'), p2p(a, 'dst')));
op('c10d.recv', 'like src tag group group_src', (a) => {
  const out = emptyLike(a.get('like'));
  return [dist('recv', out, p2p(a, 'src')), out];
});
op('c10d.isend', 't dst tag group group_dst', (a) => dist('isend', a.get('t'), p2p(a, 'dst')));
op('c10d.irecv', 'like src tag group group_src', (a) => {
  const out = emptyLike(a.get('like'));
  return [dist('irecv', out, p2p(a, 'src')), out];
});
op('c10d.batch', 'ops group', (a) => {
  const outs: TensorLike[] = [];
  const ops = a.get<Record<string, unknown>[]>('ops').map((o) => {
    const options = given({ group: a.get('group'), tag: o['tag'] });
    if ('send' in o) return construct('dist', 'P2POp', lookUp('dist', 'isend'), o['send'], o['to'], options);
    const out = emptyLike(o['recv'] as TensorLike);
    outs.push(out);
    return construct('dist', 'P2POp', lookUp('dist', 'irecv'), out, o['from'], options);
  });
  for (const work of dist('batchIsendIrecv', ops) as unknown[]) method(work, 'wait');
  return outs;
});

// ---------------------------------------------------------------- objects
function blanks(count: number): unknown[] {
  return Array.from({ length: count }, () => null);
}

op('c10d.gather_object', 'obj dst group group_dst', (a) => {
  if (isOutsider(a.get('group'))) return null;
  const outs = isHere(a, 'dst', 'group_dst') ? blanks(worldSizeOf(a.get('group'))) : null;
  dist('gatherObject', a.get('obj'), outs, ends(a, 'dst'));
  return outs;
});
op('c10d.scatter_object', 'objs src group group_src', (a) => {
  if (isOutsider(a.get('group'))) return null;
  const out = blanks(1);
  dist('scatterObjectList', out, isHere(a, 'src', 'group_src') ? a.get('objs') : null, ends(a, 'src'));
  return out[0];
});
op('c10d.broadcast_objects', 'objs src group group_src', (a) => {
  const objs = [...a.get<unknown[]>('objs')];
  dist('broadcastObjectList', objs, ends(a, 'src'));
  return objs;
});
op('c10d.all_gather_object', 'obj group', (a) => {
  if (isOutsider(a.get('group'))) return null;
  const outs = blanks(worldSizeOf(a.get('group')));
  dist('allGatherObject', outs, a.get('obj'), given({ group: a.get('group') }));
  return outs;
});
op(
  'c10d.send_objects',
  'objs dst',
  (a) => void dist('sendObjectList', [...a.get<unknown[]>('objs')], given({ dst: a.get('dst') })),
);
op('c10d.recv_objects', 'count src', (a) => {
  const objs = blanks(a.number('count'));
  return [dist('recvObjectList', objs, given({ src: a.get('src') })), objs];
});

// ---------------------------------------------------------------- groups
op('c10d.is_member', 'group', (a) => !isOutsider(a.get('group')));
op('c10d.get_group_rank', 'group global_rank', (a) =>
  dist('getGroupRank', a.get('group'), a.number('global_rank')),
);
op('c10d.get_global_rank', 'group group_rank', (a) =>
  dist('getGlobalRank', a.get('group'), a.number('group_rank')),
);
op('c10d.new_subgroups', 'size', (a) => (dist('newSubgroups', a.number('size')) as unknown[])[0]);
op(
  'c10d.new_subgroups_by_enumeration',
  'ranks',
  (a) => (dist('newSubgroupsByEnumeration', a.get('ranks')) as unknown[])[0] ?? null,
);
op('c10d.new_group_with_timeout', 'ranks seconds', (a) =>
  dist('newGroup', a.get('ranks'), { timeoutMs: a.number('seconds') * 1000 }),
);
op(
  'c10d.monitored_barrier',
  'group seconds',
  (a) =>
    void dist(
      'monitoredBarrier',
      given({ group: a.get('group'), timeoutMs: a.number('seconds', 30) * 1000 }),
    ),
);

// ---------------------------------------------------------------- collectives that autograd goes through
function functional(name: string, ...args: unknown[]): unknown {
  return callIn('dist', `nn.${name}`, ...args);
}

op('c10d.nn.all_reduce', 't op group', (a) =>
  functional('allReduce', a.get('t'), given({ op: reduceOp(a.get('op', 'sum')), group: a.get('group') })),
);
op('c10d.nn.all_gather', 't', (a) => Array.from(functional('allGather', a.get('t')) as Iterable<unknown>));
op('c10d.nn.reduce_scatter', 'parts', (a) => {
  const parts = a.get<TensorLike[]>('parts');
  return functional('reduceScatter', emptyLike(method(parts[0], 'detach') as TensorLike), parts);
});
op('c10d.nn.all_to_all_single', 't output_splits input_splits', (a) => {
  const t = a.get<TensorLike>('t');
  const outputs = a.get<number[] | null>('output_splits', null);
  const out = zerosOf([outputs?.length ? sum(outputs) : t.shape[0]!, ...t.shape.slice(1)], t);
  return functional(
    'allToAllSingle',
    out,
    t,
    given({ outputSplitSizes: a.get('output_splits'), inputSplitSizes: a.get('input_splits') }),
  );
});
op('c10d.nn.broadcast', 't src', (a) => functional('broadcast', a.get('t'), a.get('src')));
op('c10d.fc.all_gather', 't dim group', (a) =>
  callIn('dist', 'functional.allGatherTensorAutograd', a.get('t'), {
    gatherDim: a.number('dim', 0),
    ...given({ group: a.get('group') }),
  }),
);
op('c10d.fc.reduce_scatter', 't op dim group', (a) =>
  callIn('dist', 'functional.reduceScatterTensorAutograd', a.get('t'), a.get('op', 'sum'), {
    scatterDim: a.number('dim', 0),
    ...given({ group: a.get('group') }),
  }),
);
op('c10d.fc.all_to_all', 't output_splits input_splits group', (a) =>
  callIn(
    'dist',
    'functional.allToAllSingleAutograd',
    a.get('t'),
    given({
      outputSplitSizes: a.get('output_splits'),
      inputSplitSizes: a.get('input_splits'),
      group: a.get('group'),
    }),
  ),
);

// ---------------------------------------------------------------- counting
/** Kinds that are counted, by the beginning of our names. */
const COUNTED: readonly (readonly [string, string])[] = [
  ['reduceScatter', 'reduce_scatter'],
  ['allGather', 'all_gather'],
  ['allReduce', 'all_reduce'],
  ['allToAll', 'all_to_all'],
  ['broadcast', 'broadcast'],
  ['scatter', 'scatter'],
  ['gather', 'gather'],
];

op('comm.begin', '', (_, machine) => void machine.state.set('comm', new CommDebugMode().start()));
op('comm.end', '', (_, machine) => {
  const mode = machine.state.get('comm') as CommDebugMode;
  mode.stop();
  const counts: Record<string, number> = {};
  for (const [name, count] of Object.entries(mode.getCommCounts())) {
    const key = COUNTED.find(([start]) => name.startsWith(start))?.[1];
    if (key !== undefined && !name.endsWith('Object') && !name.endsWith('ObjectList'))
      counts[key] = (counts[key] ?? 0) + count;
  }
  return counts;
});
