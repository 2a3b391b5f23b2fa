/** Messages from rank to rank. */

import { Op } from '../transport/index.js';
import {
  badArgument,
  describeCall,
  type GroupOption,
  memberGroup,
  named,
  type Positional,
  rootIndex,
  settle,
} from './args.js';
import { type HookedCall, hookCall } from './events.js';
import type { Group, ProcessGroup, Work } from './process-group.js';
import { type CommTensor, checkTensor, describeTensor, destination, readBytes } from './tensors.js';

export interface SendOption extends GroupOption {
  /** Messages match by tag. */
  tag?: number;
  dst?: number | null;
  groupDst?: number | null;
}
export interface ReceiveOption extends GroupOption {
  tag?: number;
  /** Absent, with no groupSrc: from any member. */
  src?: number | null;
  groupSrc?: number | null;
}

type SendArgs = Positional<[dst?: number, group?: Group, tag?: number, groupDst?: number], SendOption>;
type ReceiveArgs = Positional<[src?: number, group?: Group, tag?: number, groupSrc?: number], ReceiveOption>;

/** Returns when the receiver has taken the message. */
export function send(tensor: CommTensor, ...rest: SendArgs): void {
  const started = startSend('send', tensor, rest);
  if (started !== undefined) settle(started.hooked, started.op as Op, started.group, false);
}

/** Starts a send; `tensor` must not change before the work is waited for. */
export function isend(tensor: CommTensor, ...rest: SendArgs): Work | undefined {
  const started = startSend('isend', tensor, rest);
  return started && settle(started.hooked, started.op as Op, started.group, true);
}

/** Receives into `tensor`; returns the sender's global rank (-1 on a non-member). */
export function recv(tensor: CommTensor, ...rest: ReceiveArgs): number {
  const started = startReceive('recv', tensor, rest);
  if (started === undefined) return -1;
  settle(started.hooked, started.op as Op, started.group, false);
  return started.op.result!;
}

/** Starts a receive; `tensor` may be read when the work has been waited for. */
export function irecv(tensor: CommTensor, ...rest: ReceiveArgs): Work | undefined {
  const started = startReceive('irecv', tensor, rest);
  return started && settle(started.hooked, started.op as Op, started.group, true);
}

export interface P2POption extends GroupOption {
  /** Global rank of the other side. */
  peer?: number;
  tag?: number;
  /** Its rank within the group. */
  groupPeer?: number;
}

/** One entry of `batchIsendIrecv`: `op` is `dist.isend` or `dist.irecv`. */
export class P2POp {
  readonly peer: number | undefined;
  readonly group: Group | null | undefined;
  readonly tag: number;
  readonly groupPeer: number | undefined;

  constructor(
    readonly op: typeof isend | typeof irecv,
    readonly tensor: CommTensor,
    peer?: number | P2POption | null,
    ...rest: Positional<[group?: Group, tag?: number, groupPeer?: number], P2POption>
  ) {
    const options = named<P2POption & { peer?: number }>(
      'P2POp',
      ['peer', 'group', 'tag', 'groupPeer'],
      [peer, ...rest],
    );
    this.peer = options.peer;
    if (op !== isend && op !== irecv)
      throw badArgument('P2POp', 'its op is neither dist.isend nor dist.irecv');
    this.group = options.group;
    this.tag = options.tag ?? 0;
    this.groupPeer = options.groupPeer;
  }
}

/** Starts all of them; the order of sends against receives does not matter. */
export function batchIsendIrecv(ops: readonly P2POp[]): Work[] {
  if (!Array.isArray(ops) || ops.length === 0)
    throw badArgument('batchIsendIrecv', 'wanted a list of at least one P2POp');
  const group = ops[0]!.group ?? undefined;
  for (const op of ops) {
    if (!(op instanceof P2POp)) throw badArgument('batchIsendIrecv', 'an entry is not a P2POp');
    if ((op.group ?? undefined) !== group)
      throw badArgument('batchIsendIrecv', 'the entries have different groups, wanted one');
  }
  return ops.flatMap((p) => {
    const shared = { tag: p.tag, ...(p.group === undefined ? {} : { group: p.group }) };
    const work =
      p.op === isend
        ? isend(p.tensor, { ...shared, dst: p.peer ?? null, groupDst: p.groupPeer ?? null })
        : irecv(p.tensor, { ...shared, src: p.peer ?? null, groupSrc: p.groupPeer ?? null });
    return work === undefined ? [] : [work];
  });
}

