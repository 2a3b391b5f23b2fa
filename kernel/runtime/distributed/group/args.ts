/** Arguments that many calls share: the group, the root, refusals. Everything here throws before any rank waits. */
import { ShardbookError } from '../../base/index.js';
import type { Call, Channel, Op, Steps } from '../transport/index.js';
import { emitComm } from './events.js';
import { type Group, NonGroupMember, ProcessGroup, Work, worldGroup } from './process-group.js';
import { byteLength, type CommTensor, describeTensor } from './tensors.js';

export interface GroupOption {
  group?: Group | null;
}

export interface AsyncOption extends GroupOption {
  /** Returns a `Work` at once instead of waiting. */
  asyncOp?: boolean;
}

/** The group to use; undefined when this rank is not a member of it. */
export function memberGroup(group: Group | null | undefined): ProcessGroup | undefined {
  if (group === undefined || group === null) return worldGroup();
  if (group instanceof NonGroupMember) return undefined;
  if (group instanceof ProcessGroup) return group;
  throw new ShardbookError({
    code: 'SB_NOT_A_GROUP',
    message: `Cannot use ${typeof group} as a process group: wanted what dist.newGroup() returned`,
  });
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
  if (index < 0)
    throw badArgument(op, `rank ${rank} is not in group ${group.name} (ranks ${group.ranks.join(', ')})`);
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

export interface Start<T> {
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
  const op = group.transport.collective(group.channel, call, start.body);
  announce(group, start.op, group.channel.sequence, start.tensors, asyncOp === true);
  if (asyncOp) return { op, work: new Work(op as Op, group.transport) };
  group.transport.wait(op);
  return { op, work: undefined };
}

export function announce(
  group: ProcessGroup,
  op: string,
  seq: number,
  tensors: readonly CommTensor[],
  async: boolean,
): void {
  emitComm(() => ({
    rank: group.transport.rank,
    op,
    group: group.name,
    groupRanks: group.ranks,
    seq,
    shapes: tensors.map((t) => t.shape),
    dtype: tensors[0]?.dtype.name,
    bytes: tensors.reduce((sum, t) => sum + byteLength(t), 0),
    async,
  }));
}
