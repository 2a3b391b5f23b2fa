/** Making groups and asking about them. */
import { ShardbookError } from '../../base/index.js';
import type { Steps } from '../transport/index.js';
import { badArgument, collective, memberGroup } from './args.js';
import { type Group, GroupMember, NonGroupMember, ProcessGroup, worldGroup } from './process-group.js';

export interface NewGroupOptions {
  /** Milliseconds that its operations wait for others; default: for ever. */
  timeoutMs?: number;
  /** Default true, as in PyTorch 2.13: group ranks follow global ranks. */
  sortRanks?: boolean;
  /** Only the members take part in making the group. */
  useLocalSynchronization?: boolean;
  groupDesc?: string;
}

/** Makes a group of `ranks` (default: all). Every rank of the world calls it, in the same order, members or not. */
export function newGroup(ranks?: readonly number[] | null, options: NewGroupOptions = {}): Group {
  const world = worldGroup();
  const given = ranks ?? world.ranks;
  checkRanks('newGroup', given, world);
  const members = options.sortRanks === false ? [...given] : [...given].sort((a, b) => a - b);
  const own = world.transport.rank;
  if (options.useLocalSynchronization && !members.includes(own)) return GroupMember.NON_GROUP_MEMBER;
  const id = options.useLocalSynchronization
    ? localId(world, members)
    : agreeOnId(world, `ranks ${members.join(', ')}`);
  if (!members.includes(own)) return GroupMember.NON_GROUP_MEMBER;
  const name =
    options.groupDesc ??
    (members.length === world.size() ? `${id} (all ranks)` : `${id} (ranks ${members.join(', ')})`);
  return new ProcessGroup(world.transport.join(id, members, name, options.timeoutMs), world.transport);
}

/** Consecutive groups of `size`; returns the own one and all of them. */
export function newSubgroups(size: number, options: NewGroupOptions = {}): [Group, Group[]] {
  const world = worldGroup();
  if (!Number.isInteger(size) || size < 1 || size > world.size() || world.size() % size !== 0) {
    throw badArgument(
      'newSubgroups',
      `a group size of ${size} does not divide the world's ${world.size()} ranks`,
    );
  }
  const lists = Array.from({ length: world.size() / size }, (_, g) =>
    Array.from({ length: size }, (_, i) => g * size + i),
  );
  const [own, groups] = newSubgroupsByEnumeration(lists, options);
  return [own!, groups];
}

/** One group per list of ranks; returns the own one (null if none) and all of them. */
export function newSubgroupsByEnumeration(
  lists: readonly (readonly number[])[],
  options: NewGroupOptions = {},
): [Group | null, Group[]] {
  const all = lists.flat();
  const twice = all.find((rank, i) => all.indexOf(rank) !== i);
  if (twice !== undefined) throw badArgument('newSubgroupsByEnumeration', `rank ${twice} is in two groups`);
  const world = worldGroup();
  for (const ranks of lists) checkRanks('newSubgroupsByEnumeration', ranks, world);
  const groups = lists.map((ranks) => newGroup(ranks, options));
  return [groups.find((group) => group instanceof ProcessGroup) ?? null, groups];
}

/** Cuts `parent` into the given lists of its group ranks; returns the own part, or null. Only its members call it. */
export function splitGroup(
  parent: Group | null | undefined,
  splitRanks: readonly (readonly number[])[],
  options: NewGroupOptions = {},
): Group | null {
  const group = memberGroup(parent);
  if (group === undefined) return null;
  const all = splitRanks.flat();
  if (splitRanks.length === 0) throw badArgument('splitGroup', 'no lists of ranks are given');
  for (const rank of all) getGlobalRank(group, rank);
  if (new Set(all).size !== all.length) throw badArgument('splitGroup', 'a rank is in two parts');
  const own = splitRanks.find((part) => part.includes(group.rank()));
  const ids = splitRanks.map((part) => agreeOnId(group, `part ${part.join(', ')}`));
  if (own === undefined) return null;
  const id = ids[splitRanks.indexOf(own)]!;
  const members = own.map((rank) => group.ranks[rank]!).sort((a, b) => a - b);
  const name = options.groupDesc ?? `${id} (ranks ${members.join(', ')})`;
  const timeoutMs = options.timeoutMs ?? group.channel.timeoutMs;
  return new ProcessGroup(group.transport.join(id, members, name, timeoutMs), group.transport);
}

