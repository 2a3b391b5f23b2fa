/** Arguments that many calls share: the group, the root, refusals. Everything here throws before any rank waits. */
import { ShardbookError } from '../../base/index.js';
import { type Call, type Channel, Op, type Steps } from '../transport/index.js';
import { type CommCall, currentStream, type HookedCall, hookCall } from './events.js';
import { type Group, NonGroupMember, ProcessGroup, Work, worldGroup } from './process-group.js';
import type { ReduceOp } from './reduce-op.js';
import { byteLength, type CommTensor, describeTensor } from './tensors.js';

export interface GroupOption {
  group?: Group | null;
}

export interface AsyncOption extends GroupOption {
  /** Returns a `Work` at once instead of waiting. */
  asyncOp?: boolean;
}

/** PyTorch's positional arguments, at each of whose places the options object may stand instead. */
export type Positional<P extends unknown[], O> = { [K in keyof P]: P[K] | O | null | undefined };

/** The arguments by name, given by position and in an options object after them. */
export function named<O extends object>(
  op: string,
  names: readonly (keyof O & string)[],
  given: readonly unknown[],
): O {
  const result: Record<string, unknown> = {};
  given.forEach((value, i) => {
    if (value === undefined || value === null) return;
    if (isOptions(value)) Object.assign(result, value);
    else if (i < names.length) result[names[i]!] = value;
    else
      throw badArgument(
        op,
        `${given.length} arguments are given after the tensors, wanted ${names.join(', ')}`,
      );
  });
  return result as O;
}

/** A plain object; of another realm, too. */
function isOptions(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const proto = Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null;
  return proto === null || proto.constructor?.name === 'Object';
}

/** The group to use; undefined when this rank is not a member of it. */
export function memberGroup(group: Group | null | undefined): ProcessGroup | undefined {
  if (group === undefined || group === null) return worldGroup();
  if (group instanceof NonGroupMember) return undefined;
  if (group instanceof ProcessGroup) {
    if (!group.isDestroyed) return group;
    throw new ShardbookError({
      code: 'SB_GROUP_DESTROYED',
      message: `Cannot use group ${group.name}: it was destroyed`,
      help: 'make a new one with dist.newGroup(), or the world again with dist.initProcessGroup()',
    });
  }
  throw new ShardbookError({
    code: 'SB_NOT_A_GROUP',
    message: `Cannot use ${typeof group} as a process group: wanted what dist.newGroup() returned`,
  });
}

/** The group to use, which this rank must be a member of: there is no answer for others. */
export function requiredGroup(group: Group | null | undefined, op: string): ProcessGroup {
  const found = memberGroup(group);
  if (found !== undefined) return found;
  throw new ShardbookError({
    code: 'SB_NOT_MEMBER',
    message: `Cannot run "${op}": rank ${worldGroup().rank()} is not a member of the group`,
    help: 'call it on members alone; on others dist.newGroup() returned dist.GroupMember.NON_GROUP_MEMBER',
  });
}

/** A group that must be named: PyTorch does not take the world for none here. */
export function givenGroup(group: Group | null | undefined, op: string): ProcessGroup {
  if (group !== null && group !== undefined) return requiredGroup(group, op);
  throw badArgument(op, 'no group was given', 'name the group; the world is dist.group.WORLD');
}

/** Position in the group of a root that is given as a global rank or as a group rank. */
export function rootIndex(
  op: string,
  group: ProcessGroup,
  globalRank: number | null | undefined,
  groupRank: number | null | undefined,
  names: readonly [string, string],
  fallback?: number,
): number {
  const byGlobal = globalRank ?? undefined;
  const byGroup = groupRank ?? undefined;
  if (byGlobal !== undefined && byGroup !== undefined) {
    throw badArgument(op, `both ${names[0]} and ${names[1]} are given`, 'give one of them');
  }
  if (byGroup !== undefined) {
    if (Number.isInteger(byGroup) && byGroup >= 0 && byGroup < group.size()) return byGroup;
    throw badArgument(
      op,
      `${names[1]} ${byGroup} is not a rank of group ${group.name}: wanted 0 to ${group.size() - 1}`,
    );
  }
  const rank = byGlobal ?? fallback;
  if (rank === undefined)
    throw badArgument(op, `neither ${names[0]} nor ${names[1]} is given`, 'give one of them');
  const index = group.ranks.indexOf(rank);
  if (index < 0) {
    // The name of a mesh axis's group has its ranks in it already.
    const ranks = `(ranks ${group.ranks.join(', ')})`;
    const name = group.name.endsWith(ranks) ? group.name : `${group.name} ${ranks}`;
    throw badArgument(op, `rank ${rank} is not in group ${name}`);
  }
  return index;
}

