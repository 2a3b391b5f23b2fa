/**
 * One rank's end of the shared memory: runs what is under way, sleeps when nothing moves, and finds deadlocks.
 *
 * [Note: deadlock] Who falls asleep looks at the table. If it and others are stuck (see detect.ts) it convicts them: it writes the
 * incident into its row and rings the stuck ranks. Each of them, still inside its blocked call, describes that call with its
 * caller's line; the finder writes the report and all fail with it. Nothing of this is paid for while all goes well. A rank
 * that is only late (idle, its cell not begun yet) gets a moment of grace.
 */
import { runThen, ShardbookError } from '../../base/index.js';
import { type Call, Channel, hash } from './channel.js';
import { findStuck, missingMembers, type Stuck } from './detect.js';
import { Global, GROUPS_MAX, Kind, Row, readMask, Slot, State, setMask, type WorldMemory } from './layout.js';
import { type MessageKey, Outbox } from './messages.js';
import { Op, type Steps } from './op.js';
import { type CallInfo, list, stuckError } from './report.js';
import { StagingPool } from './staging.js';
import { Table } from './table.js';
import { callerPlace } from './where.js';

const GRACE_MS = 30;
/** The same while a rank that is about to fall asleep only lacks a core to do so. */
const BUSY_GRACE_MS = 500;
/** Several find the same deadlock at once: who does not get to speak looks again. */
const AGAIN_MS = 2;
/** How long convicted ranks wait for each other's words on a busy machine; one that is stopped meanwhile is not waited for. */
const DESCRIBE_MS = 10_000;
/** Where every rank has a core, a short wait ends sooner than a sleep would. */
const SPIN_MS = 0.05;

export class Transport {
  readonly worldSize: number;
  readonly #table: Table;
  readonly #outbox: Outbox;
  readonly #pool: StagingPool;
  readonly #channels = new Map<number, Channel>();
  #messages: Op[] = [];

  constructor(
    memory: WorldMemory,
    readonly rank: number,
  ) {
    this.#table = new Table(memory);
    this.#outbox = new Outbox(this.#table, rank);
    this.#pool = new StagingPool(this.#table, rank);
    this.worldSize = memory.worldSize;
    this.#outbox.reset();
  }

  /** Said at the start of each cell or program: this rank may come to collectives, and every group is in its newest epoch. */
  beginWork(): void {
    for (const channel of this.#channels.values()) {
      channel.forgetAddresses();
      if (channel.isStale) channel.abandon(cutOffError());
    }
    this.#table.setLastWords(this.rank, '');
    this.#table.set(this.rank, Row.inCall, 0);
    this.#table.setState(this.rank, State.running);
  }

  /** Said at the end: what is under way is finished as far as others take part; then this rank will not come any more. */
  endWork(error?: unknown): void {
    if (error === undefined) {
      this.#flush();
      this.#table.setLastWords(this.rank, '');
    } else this.#table.setLastWords(this.rank, `failed with ${headline(error)}`);
    this.#table.setState(this.rank, State.idle);
    this.#table.ringAll(this.rank);
  }

