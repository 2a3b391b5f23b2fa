/**
 * The shared memory of a world.
 *
 * `words` is the wait table: a row per rank, a slot per group (a cell per member), an outbox of messages per rank.
 * `text` holds what ranks say about themselves in reports. `arena` holds the bytes in flight, a segment per rank; it is the memory of
 * the reduction kernels too, and pages that nobody touches cost nothing.
 */
import { ShardbookError } from '../../base/index.js';

export interface WorldMemory {
  worldSize: number;
  /** Bytes of one half of a large staging area: the chunk of every large collective. */
  chunkBytes: number;
  /** Whether every rank can have a core of its own, so that a short spin before sleeping pays. */
  spin: boolean;
  words: SharedArrayBuffer;
  text: SharedArrayBuffer;
  arena: WebAssembly.Memory;
  /** Of the arena, for each rank. */
  segmentBytes: number;
  /** Of the rendezvous store; its first word is a lock that holds 1 + its owner's rank. */
  store: SharedArrayBuffer;
}

export interface WorldMemoryOptions {
  worldSize: number;
  /** Of one rank in one group; two halves of it take turns. */
  stagingBytesPerRank?: number;
  /** At most, of one rank's segment of the arena: all transfers that it ever has under way share it. Default 64 MiB. */
  segmentBytesMax?: number;
  /** Cores of the machine, for the choice between spinning and sleeping. */
  cores?: number;
}

const RANKS_MAX = 64;
/** Groups that may exist at once. */
export const GROUPS_MAX = 4096;
/** Bytes of one half of a small staging area: what fits goes without the large one. */
export const SMALL_BYTES = 16 * 1024;
const PAGE = 65_536;
/** The first bytes stay free: the kernels know no address below. */
export const ARENA_START = PAGE;
const ARENA_MAX = 2 ** 30;
const SEGMENT_MAX = 2 ** 26;
/** Messages that one rank may have under way at once; more wait for a free slot. */
export const OUTBOX_SLOTS = 64;
/** Bytes of each of a rank's three texts: what it waits for, its last words, the report it wrote. */
export const TEXT_BYTES = [4096, 4096, 32768] as const;
export const RANK_TEXT_BYTES = TEXT_BYTES[0] + TEXT_BYTES[1] + TEXT_BYTES[2];

/** Words before the first row. */
export const Global = {
  incidents: 1,
  groupsMade: 2,
  groupsFree: 3,
  /** 1 + the rank that is convicting. */
  judge: 4,
  /** Ranks that wait for keys of the store. */
  keyWaiters: 5,
  words: 16,
} as const;

/** A rank's row. */
export const Row = {
  state: 0,
  /** Counts the reasons to look again; a rank sleeps on it. */
  bell: 1,
  /** Changes whenever the state changes: two equal readings mean that nothing happened between. */
  version: 2,
  kind: 3,
  group: 4,
  /** The barrier of the group that a collective waits for. */
  barrier: 5,
  seq: 6,
  peer: 7,
  tag: 8,
  /** 1 + the rank that found a deadlock which this rank is part of. */
  verdict: 9,
  /** The incident for which this rank has described itself. */
  described: 10,
  /** Bytes of its description and of its last words. */
  descriptionBytes: 11,
  lastWordsBytes: 12,
  /** The value of the bell that it fell asleep on. */
  bellAsleep: 13,
  /** Changes when the rank's work is cut off: its messages are void. */
  generation: 14,
  /** The last incident that this rank found: who is stuck, and on account of whom. */
  incident: 15,
  stuckLow: 16,
  stuckHigh: 17,
  blamedLow: 18,
  blamedHigh: 19,
  /** The incident whose report this rank has written. */
  reported: 20,
  reportBytes: 21,
  /** How much of its segment of the arena is taken, in units of 64 bytes. */
  arenaNext: 22,
  /** It is inside a call that waits: if it runs, it is about to fall asleep or to go on. */
  inCall: 23,
  words: 32,
} as const;

export const State = { idle: 0, running: 1, asleep: 2, dead: 3 } as const;
export const Kind = { none: 0, collective: 1, recv: 2, send: 3, recvAny: 4, store: 5 } as const;

/** A group's slot: its epoch, who is in it, then a cell per global rank. Its id is given again when all members have left. */
export const Slot = {
  epoch: 0,
  membersLow: 1,
  membersHigh: 2,
  left: 3,
  /** Counts the groups that have had this id. */
  generation: 4,
  free: 5,
  words: 16,
} as const;
export const Cell = {
  /** Barriers passed in this epoch. */
  arrived: 0,
  epoch: 1,
  /** Collectives called in this epoch. */
  issued: 2,
  /** Hashes of the last two calls, by parity of their sequence number. */
  print: 3,
  /** 1 + its small staging area in the arena in units of 64 bytes, by parity of the epoch. */
  small: 5,
  /** The same of its large area, by parity of the call's sequence number. */
  large: 7,
  /** The last barrier of a call that it has finished: nothing older is being read by it. */
  finished: 9,
  words: 16,
} as const;