function startSend(name: string, tensor: CommTensor, rest: SendArgs) {
  const o = named<SendOption>(name, ['dst', 'group', 'tag', 'groupDst'], rest);
  checkTensor(tensor, name);
  const group = memberGroup(o.group);
  if (group === undefined) return undefined;
  const peer = group.ranks[rootIndex(name, group, o.dst, o.groupDst, ['dst', 'groupDst'])]!;
  refuseSelf(name, group, peer, 'send to');
  const tag = checkTag(name, o.tag);
  const call = messageCall(group, name, tensor, `dst ${peer}`);
  const about = { op: name, seq: 0, async: name === 'isend', detail: call.detail, peer, tag };
  const hooked = hookCall((id) => describeCall(id, group, { tensors: [tensor] }, about));
  const start = () => group.transport.isend(group.channel, peer, tag, readBytes(tensor), call);
  return { group, hooked, op: begin(hooked, start, name, group, undefined) };
}

function startReceive(name: string, tensor: CommTensor, rest: ReceiveArgs) {
  const o = named<ReceiveOption>(name, ['src', 'group', 'tag', 'groupSrc'], rest);
  checkTensor(tensor, name);
  const group = memberGroup(o.group);
  if (group === undefined) return undefined;
  const any = (o.src ?? undefined) === undefined && (o.groupSrc ?? undefined) === undefined;
  const peer = any ? undefined : group.ranks[rootIndex(name, group, o.src, o.groupSrc, ['src', 'groupSrc'])]!;
  if (peer !== undefined) refuseSelf(name, group, peer, 'receive from');
  const tag = checkTag(name, o.tag);
  const out = destination(tensor);
  const call = messageCall(group, name, tensor, any ? 'any source' : `src ${peer}`);
  const about = { op: name, seq: 0, async: name === 'irecv', detail: call.detail, tag };
  const io = { tensors: [tensor], inputs: [], outputs: [tensor] };
  const hooked = hookCall((id) =>
    describeCall(id, group, io, peer === undefined ? about : { ...about, peer }),
  );
  const start = () => group.transport.irecv(group.channel, peer, tag, out.bytes, call, out.commit);
  return { group, hooked, op: begin(hooked, start, name, group, peer ?? -1) };
}

/** Starts the operation, unless a hook has answered it. */
function begin<T>(
  hooked: HookedCall | undefined,
  start: () => Op<T>,
  name: string,
  group: ProcessGroup,
  result: T,
): Op<T> {
  if (hooked?.answer) {
    const given = (hooked.answer.result ?? result) as T;
    return Op.finished(given, { op: name, group: group.name });
  }
  const op = start();
  hooked?.follow(op as Op);
  return op;
}

function messageCall(group: ProcessGroup, op: string, tensor: CommTensor, detail: string) {
  const place = op.startsWith('i') ? group.transport.callPlace() : undefined;
  return {
    op,
    print: tensor.dtype.name,
    tensor: describeTensor(tensor),
    detail,
    ...(place === undefined ? {} : { place }),
  };
}

function refuseSelf(name: string, group: ProcessGroup, peer: number, verb: string): void {
  if (peer === group.transport.rank)
    throw badArgument(name, `rank ${peer} cannot ${verb} itself`, 'copy the tensor instead');
}

function checkTag(name: string, tag = 0): number {
  if (Number.isInteger(tag) && tag >= 0 && tag < 2 ** 31) return tag;
  throw badArgument(name, `tag ${tag} is invalid: wanted a whole number from 0`);
}