  /** After the rank's code was stopped anywhere, also in the middle of a call: everything under way is void. */
  afterInterrupt(): void {
    this.#table.setLastWords(this.rank, 'was interrupted');
    this.#messages = [];
    this.#outbox.reset();
    for (const channel of this.#channels.values()) channel.abandon(cutOffError());
  }

  /** A group id that no other group has: one member takes it and tells the others. */
  takeGroupId(): number {
    return this.#table.takeGroup();
  }

  /** Joins group `id`. All members give the same id and ranks. */
  join(id: number, ranks: readonly number[], name: string, timeoutMs?: number): Channel {
    if (id >= GROUPS_MAX) {
      throw new ShardbookError({
        code: 'SB_TOO_MANY_GROUPS',
        message: `Cannot make another process group: this world has ${GROUPS_MAX}, the most it can`,
        help: 'make groups once and keep them, or end those that are not needed with destroyProcessGroup',
      });
    }
    setMask(this.#table.words, this.#table.layout.group(id) + Slot.membersLow, ranks);
    const place = () => this.#place();
    const channel = new Channel(this.#table, this.#pool, id, name, ranks, place, timeoutMs);
    this.#channels.set(id, channel);
    return channel;
  }

  leave(channel: Channel): void {
    if (channel.queue.length > 0) channel.abandon(cutOffError());
    channel.release();
    channel.isClosed = true;
    this.#channels.delete(channel.id);
    if (channel.id === 0) return;
    const left = Atomics.add(this.#table.words, this.#table.layout.group(channel.id) + Slot.left, 1) + 1;
    if (left === channel.size) this.#table.freeGroup(channel.id);
  }

  /** Starts a collective of the channel's group. */
  collective<T>(
    channel: Channel,
    call: Call,
    body: (channel: Channel) => Steps<T>,
    timeoutMs = channel.timeoutMs,
  ): Op<T> {
    const { print: _, ...info } = call;
    const op = channel.issue(call, body, { ...info, group: channel.name }, timeoutMs);
    this.progress();
    return op;
  }

  isend(channel: Channel, to: number, tag: number, data: Uint8Array, call: Call): Op<void> {
    const key = this.#messageKey(channel, tag, call);
    return this.#message(channel, Kind.send, to, tag, this.#outbox.send(to, data, key), call);
  }

  /** Without `from`: from any member that sends with this tag. The result is the sender. */
  irecv(
    channel: Channel,
    from: number | undefined,
    tag: number,
    out: Uint8Array,
    call: Call,
    arrived?: () => void,
  ): Op<number> {
    const key = this.#messageKey(channel, tag, call);
    const sources = from === undefined ? channel.ranks.filter((rank) => rank !== this.rank) : [from];
    const kind = from === undefined ? Kind.recvAny : Kind.recv;
    const receive = this.#outbox.receive(sources, out, key);
    const steps = arrived === undefined ? receive : followed(receive, arrived);
    return this.#message(channel, kind, from ?? -1, tag, steps, call);
  }

  /** Waits for keys of the store, as part of the wait table: what nobody can set any more is a deadlock. */
  waitForKeys(keys: readonly string[], ready: () => boolean): void {
    function* steps(): Steps<void> {
      while (!ready()) yield;
    }
    const info = {
      op: 'store.wait',
      group: 'world',
      detail: `keys ${keys.map((key) => `"${key}"`).join(', ')}`,
    };
    const target = () => ({ kind: Kind.store, group: 0, barrier: 0, seq: 0, peer: -1, tag: 0 });
    const op = new Op<void>(steps(), info, target, undefined);
    let isCounted = false;
    const wait = (): void => {
      // Counted before the first look, so that who sets a key either is seen to have set it or sees that somebody waits.
      Atomics.add(this.#table.words, Global.keyWaiters, 1);
      isCounted = true;
      op.step();
      this.#messages.push(op as Op);
      this.wait(op);
    };
    runThen(wait, () => {
      if (isCounted) Atomics.sub(this.#table.words, Global.keyWaiters, 1);
      isCounted = false;
    });
  }

  /** The store has changed. */
  keysChanged(): void {
    if (Atomics.load(this.#table.words, Global.keyWaiters) > 0) this.#table.ringAll(this.rank);
  }

  /** Ends every group of this rank. */
  leaveAll(): void {
    for (const channel of [...this.#channels.values()]) this.leave(channel);
  }

  /** Lets everything under way go as far as it can, without waiting. */
  progress(): void {
    for (const channel of this.#channels.values()) channel.progress();
    if (this.#messages.length === 0) return;
    for (const op of this.#messages) op.step();
    this.#messages = this.#messages.filter((op) => !op.done);
  }

  /** Waits until the operation is done; returns its result or throws what failed it. */
  wait<T>(
    op: Op<T>,
    timeoutMs: number | undefined = op.timeoutMs,
    timedOut: (missing: readonly number[]) => unknown = (missing) =>
      timeoutError(op as Op, timeoutMs!, missing),
  ): T {
    const row = this.#table.layout.row(this.rank);
    const { words } = this.#table;
    const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
    // A verdict on an operation that timed out before it was heard.
    this.#table.set(this.rank, Row.verdict, 0);
    this.#table.set(this.rank, Row.inCall, 1);
    for (;;) {
      const bell = Atomics.load(words, row + Row.bell);
      this.progress();
      if (op.done) break;
      if (this.#table.memory.spin && spinFor(words, row + Row.bell, bell)) continue;
      const now = performance.now();
      if (now >= deadline) {
        this.#fail(op as Op, timedOut(this.#missing(op as Op)));
        break;
      }
      this.#fallAsleep(op as Op, bell);
      this.#sleep(bell, deadline);
      this.#table.setState(this.rank, State.running);
      const verdict = this.#table.get(this.rank, Row.verdict);
      if (verdict > 0) {
        this.#fail(op as Op, this.#hear(op as Op, verdict - 1));
        this.#table.set(this.rank, Row.verdict, 0);
      }
    }
    this.#table.set(this.rank, Row.inCall, 0);
    if (op.failed) throw op.error;
    return op.result as T;
  }

  /** Until the bell rings or the deadline has passed. While it looks again and again, the rank counts as asleep. */
  #sleep(bell: number, deadline: number): void {
    const bellWord = this.#table.layout.row(this.rank) + Row.bell;
    let since = 0;
    for (;;) {
      const now = performance.now();
      let sleepMs = Math.max(0, deadline - now);
      const stuck = this.#look();
      if (stuck !== undefined) {
        if (since === 0) since = now;
        const graceMs = since + this.#graceMs(stuck) - now;
        if (graceMs > 0) sleepMs = Math.min(sleepMs, graceMs + 0.1, GRACE_MS);
        else if (!this.#convict(stuck)) sleepMs = Math.min(sleepMs, AGAIN_MS + this.rank / 8);
      } else {
        since = 0;
      }
      const woken = Atomics.wait(this.#table.words, bellWord, bell, sleepMs);
      if (woken !== 'timed-out' || performance.now() >= deadline) return;
    }
  }

  #messageKey(channel: Channel, tag: number, call: Call): MessageKey {
    const describe = () => {
      const args = [call.tensor, call.detail, tag === 0 ? undefined : `tag ${tag}`].filter((part) => part);
      const place = call.place ?? this.#place();
      return `${call.op}(${args.join(', ')}) of group ${channel.name}${place === undefined ? '' : ` at ${place}`}`;
    };
    return { group: channel.id, tag, print: hash(call.print), tensor: call.tensor ?? '', describe };
  }

  #message<T>(channel: Channel, kind: number, peer: number, tag: number, steps: Steps<T>, call: Call): Op<T> {
    const { print: _, ...info } = call;
    const target = () => ({ kind, group: channel.id, barrier: 0, seq: 0, peer, tag });
    const op = new Op<T>(steps, { ...info, group: channel.name }, target, channel.timeoutMs);
    op.step();
    if (!op.done) this.#messages.push(op as Op);
    return op;
  }

  #flush(): void {
    const all = [...this.#channels.values()].flatMap((channel) => [...channel.queue]);
    for (const op of all) {
      try {
        this.wait(op);
      } catch {
        // Nobody waits for this operation any more; those who do elsewhere are told by the table.
      }
    }
  }

  #fallAsleep(op: Op, bell: number): void {
    const target = op.target();
    const table = this.#table;
    table.set(this.rank, Row.kind, target.kind);
    table.set(this.rank, Row.group, target.group);
    table.set(this.rank, Row.barrier, target.barrier);
    table.set(this.rank, Row.seq, target.seq);
    table.set(this.rank, Row.peer, target.peer);
    table.set(this.rank, Row.tag, target.tag);
    table.set(this.rank, Row.bellAsleep, bell);
    table.setState(this.rank, State.asleep);
  }

  /** Cheap when those waited for run, as they mostly do. */
  #look(): Stuck | undefined {
    const table = this.#table;
    const kind = table.get(this.rank, Row.kind);
    const group = table.get(this.rank, Row.group);
    const runs = (rank: number) => {
      if (table.get(rank, Row.state) !== State.asleep) return table.get(rank, Row.state) === State.running;
      return table.get(rank, Row.bell) !== table.get(rank, Row.bellAsleep);
    };
    if (kind === Kind.collective) {
      const members = this.#channels.get(group)?.ranks ?? [];
      if (missingMembers(table, group, table.get(this.rank, Row.barrier), this.rank, members).every(runs))
        return undefined;
    } else if (kind !== Kind.recvAny && kind !== Kind.store && runs(table.get(this.rank, Row.peer)))
      return undefined;
    return findStuck(table, this.rank);
  }

  /** An idle rank may be about to begin its cell; a running member may be about to join those who are stuck. */
  #graceMs({ stuck, absent }: Stuck): number {
    const table = this.#table;
    const involved = new Set(stuck.flatMap((rank) => table.members(table.get(rank, Row.group))));
    const running = [...involved].filter(
      (rank) => !stuck.includes(rank) && table.get(rank, Row.state) === State.running,
    );
    if (running.some((rank) => table.get(rank, Row.inCall) === 1)) return BUSY_GRACE_MS;
    const mayCome = running.length > 0 || absent.some((rank) => table.get(rank, Row.state) === State.idle);
    return mayCome ? GRACE_MS : 0;
  }

  #convict({ stuck, absent }: Stuck): boolean {
    const table = this.#table;
    // Several ranks may find the same deadlock at once; who becomes the judge speaks for all, and the others look again.
    if (Atomics.compareExchange(table.words, Global.judge, 0, 1 + this.rank) !== 0) return false;
    try {
      const again = findStuck(table, this.rank);
      if (again === undefined || again.stuck.join() !== stuck.join()) return false;
      // Those who have heard a verdict are awake, so whoever has one and sleeps is about to hear it.
      if (stuck.some((rank) => table.get(rank, Row.verdict) > 0)) return false;
      const incident = Atomics.add(table.words, Global.incidents, 1) + 1;
      table.set(this.rank, Row.incident, incident);
      const row = table.layout.row(this.rank);
      setMask(table.words, row + Row.stuckLow, stuck);
      setMask(table.words, row + Row.blamedLow, absent);
      for (const rank of stuck) table.set(rank, Row.verdict, 1 + this.rank);
      for (const rank of stuck) table.ring(rank);
      return true;
    } finally {
      Atomics.store(table.words, Global.judge, 0);
    }
  }

  /** This rank is stuck, by the word of `finder`: say what it waits for, then take the report. */
  #hear(op: Op, finder: number): unknown {
    const table = this.#table;
    const incident = table.get(finder, Row.incident);
    const finderRow = table.layout.row(finder);
    const stuck = readMask(table.words, finderRow + Row.stuckLow);
    const said = (rank: number, word: number): boolean =>
      table.get(rank, word) >= incident ||
      table.get(rank, Row.state) === State.idle ||
      table.get(rank, Row.state) === State.dead;
    const place = op.info.place ?? this.#place();
    table.setDescription(this.rank, JSON.stringify(place === undefined ? op.info : { ...op.info, place }));
    table.set(this.rank, Row.described, incident);
    if (finder === this.rank) {
      this.#until(() => stuck.every((rank) => said(rank, Row.described)), DESCRIBE_MS);
      const error = stuckError(table, stuck, readMask(table.words, finderRow + Row.blamedLow));
      table.setReport(this.rank, JSON.stringify(partsOf(error)));
      table.set(this.rank, Row.reported, incident);
      for (const rank of stuck) table.ring(rank);
      return error;
    }
    table.ring(finder);
    this.#until(() => said(finder, Row.reported), 2 * DESCRIBE_MS);
    if (table.get(finder, Row.reported) !== incident) return stuckError(table, stuck, []);
    try {
      return new ShardbookError(JSON.parse(table.report(finder)) as ReturnType<typeof partsOf>);
    } catch {
      // The report was longer than its place, or the finder already writes its next one: say what the table says.
      return stuckError(table, stuck, []);
    }
  }

  #until(condition: () => boolean, limitMs: number): void {
    const bellWord = this.#table.layout.row(this.rank) + Row.bell;
    const end = performance.now() + limitMs;
    while (performance.now() < end) {
      const bell = Atomics.load(this.#table.words, bellWord);
      if (condition()) return;
      Atomics.wait(this.#table.words, bellWord, bell, 2);
    }
  }

  #fail(op: Op, error: unknown): void {
    this.#table.setLastWords(this.rank, `gave up an earlier call: ${headline(error)}`);
    const channel = this.#channels.get(op.target().group);
    if (op.target().kind === Kind.collective && channel?.queue.includes(op)) channel.abandon(error);
    else op.fail(error);
    this.#messages = this.#messages.filter((message) => !message.done);
  }

  /** Global ranks that the operation waits for. */
  #missing(op: Op): number[] {
    const { kind, group, barrier, peer } = op.target();
    const members = this.#table.members(group);
    if (kind === Kind.collective) return missingMembers(this.#table, group, barrier, this.rank, members);
    return peer >= 0 ? [peer] : members.filter((rank) => rank !== this.rank);
  }

  #place(): string | undefined {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 60;
    const stack = new Error().stack ?? '';
    Error.stackTraceLimit = limit;
    return callerPlace(stack);
  }

  /** The caller's line, for operations that are waited for later. */
  callPlace(): string | undefined {
    return this.#place();
  }
}

function timeoutError(op: Op, timeoutMs: number, missing: readonly number[]): ShardbookError {
  const { kind, seq } = op.target();
  return new ShardbookError({
    code: 'SB_TIMEOUT',
    message: `Cannot finish ${op.info.op}${kind === Kind.collective ? ` #${seq}` : ''} of group ${op.info.group}: ${list(missing, 'rank')} did not come within ${timeoutMs} ms`,
    help: 'give the group a longer timeout, or none',
  });
}

function* followed<T>(steps: Steps<T>, after: () => void): Steps<T> {
  const result = yield* steps;
  after();
  return result;
}

function spinFor(words: Int32Array, index: number, bell: number): boolean {
  const end = performance.now() + SPIN_MS;
  do {
    for (let i = 0; i < 200; i++) if (Atomics.load(words, index) !== bell) return true;
  } while (performance.now() < end);
  return false;
}

function cutOffError(): ShardbookError {
  return new ShardbookError({
    code: 'SB_PEER_FAILED',
    message: 'Cannot finish an operation of an earlier cell: its group has started anew since',
    help: 'wait for asynchronous operations in the cell that starts them',
  });
}

function headline(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('message' in error)) return String(error);
  const { name, message } = error as Error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : name;
  return `${code}: ${String(message).split('\n')[0]}`;
}

function partsOf(error: ShardbookError) {
  const message = error.message.split('\n')[0]!;
  return {
    code: error.code,
    message,
    notes: error.notes,
    ...(error.help === undefined ? {} : { help: error.help }),
  };
}

export type { CallInfo };