/** A message in a rank's outbox. */
export const Post = {
  state: 0,
  to: 1,
  tag: 2,
  group: 3,
  bytes: 4,
  order: 5,
  print: 6,
  written: 7,
  read: 8,
  generation: 9,
  /** 1 + its buffer in the arena, in units of 64 bytes. */
  buffer: 10,
  /** Both sides' tensors as errors write them, for the case that they do not fit. */
  sent: 12,
  wanted: 22,
  words: 32,
} as const;
/** Of such a text; longer ones are cut off. */
export const POST_TEXT_BYTES = 40;
export const PostState = { free: 0, posted: 1, taken: 2, refused: 3 } as const;

export class Layout {
  readonly rows = Global.words;
  readonly groups: number;
  readonly groupWords: number;
  readonly posts: number;
  readonly words: number;

  constructor(readonly worldSize: number) {
    this.groups = this.rows + worldSize * Row.words;
    this.groupWords = Slot.words + worldSize * Cell.words;
    this.posts = this.groups + GROUPS_MAX * this.groupWords;
    this.words = this.posts + worldSize * OUTBOX_SLOTS * Post.words;
  }

  row(rank: number): number {
    return this.rows + rank * Row.words;
  }

  group(id: number): number {
    return this.groups + id * this.groupWords;
  }

  cell(group: number, rank: number): number {
    return this.group(group) + Slot.words + rank * Cell.words;
  }

  post(rank: number, slot: number): number {
    return this.posts + (rank * OUTBOX_SLOTS + slot) * Post.words;
  }
}

/** Makes the memory of a world; structured-cloneable, so that it can be a thread's workerData. */
export function createWorldMemory(options: WorldMemoryOptions): WorldMemory {
  const { worldSize, cores = 1 } = options;
  if (!Number.isInteger(worldSize) || worldSize < 1 || worldSize > RANKS_MAX) {
    throw new ShardbookError({
      code: 'SB_WORLD_SIZE',
      message: `Cannot make the memory of a world of ${worldSize} ranks: wanted a whole number from 1 to ${RANKS_MAX}`,
    });
  }
  const chosen = (options.stagingBytesPerRank ?? defaultStaging(worldSize)) / 2;
  const chunkBytes = Math.max(SMALL_BYTES, Math.floor(chosen / 4096) * 4096);
  const most = Math.min(options.segmentBytesMax ?? SEGMENT_MAX, ARENA_MAX / worldSize);
  const segmentBytes = Math.max(1, Math.floor(most / PAGE)) * PAGE;
  const pages = (ARENA_START + worldSize * segmentBytes) / PAGE;
  const layout = new Layout(worldSize);
  const words = new SharedArrayBuffer(layout.words * 4);
  const view = new Int32Array(words);
  // Group 0 is the world.
  view[Global.groupsMade] = 1;
  setMask(
    view,
    layout.group(0) + Slot.membersLow,
    Array.from({ length: worldSize }, (_, r) => r),
  );
  return {
    worldSize,
    chunkBytes,
    spin: cores >= worldSize,
    words,
    text: new SharedArrayBuffer(worldSize * RANK_TEXT_BYTES),
    store: new SharedArrayBuffer(2 ** 20),
    arena: new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
    segmentBytes,
  };
}

/** Larger chunks mean fewer barriers; many ranks share what is sensible to touch. */
function defaultStaging(worldSize: number): number {
  return worldSize <= 16 ? 2 ** 20 : 2 ** 19;
}

export function setMask(words: Int32Array, at: number, ranks: Iterable<number>): void {
  let low = 0;
  let high = 0;
  for (const rank of ranks) {
    if (rank < 32) low |= 1 << rank;
    else high |= 1 << (rank - 32);
  }
  Atomics.store(words, at, low);
  Atomics.store(words, at + 1, high);
}

export function readMask(words: Int32Array, at: number): number[] {
  const low = Atomics.load(words, at);
  const high = Atomics.load(words, at + 1);
  const ranks: number[] = [];
  for (let rank = 0; rank < RANKS_MAX; rank++) {
    if (((rank < 32 ? low >>> rank : high >>> (rank - 32)) & 1) === 1) ranks.push(rank);
  }
  return ranks;
}