/** This rank's position in the group; -1 for a non-member. */
export function getRank(group?: Group | null): number {
  return memberGroup(group)?.rank() ?? -1;
}

/** Members of the group; -1 for a non-member. */
export function getWorldSize(group?: Group | null): number {
  return memberGroup(group)?.size() ?? -1;
}

export function getProcessGroupRanks(group?: Group | null): number[] {
  return [...required(group, 'getProcessGroupRanks').ranks];
}

/** Position of a global rank in the group. */
export function getGroupRank(group: Group | null | undefined, globalRank: number): number {
  const found = required(group, 'getGroupRank');
  const index = found.ranks.indexOf(globalRank);
  if (index < 0) throw badArgument('getGroupRank', `rank ${globalRank} is not in group ${found.name}`);
  return index;
}

/** Global rank at a position of the group. */
export function getGlobalRank(group: Group | null | undefined, groupRank: number): number {
  const found = required(group, 'getGlobalRank');
  const rank = found.ranks[groupRank];
  if (rank === undefined)
    throw badArgument(
      'getGlobalRank',
      `group ${found.name} has no rank ${groupRank}: wanted 0 to ${found.size() - 1}`,
    );
  return rank;
}

/** The only backend: shared memory. */
export function getBackend(group?: Group | null): string {
  required(group, 'getBackend');
  return 'shm';
}

function required(group: Group | null | undefined, op: string): ProcessGroup {
  const found = memberGroup(group);
  if (found !== undefined) return found;
  throw new ShardbookError({
    code: 'SB_NOT_MEMBER',
    message: `Cannot run "${op}": this rank is not a member of the group`,
  });
}

function checkRanks(op: string, ranks: readonly number[], world: ProcessGroup): void {
  const bad = ranks.find((rank) => !world.ranks.includes(rank));
  if (bad !== undefined)
    throw badArgument(op, `there is no rank ${bad}: the world has ranks 0 to ${world.size() - 1}`);
  if (new Set(ranks).size !== ranks.length)
    throw badArgument(op, `ranks ${ranks.join(', ')} name a rank twice`);
  if (ranks.length === 0) throw badArgument(op, 'the list of ranks is empty');
}

/** The first member takes an id and the others hear it; differing arguments are refused as in any collective. */
function agreeOnId(group: ProcessGroup, detail: string): number {
  const { transport } = group;
  function* body(channel: ProcessGroup['channel']): Steps<number> {
    const stage = channel.stage();
    if (channel.me === 0) new DataView(stage.buffer, stage.byteOffset).setInt32(0, transport.takeGroupId());
    yield* channel.sync();
    const said = channel.peer(0);
    return new DataView(said.buffer, said.byteOffset).getInt32(0);
  }
  return collective(group, { op: 'newGroup', tensors: [], detail, body }, false).op.result!;
}

/** Members agree over messages of the world group, since no group of theirs exists yet. */
function localId(world: ProcessGroup, members: readonly number[]): number {
  const { transport, channel } = world;
  const bytes = new Uint8Array(4);
  const view = new DataView(bytes.buffer);
  const call = {
    op: 'newGroup',
    print: `newGroup|${members.join(',')}`,
    detail: `ranks ${members.join(', ')}`,
  };
  const tag = 0x7fff_0000;
  if (transport.rank === members[0]) {
    view.setInt32(0, transport.takeGroupId());
    const sends = members.slice(1).map((to) => transport.isend(channel, to, tag, bytes, call));
    for (const op of sends) transport.wait(op);
  } else {
    transport.wait(transport.irecv(channel, members[0], tag, bytes, call));
  }
  return view.getInt32(0);
}

export { GroupMember, NonGroupMember };
