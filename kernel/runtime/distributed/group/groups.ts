/** Making groups and asking about them. */
import { ShardbookError } from '../../base/index.js';
import type { Steps } from '../transport/index.js';
import {
  badArgument,
  collective,
  describeCall,
  givenGroup,
  memberGroup,
  named,
  type Positional,
  requiredGroup,
} from './args.js';
import { askCarrier } from './events.js';
import {
  countGroups,
  type Group,
  GroupMember,
  NonGroupMember,
  ProcessGroup,
  replaceWorld,
  worldGroup,
} from './process-group.js';

export interface NewGroupOptions {
  /** Milliseconds that its operations wait for others; default: for ever. */
  timeoutMs?: number;
  /** Default true, as in PyTorch 2.13: group ranks follow global ranks. */
  sortRanks?: boolean;
  /** Only the members take part in making the group. */
  useLocalSynchronization?: boolean;
  groupDesc?: string;
  /** Accepted for PyTorch's sake: there is one backend and one device. */
  backend?: string | null;
  pgOptions?: unknown;
  deviceId?: unknown;
}

const GROUP_NAMES = [
  'timeoutMs',
  'backend',
  'pgOptions',
  'useLocalSynchronization',
  'groupDesc',
  'deviceId',
  'sortRanks',
] as const;

/** Makes a group of `ranks` (default: all). Every rank of the world calls it, in the same order, members or not. */
export function newGroup(
  ranks?: readonly number[] | NewGroupOptions | null,
  ...rest: Positional<
    [
      timeoutMs?: number,
      backend?: string,
      pgOptions?: unknown,
      useLocalSynchronization?: boolean,
      groupDesc?: string,
      deviceId?: unknown,
      sortRanks?: boolean,
    ],
    NewGroupOptions
  >
): Group {
  const names = ['ranks', ...GROUP_NAMES] as const;
  const options = named<NewGroupOptions & { ranks?: readonly number[] }>('newGroup', names, [ranks, ...rest]);
  return makeGroup(options.ranks, options);
}

function makeGroup(ranks: readonly number[] | undefined, options: NewGroupOptions): Group {
  checkTimeout('newGroup', options.timeoutMs);
  const world = worldGroup();
  const given = ranks ?? world.ranks;
  checkRanks('newGroup', given, world);
  const members = options.sortRanks === false ? [...given] : [...given].sort((a, b) => a - b);
  const own = world.transport.rank;
  if (options.useLocalSynchronization && !members.includes(own)) return GroupMember.NON_GROUP_MEMBER;
  countGroups(1);
  const id = options.useLocalSynchronization
    ? localId(world, members, 'newGroup')
    : agreeOnId(world, `ranks ${members.join(', ')}`);
  if (!members.includes(own)) return GroupMember.NON_GROUP_MEMBER;
  const name =
    options.groupDesc ??
    (members.length === world.size() ? `${id} (all ranks)` : `${id} (ranks ${members.join(', ')})`);
  return new ProcessGroup(world.transport.join(id, members, name, options.timeoutMs), world.transport);
}

interface SubgroupOption {
  groupSize?: number;
  group?: Group;
}

/** Consecutive groups of `groupSize` of the group's ranks (default: the world's); returns the own one and all of them. */
export function newSubgroups(
  groupSize: number | (NewGroupOptions & SubgroupOption),
  ...rest: Positional<
    [group?: Group, timeoutMs?: number, backend?: string, pgOptions?: unknown, groupDesc?: string],
    NewGroupOptions & SubgroupOption
  >
): [Group, Group[]] {
  const names = ['groupSize', 'group', 'timeoutMs', 'backend', 'pgOptions', 'groupDesc'] as const;
  const {
    group,
    groupSize: size,
    ...options
  } = named<NewGroupOptions & SubgroupOption>('newSubgroups', names, [groupSize, ...rest]);
  const over = group === undefined ? worldGroup() : requiredGroup(group, 'newSubgroups');
  if (size === undefined || !Number.isInteger(size) || size < 1 || over.size() % size !== 0) {
    throw badArgument(
      'newSubgroups',
      `a group size of ${size} does not divide the ${over.size()} ranks of group ${over.name}`,
    );
  }
  const lists = Array.from({ length: over.size() / size }, (_, g) =>
    over.ranks.slice(g * size, (g + 1) * size),
  );
  const [own, groups] = newSubgroupsByEnumeration(lists, options);
  return [own!, groups];
}

