/**
 * A group's place in shared memory, seen from one member.
 *
 * Every collective is a sequence of rounds: write into the own staging area, `sync()`, read the others'. The area has two halves
 * that take turns, so one barrier per round is enough: who writes a half again has passed the barrier after which all had
 * read it. The first barrier of a call also compares the members' fingerprints of the call. A call begins in the small area of
 * its group; once all members know how much there is to move, `reserve()` takes it to a large one.
 *
 * [Note: epochs] A failed call leaves members at different barriers. The group then starts a new epoch: counters go back to zero,
 * members of the old epoch who meet a member of the new one fail with its cause, and everybody is in the newest epoch at the
 * next cell.
 */
import { type DTypeName, ShardbookError } from '../../base/index.js';
import { Cell, Kind, Slot, SMALL_BYTES } from './layout.js';
import { Op, type Steps } from './op.js';
import { reduceInto, type SharedKind } from './reducer.js';
import { type CallInfo, peerCode } from './report.js';
import { type Area, largeHalfBytes, type StagingPool } from './staging.js';
import type { Table } from './table.js';

/** What a call must have in common on every member, and how a report names it. */
export interface Call extends Omit<CallInfo, 'group'> {
  /** Equal on all members, or the call is refused on all of them. */
  print: string;
}

export class Channel {
  readonly size: number;
  /** This rank's position in the group. */
  readonly me: number;
  readonly queue: Op[] = [];
  /** This rank has left the group. */
  isClosed = false;
  #epoch = 0;
  #arrived = 0;
  #issued = 0;
  /** Sequence number of the call at the head of the queue. */
  #running = 0;
  #op = '';
  #unchecked: Call | undefined;
  #small: Area | undefined;
  #large: Area | undefined;
  /** Whether the call that runs has reserved a large area. */
  #isLarge = false;
  /** The members' areas as far as they are known, small and large. */
  readonly #smallAt: number[];
  readonly #largeAt: number[];

  constructor(
    readonly table: Table,
    private readonly pool: StagingPool,
    readonly id: number,
    readonly name: string,
    /** Global ranks in group order. */
    readonly ranks: readonly number[],
    private readonly place: () => string | undefined,
    public timeoutMs: number | undefined,
  ) {
    this.size = ranks.length;
    this.me = ranks.indexOf(pool.rank);
    this.#smallAt = ranks.map(() => -1);
    this.#largeAt = ranks.map(() => -1);
    // A rank that left the group and joins it again goes on counting where it was, as the other members do.
    this.#epoch = this.#load(this.me, Cell.epoch);
    if (this.isStale) this.adoptEpoch();
    else {
      this.#arrived = this.#load(this.me, Cell.arrived);
      this.#issued = this.#load(this.me, Cell.issued);
    }
  }

  get sequence(): number {
    return this.#issued;
  }