export function badArgument(op: string, problem: string, help?: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_BAD_ARGUMENT',
    message: `Cannot run "${op}": ${problem}`,
    ...(help === undefined ? {} : { help }),
  });
}

export function sameTensor(op: string, a: CommTensor, b: CommTensor, what: string): void {
  const same =
    a.dtype.name === b.dtype.name &&
    a.shape.length === b.shape.length &&
    a.shape.every((n, d) => n === b.shape[d]);
  if (!same) throw badArgument(op, `${what} is ${describeTensor(a)}, wanted ${describeTensor(b)}`);
}

export function sameDtype(op: string, a: CommTensor, b: CommTensor): void {
  if (a.dtype.name !== b.dtype.name) {
    throw badArgument(
      op,
      `the output is ${describeTensor(a)} and the input ${describeTensor(b)}: wanted one dtype`,
    );
  }
}

/** What hooks get to know of a call besides its name, group and contribution. */
export interface CallIo {
  /** What it reads; default: `tensors`. */
  inputs?: readonly CommTensor[];
  /** What it writes; default: nothing. */
  outputs?: readonly CommTensor[];
  reduceOp?: ReduceOp;
  /** Position in the group. */
  root?: number;
  /** Bytes to each member. */
  sendBytes?: readonly number[];
  payload?: Uint8Array;
}

export interface Start<T> extends CallIo {
  op: string;
  tensors: readonly CommTensor[];
  /** What must agree besides op and tensor. */
  detail?: string;
  /** What must agree of the tensors; default: shape and dtype of the first. */
  print?: string;
  body: (channel: Channel) => Steps<T>;
}

/** Runs a collective, now or later. */
export function collective<T>(
  group: ProcessGroup,
  start: Start<T>,
  asyncOp: boolean | undefined,
  timeoutMs?: number,
): { op: Op<T>; work: Work | undefined } {
  const first = start.tensors[0];
  const tensor = first === undefined ? undefined : describeTensor(first);
  const call: Call = {
    op: start.op,
    print: `${start.op}|${start.detail ?? ''}|${start.print ?? tensor ?? ''}`,
  };
  if (tensor !== undefined) call.tensor = tensor;
  if (start.detail !== undefined) call.detail = start.detail;
  if (asyncOp) {
    const place = group.transport.callPlace();
    if (place !== undefined) call.place = place;
  }
  const hooked = hookCall((id) =>
    describeCall(id, group, start, {
      op: start.op,
      seq: group.channel.sequence + 1,
      async: asyncOp === true,
      detail: start.detail,
    }),
  );
  if (hooked?.answer) {
    const op = Op.finished(hooked.answer.result as T, { op: start.op, group: group.name });
    return { op, work: settle(hooked, op as Op, group, asyncOp, start.outputs) };
  }
  const op = group.transport.collective(group.channel, call, start.body, timeoutMs);
  hooked?.follow(op as Op);
  return { op, work: settle(hooked, op as Op, group, asyncOp, start.outputs) };
}

/** Waits for the operation, or hands out its `Work`. */
export function settle(
  hooked: HookedCall | undefined,
  op: Op,
  group: ProcessGroup,
  asyncOp: boolean | undefined,
  outputs: readonly CommTensor[] = [],
): Work | undefined {
  if (hooked?.answer) {
    hooked.call.result = op.result;
    hooked.done();
  }
  if (asyncOp) return new Work(op, group.transport, hooked && (() => hooked.waited()), outputs);
  group.transport.wait(op);
  hooked?.waited();
  return undefined;
}

/** A call as hooks see it. */
export function describeCall(
  id: number,
  group: ProcessGroup,
  { tensors, ...io }: CallIo & { tensors: readonly CommTensor[] },
  about: { op: string; seq: number; async: boolean; detail: string | undefined; peer?: number; tag?: number },
): CommCall {
  const bytes = tensors.reduce((sum, t) => sum + byteLength(t), io.payload?.length ?? 0);
  return {
    id,
    rank: group.transport.rank,
    op: about.op,
    group: group.name,
    groupRanks: group.ranks,
    seq: about.seq,
    shapes: tensors.map((t) => [...t.shape]),
    dtype: tensors[0]?.dtype.name,
    bytes,
    async: about.async,
    inputs: io.inputs ?? tensors,
    outputs: io.outputs ?? [],
    reduceOp: io.reduceOp,
    root: io.root === undefined ? undefined : group.ranks[io.root],
    peer: about.peer,
    tag: about.tag,
    sendBytes: io.sendBytes,
    payload: io.payload,
    detail: about.detail,
    stream: currentStream(),
    place: () => group.transport.callPlace(),
    result: undefined,
  };
}