/** One group per list of ranks; returns the own one (null if none) and all of them. */
export function newSubgroupsByEnumeration(
  lists: readonly (readonly number[])[],
  ...rest: Positional<
    [timeoutMs?: number, backend?: string, pgOptions?: unknown, groupDesc?: string],
    NewGroupOptions
  >
): [Group | null, Group[]] {
  const op = 'newSubgroupsByEnumeration';
  const options = named<NewGroupOptions>(op, ['timeoutMs', 'backend', 'pgOptions', 'groupDesc'], rest);
  if (!Array.isArray(lists) || lists.length === 0 || !lists.every((ranks) => Array.isArray(ranks))) {
    throw badArgument(op, 'wanted a list of lists of ranks');
  }
  const all = lists.flat();
  const twice = all.find((rank, i) => all.indexOf(rank) !== i);
  if (twice !== undefined) throw badArgument('newSubgroupsByEnumeration', `rank ${twice} is in two groups`);
  const world = worldGroup();
  for (const ranks of lists) checkRanks('newSubgroupsByEnumeration', ranks, world);
  const groups = lists.map((ranks) => makeGroup(ranks, options));
  return [groups.find((group) => group instanceof ProcessGroup) ?? null, groups];
}

/** Cuts `parent` into the given lists of its group ranks; returns the own part, or null. Only its members call it. */
export function splitGroup(
  parent: Group | SplitOptions | null | undefined,
  splitRanks?: readonly (readonly number[])[] | SplitOptions | null,
  ...rest: Positional<
    [timeoutMs?: number, pgOptions?: unknown, groupDesc?: string, backend?: string],
    SplitOptions
  >
): Group | null {
  const names = ['parentPg', 'splitRanks', 'timeoutMs', 'pgOptions', 'groupDesc', 'backend'] as const;
  const options = named<SplitOptions>('splitGroup', names, [parent, splitRanks, ...rest]);
  checkTimeout('splitGroup', options.timeoutMs);
  const group = memberGroup(options.parentPg);
  if (group === undefined) return null;
  const parts = options.splitRanks;
  if (
    !Array.isArray(parts) ||
    parts.length === 0 ||
    !parts.every((part) => Array.isArray(part) && part.length > 0)
  ) {
    throw badArgument('splitGroup', 'wanted a list of lists of group ranks, none of them empty');
  }
  return splitInto(group, parts, options);
}

interface SplitOptions extends NewGroupOptions {
  parentPg?: Group;
  splitRanks?: readonly (readonly number[])[];
}

function splitInto(
  group: ProcessGroup,
  splitRanks: readonly (readonly number[])[],
  options: NewGroupOptions,
): Group | null {
  const all = splitRanks.flat();
  for (const rank of all) getGlobalRank(group, rank);
  if (new Set(all).size !== all.length) throw badArgument('splitGroup', 'a rank is in two parts');
  const own = splitRanks.find((part) => part.includes(group.rank()));
  const ids = splitRanks.map((part) => agreeOnId(group, `part ${part.join(', ')}`));
  countGroups(1);
  if (own === undefined) return null;
  const id = ids[splitRanks.indexOf(own)]!;
  const members = own.map((rank) => group.ranks[rank]!).sort((a, b) => a - b);
  const name = options.groupDesc ?? `${id} (ranks ${members.join(', ')})`;
  const timeoutMs = options.timeoutMs ?? group.channel.timeoutMs;
  return new ProcessGroup(group.transport.join(id, members, name, timeoutMs), group.transport);
}

/** Flags of `shrinkGroup`. */
export const SHRINK_DEFAULT = 0;
/** Gives up what is under way in the group first. */
export const SHRINK_ABORT = 1;

export interface ShrinkOptions {
  group?: Group;
  shrinkFlags?: number;
  pgOptions?: unknown;
}

/**
 * The group without some of its members (group ranks), which need not take part; the old group is destroyed. Shrinking the
 * world destroys every other group, and the new group is the world from then on.
 */