  /** Puts a collective in the queue; it starts when the earlier ones of this group are done. */
  issue<T>(
    call: Call,
    body: (channel: Channel) => Steps<T>,
    info: CallInfo,
    timeoutMs: number | undefined,
  ): Op<T> {
    const seq = ++this.#issued;
    this.#store(Cell.issued, seq);
    const target = () => ({
      kind: Kind.collective,
      group: this.id,
      barrier: this.#arrived,
      seq,
      peer: -1,
      tag: 0,
    });
    const op = new Op<T>(this.#run(seq, call, body), info, target, timeoutMs);
    this.queue.push(op as Op);
    return op;
  }

  /** The call that runs, for error texts: "allReduce #3 of group world". */
  get runningCall(): string {
    return `${this.#op} #${this.#running} of group ${this.name}`;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Bytes that a member can stage in one round. */
  get chunkBytes(): number {
    return this.#isLarge ? this.table.memory.chunkBytes : SMALL_BYTES;
  }

  /** Takes the call to a large area if it has more than `bytes` to stage at once; all members say the same. */
  reserve(bytes: number): void {
    if (this.#isLarge || bytes <= SMALL_BYTES) return;
    this.#large = this.pool.lease(this, 'large', this.#large);
    this.#store(Cell.large + (this.#running & 1), 1 + this.#large.at / 64);
    this.#largeAt.fill(-1);
    this.#isLarge = true;
  }

  /** The own half for the coming round. */
  stage(): Uint8Array {
    return this.#half(this.me, this.#arrived + 1, false);
  }

  /** What member `index` wrote for the round that the last `sync()` ended. */
  peer(index: number): Uint8Array {
    return this.#half(index, this.#arrived, false);
  }

  /** A place of its own beside each half of a large area, for what a member makes of a round; read one round later. */
  result(index: number, roundsAgo: 0 | 1): Uint8Array {
    return this.#half(index, this.#arrived - roundsAgo, true);
  }

  /** Memory of this rank alone, as large as a small half. */
  scratch(): Uint8Array {
    return this.pool.scratch();
  }

  /** Reduces what lies in the arena into `out` in the arena; false if there is no kernel for it. */
  reduceInto(out: Uint8Array, sources: readonly Uint8Array[], dtype: DTypeName, kind: SharedKind): boolean {
    return reduceInto(this.table.memory.arena, out, sources, dtype, kind);
  }

  *sync(): Steps<void> {
    const barrier = ++this.#arrived;
    this.#store(Cell.arrived, barrier);
    let first = this.#firstMissing(barrier, 0);
    if (first === this.size) {
      for (let i = 0; i < this.size; i++) if (i !== this.me) this.table.ring(this.ranks[i]!);
    }
    while (first < this.size) {
      this.#refuseNewerEpoch(first);
      yield;
      first = this.#firstMissing(barrier, first);
    }
    if (this.#unchecked !== undefined) {
      const call = this.#unchecked;
      this.#unchecked = undefined;
      if (this.#differs()) yield* this.#refuse(call);
    }
  }

  /** Lets the head of the queue run as far as it can. */
  progress(): void {
    for (;;) {
      const head = this.queue[0];
      if (head === undefined) return;
      head.step();
      if (!head.done) return;
      if (head.failed && !(head.error instanceof RefusedTogether)) {
        this.abandon(head.error);
        return;
      }
      if (head.error instanceof RefusedTogether) head.error = head.error.error;
      this.queue.shift();
    }
  }

  /** Gives up everything under way in this group: the members are not at the same barrier any more. */
  abandon(error: unknown): void {
    const slot = this.table.layout.group(this.id) + Slot.epoch;
    Atomics.compareExchange(this.table.words, slot, this.#epoch, this.#epoch + 1);
    for (const op of this.queue.splice(0)) op.fail(error);
    this.adoptEpoch();
    for (const rank of this.ranks) if (rank !== this.ranks[this.me]) this.table.ring(rank);
  }

  get isStale(): boolean {
    return this.table.groupEpoch(this.id) !== this.#epoch;
  }

  /** Joins the group's newest epoch, with nothing under way. */
  adoptEpoch(): void {
    this.release();
    this.forgetAddresses();
    this.#epoch = this.table.groupEpoch(this.id);
    this.#arrived = 0;
    this.#issued = 0;
    this.#unchecked = undefined;
    this.#store(Cell.issued, 0);
    this.#store(Cell.arrived, 0);
    this.#store(Cell.finished, 0);
    // Last: whoever sees the new epoch sees counters that belong to it.
    this.#store(Cell.epoch, this.#epoch);
  }

  *#run<T>(seq: number, call: Call, body: (channel: Channel) => Steps<T>): Steps<T> {
    this.#running = seq;
    this.#op = call.op;
    this.#unchecked = call;
    this.#isLarge = false;
    if (this.#small === undefined) {
      this.#small = this.pool.lease(this, 'small', undefined);
      this.#store(Cell.small + (this.#epoch & 1), 1 + this.#small.at / 64);
    }
    this.#store(Cell.print + (seq & 1), hash(call.print));
    const epoch = this.#epoch;
    try {
      return yield* body(this);
    } finally {
      // A call that was abandoned belongs to an epoch that is over.
      if (epoch === this.#epoch) {
        this.#store(Cell.finished, this.#arrived);
        if (this.#large?.busy) this.pool.settle(this.#large, this.#arrived);
      }
    }
  }

  /** Gives the staging areas back; they are used again when no member reads them any more. */
  release(): void {
    for (const area of [this.#small, this.#large])
      if (area !== undefined) this.pool.release(area, this, this.#arrived);
    this.#small = undefined;
    this.#large = undefined;
  }

  #differs(): boolean {
    const word = Cell.print + (this.#running & 1);
    const own = this.#load(this.me, word);
    for (let i = 0; i < this.size; i++) if (this.#load(i, word) !== own) return true;
    return false;
  }

  /** All members see the same fingerprints, so all of them come here: exchange what each called, then fail alike. */
  *#refuse(call: Call): Steps<never> {
    const info = { op: call.op, tensor: call.tensor, detail: call.detail, place: call.place ?? this.place() };
    // Members may have been about to move different amounts: all say it in their small areas.
    this.#isLarge = false;
    const bytes = new TextEncoder().encode(JSON.stringify(info)).subarray(0, SMALL_BYTES - 4);
    const stage = this.stage();
    new DataView(stage.buffer, stage.byteOffset).setInt32(0, bytes.length);
    stage.set(bytes, 4);
    yield* this.sync();
    const calls = this.ranks.map((rank, i) => {
      const half = this.peer(i);
      const length = new DataView(half.buffer, half.byteOffset).getInt32(0);
      const said = parseCall(new TextDecoder().decode(half.slice(4, 4 + length)));
      const args = [said.tensor, said.detail].filter((part) => part).join(', ');
      return { rank, op: said.op, text: `${said.op}(${args})`, place: said.place };
    });
    const kinds = [...new Set(calls.map((c) => c.text))];
    const ops = new Set(calls.map((c) => c.op));
    throw new RefusedTogether(
      new ShardbookError({
        code: 'SB_COLLECTIVE_MISMATCH',
        message: `Cannot run collective #${this.#running} of group ${this.name}: its ranks call ${kinds.slice(0, 4).join(' and ')}, wanted the same call`,
        notes: calls.map((c) => `rank ${c.rank}: ${c.text}${c.place === undefined ? '' : ` at ${c.place}`}`),
        help:
          ops.size > 1
            ? 'call collectives in the same order on every rank of the group'
            : 'give every rank of the group the same arguments',
      }),
    );
  }

  #refuseNewerEpoch(index: number): void {
    if (this.#load(index, Cell.epoch) <= this.#epoch) return;
    const rank = this.ranks[index]!;
    const words = this.table.lastWords(rank);
    throw new ShardbookError({
      code: peerCode(words),
      message: `Cannot finish ${this.#op} #${this.#running} of group ${this.name}: it waits for rank ${rank}, which ${words || 'gave up an earlier call of this group'}`,
      help: 'the group works again from its next call, at the latest in the next cell',
    });
  }

  #firstMissing(barrier: number, from: number): number {
    for (let i = from; i < this.size; i++) {
      if (this.#load(i, Cell.epoch) !== this.#epoch || this.#load(i, Cell.arrived) < barrier) return i;
    }
    return this.size;
  }

  #half(index: number, round: number, result: boolean): Uint8Array {
    const { chunkBytes } = this.table.memory;
    const { buffer } = this.table.arena;
    const half = round & 1;
    if (!this.#isLarge) {
      const at = this.#address(this.#smallAt, index, Cell.small + (this.#epoch & 1));
      return new Uint8Array(buffer, at + half * SMALL_BYTES, SMALL_BYTES);
    }
    const at = this.#address(this.#largeAt, index, Cell.large + (this.#running & 1));
    const from = at + half * largeHalfBytes(chunkBytes);
    return result
      ? new Uint8Array(buffer, from + chunkBytes, chunkBytes / 2)
      : new Uint8Array(buffer, from, chunkBytes);
  }

  #address(known: number[], index: number, word: number): number {
    let at = known[index]!;
    if (at < 0) {
      at = (this.#load(index, word) - 1) * 64;
      known[index] = at;
    }
    return at;
  }

  /** Members take other areas in a new epoch, and when they were restarted. */
  forgetAddresses(): void {
    this.#smallAt.fill(-1);
    this.#largeAt.fill(-1);
  }

  #load(index: number, word: number): number {
    return Atomics.load(this.table.words, this.table.layout.cell(this.id, this.ranks[index]!) + word);
  }

  #store(word: number, value: number): void {
    Atomics.store(this.table.words, this.table.layout.cell(this.id, this.ranks[this.me]!) + word, value);
  }
}

/** A text that was too long for the staging area is cut off. */
function parseCall(text: string): Partial<CallInfo> & { op: string } {
  try {
    return JSON.parse(text) as CallInfo;
  } catch {
    return { op: /^\{"op":"(\w+)"/.exec(text)?.[1] ?? 'another operation' };
  }
}

/** All members refused the same call at the same barrier: the group stays in step. */
export class RefusedTogether extends Error {
  constructor(readonly error: unknown) {
    super('refused together');
  }
}

const hashes = new Map<string, number>();

/** FNV-1a; the prints of a program are few, so they are kept. */
export function hash(text: string): number {
  const known = hashes.get(text);
  if (known !== undefined) return known;
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  if (hashes.size > 10_000) hashes.clear();
  hashes.set(text, h | 0);
  return h | 0;
}
