/** The distributed operations of the recorder's spmd_ops. */
import { callIn, construct, lookUp, method, type TensorLike } from '../access.js';
import { op } from './registry.js';

const REDUCE_OPS: Readonly<Record<string, string>> = {
  sum: 'SUM',
  avg: 'AVG',
  max: 'MAX',
  min: 'MIN',
  product: 'PRODUCT',
  band: 'BAND',
  bor: 'BOR',
  bxor: 'BXOR',
};

/** The runtime's reduce operation of the corpus's name. */
export function reduceOp(name: string): unknown {
  const key = REDUCE_OPS[name];
  if (key === undefined) throw new Error(`"${name}" is no reduction`);
  return lookUp('dist', `ReduceOp.${key}`) ?? name;
}

export function dist(name: string, ...args: unknown[]): unknown {
  return callIn('dist', name, ...args);
}

/** Options without what was not given. */
export function given(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined && value !== null),
  );
}

export function worldSizeOf(group: unknown): number {
  return Number(group === undefined || group === null ? dist('getWorldSize') : dist('getWorldSize', group));
}

export function rankIn(group: unknown): number {
  return Number(group === undefined || group === null ? dist('getRank') : dist('getRank', group));
}

export function clone(t: unknown): TensorLike {
  return method(t, 'clone') as TensorLike;
}

export function emptyLike(t: TensorLike): TensorLike {
  return callIn('torch', 'zeros', [...t.shape], { dtype: t.dtype }) as TensorLike;
}

export function zerosOf(shape: readonly number[], like: TensorLike): TensorLike {
  return callIn('torch', 'zeros', shape, { dtype: like.dtype }) as TensorLike;
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

op('dist.all_reduce', 't op group async_op', (a) => {
  const t = clone(a.get('t'));
  const work = dist(
    'allReduce',
    t,
    given({
      op: reduceOp(a.get('op', 'sum')),
      group: a.get('group'),
      asyncOp: a.get('async_op') || undefined,
    }),
  );
  if (a.get('async_op', false)) method(work, 'wait');
  return t;
});
op('dist.reduce', 't dst op group', (a) => {
  const t = clone(a.get('t'));
  dist('reduce', t, given({ dst: a.get('dst'), op: reduceOp(a.get('op', 'sum')), group: a.get('group') }));
  return rankIn(undefined) === a.number('dst') ? t : null;
});
op('dist.broadcast', 't src group', (a) => {
  const t = clone(a.get('t'));
  dist('broadcast', t, given({ src: a.get('src'), group: a.get('group') }));
  return t;
});
op('dist.all_gather', 't group', (a) => {
  const t = a.get<TensorLike>('t');
  const out = Array.from({ length: worldSizeOf(a.get('group')) }, () => emptyLike(t));
  dist('allGather', out, t, given({ group: a.get('group') }));
  return out;
});
op('dist.all_gather_into_tensor', 't group', (a) => {
  const t = a.get<TensorLike>('t');
  const out = zerosOf([t.shape[0]! * worldSizeOf(a.get('group')), ...t.shape.slice(1)], t);
  dist('allGatherIntoTensor', out, t, given({ group: a.get('group') }));
  return out;
});
op('dist.reduce_scatter_tensor', 't op group', (a) => {
  const t = a.get<TensorLike>('t');
  const out = zerosOf([Math.floor(t.shape[0]! / worldSizeOf(a.get('group'))), ...t.shape.slice(1)], t);
  dist('reduceScatterTensor', out, t, given({ op: reduceOp(a.get('op', 'sum')), group: a.get('group') }));
  return out;
});
op('dist.gather', 't dst group', (a) => {
  const t = a.get<TensorLike>('t');
  const here = rankIn(undefined) === a.number('dst');
  const out = here ? Array.from({ length: worldSizeOf(a.get('group')) }, () => emptyLike(t)) : null;
  dist('gather', t, out, given({ dst: a.get('dst'), group: a.get('group') }));
  return out;
});
op('dist.scatter', 'like parts src group', (a) => {
  const out = emptyLike(a.get('like'));
  const here = rankIn(undefined) === a.number('src');
  dist('scatter', out, here ? a.get('parts') : null, given({ src: a.get('src'), group: a.get('group') }));
  return out;
});
op('dist.all_to_all_single', 't output_splits input_splits group', (a) => {
  const t = a.get<TensorLike>('t');
  const outputs = a.get<number[] | null>('output_splits', null);
  const out = zerosOf([outputs?.length ? sum(outputs) : t.shape[0]!, ...t.shape.slice(1)], t);
  allToAllSingle(out, t, a.get('output_splits'), a.get('input_splits'), a.get('group'));
  return out;
});

export function allToAllSingle(
  out: unknown,
  t: unknown,
  outputs: unknown,
  inputs: unknown,
  group: unknown,
  asyncOp?: boolean,
): unknown {
  return dist(
    'allToAllSingle',
    out,
    t,
    given({ outputSplitSizes: outputs, inputSplitSizes: inputs, group, asyncOp }),
  );
}

op('dist.ring_shift', 't by', (a) => {
  const t = a.get<TensorLike>('t');
  const [rank, size, by] = [rankIn(undefined), worldSizeOf(undefined), a.number('by', 1)];
  const out = emptyLike(t);
  const peer = (offset: number) => (((rank + offset) % size) + size) % size;
  const works = dist('batchIsendIrecv', [
    construct('dist', 'P2POp', lookUp('dist', 'isend'), t, peer(by)),
    construct('dist', 'P2POp', lookUp('dist', 'irecv'), out, peer(-by)),
  ]) as unknown[];
  for (const work of works) method(work, 'wait');
  return out;
});
op(
  'dist.send',
  't dst tag',
  (a) => void dist('send', a.get('t'), given({ dst: a.get('dst'), tag: a.get('tag') })),
);
op('dist.recv', 'like src tag', (a) => {
  const out = emptyLike(a.get('like'));
  dist('recv', out, given({ src: a.get('src'), tag: a.get('tag') }));
  return out;
});
op('dist.barrier', 'group', (a) => void dist('barrier', given({ group: a.get('group') })));
op('dist.all_gather_object', 'o group', (a) => {
  const out: unknown[] = Array.from({ length: worldSizeOf(a.get('group')) }, () => null);
  dist('allGatherObject', out, a.get('o'), given({ group: a.get('group') }));
  return out;
});
op('dist.broadcast_object_list', 'objs src', (a) => {
  const objs = [...a.get<unknown[]>('objs')];
  dist('broadcastObjectList', objs, given({ src: a.get('src') }));
  return objs;
});
op('dist.new_group', 'ranks', (a) => dist('newGroup', a.get('ranks')));
op('dist.get_rank', 'group', (a) => rankIn(a.get('group')));
op('dist.get_world_size', 'group', (a) => worldSizeOf(a.get('group')));
op('dist.get_process_group_ranks', 'group', (a) => dist('getProcessGroupRanks', a.get('group')));