export function shrinkGroup(
  ranksToExclude: readonly number[],
  ...rest: Positional<[group?: Group, shrinkFlags?: number, pgOptions?: unknown], ShrinkOptions>
): ProcessGroup {
  const op = 'shrinkGroup';
  const options = named<ShrinkOptions>(op, ['group', 'shrinkFlags', 'pgOptions'], rest);
  if (!Array.isArray(ranksToExclude) || ranksToExclude.length === 0) {
    throw badArgument(op, 'wanted a list of at least one rank to exclude');
  }
  const flags = options.shrinkFlags ?? SHRINK_DEFAULT;
  if (flags !== SHRINK_DEFAULT && flags !== SHRINK_ABORT) {
    throw badArgument(op, `shrinkFlags ${flags} is neither SHRINK_DEFAULT nor SHRINK_ABORT`);
  }
  const group = requiredGroup(options.group, op);
  if (group.size() < 2) throw badArgument(op, `group ${group.name} has one member only`);
  const excluded = new Set<number>();
  for (const rank of ranksToExclude) {
    if (!Number.isInteger(rank) || rank < 0 || rank >= group.size()) {
      throw badArgument(op, `group ${group.name} has no rank ${rank}: wanted 0 to ${group.size() - 1}`);
    }
    if (excluded.has(rank)) throw badArgument(op, `rank ${rank} is given twice`);
    excluded.add(rank);
  }
  if (excluded.size === group.size()) throw badArgument(op, 'every rank is excluded, and one must remain');
  if (excluded.has(group.rank())) {
    throw badArgument(op, `this is rank ${group.rank()}, which is excluded`, 'only those who remain call it');
  }
  const remaining = group.ranks.filter((_, i) => !excluded.has(i));
  const id = localId(group, remaining, op);
  const { transport, channel } = group;
  const isWorld = group === worldGroup();
  if (flags === SHRINK_ABORT && channel.queue.length > 0) channel.abandon(abortedError(group));
  if (isWorld) transport.leaveAll();
  else transport.leave(channel);
  const name = isWorld ? 'world (shrunk)' : `${group.name} (shrunk)`;
  const shrunk = new ProcessGroup(transport.join(id, remaining, name, channel.timeoutMs), transport);
  countGroups(1);
  if (isWorld) replaceWorld(shrunk);
  return shrunk;
}

function abortedError(group: ProcessGroup): ShardbookError {
  return new ShardbookError({
    code: 'SB_PEER_FAILED',
    message: `Cannot finish a call of group ${group.name}: the group was shrunk meanwhile`,
  });
}

/** This rank's position in the group; -1 for a non-member. */
export function getRank(group?: Group | null): number {
  return memberGroup(group)?.rank() ?? -1;
}

/** Members of the group; -1 for a non-member. */
export function getWorldSize(group?: Group | null): number {
  return memberGroup(group)?.size() ?? -1;
}

/** The world's ranks that are members, in the order of their ranks in the group. */
export function getProcessGroupRanks(group?: Group | null): number[] {
  return [...requiredGroup(group, 'getProcessGroupRanks').ranks];
}

/** Position of a global rank in the group. */
export function getGroupRank(group: Group | null | undefined, globalRank: number): number {
  const found = givenGroup(group, 'getGroupRank');
  const index = found.ranks.indexOf(globalRank);
  if (index < 0) throw badArgument('getGroupRank', `rank ${globalRank} is not in group ${found.name}`);
  return index;
}

/** Global rank at a position of the group. */
export function getGlobalRank(group: Group | null | undefined, groupRank: number): number {
  const found = givenGroup(group, 'getGlobalRank');
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
  requiredGroup(group, 'getBackend');
  return 'shm';
}

function checkTimeout(op: string, timeoutMs: number | undefined): void {
  if (timeoutMs !== undefined && !(timeoutMs >= 0)) {
    throw badArgument(op, `a timeout of ${timeoutMs} ms is not possible`, 'give milliseconds from 0');
  }
}

function checkRanks(op: string, ranks: readonly number[], world: ProcessGroup): void {
  if (!Array.isArray(ranks)) throw badArgument(op, 'the ranks are no list');
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

/** Members agree over messages of a group that they are all in, since no group of theirs exists yet. */
function localId(over: ProcessGroup, members: readonly number[], op: string): number {
  const { transport, channel } = over;
  const bytes = new Uint8Array(4);
  const view = new DataView(bytes.buffer);
  const call = {
    op,
    print: `${op}|${members.join(',')}`,
    detail: `ranks ${members.join(', ')}`,
  };
  const carried = askCarrier((id) => ({
    ...describeCall(id, over, { tensors: [] }, { op: 'newGroup', seq: 0, async: false, detail: call.detail }),
    groupRanks: members,
  }));
  if (carried !== undefined) return carried.result as number;
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
