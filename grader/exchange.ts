/**
 * The links between the ranks of one run, on the grader's side: every tensor that goes from rank to rank passes through
 * here, so the counts cannot be forged, and a deadlock is seen the moment it exists.
 *
 * Messages of a pair are matched in order, so without a receive from any rank (`dist` has one, links have none) the values that a
 * program computes do not depend on timing; only whether it gets stuck does. Two schedules are the extremes of what a real `send`
 * may do: return at once (`buffered`), or return only when the receiver has taken the data (`rendezvous`).
 */
import { ExchangeStore, type StoreRecord } from './exchange-store.js';
import { Random } from './random.js';
import {
  byteCount,
  describeTensor,
  isWireTensor,
  LARGEST_BODY,
  type WireCollective,
  type WireStoreCall,
  type WireTensor,
} from './wire.js';

/**
 * `shuffled-N`: buffered or not by message, and answers are held back for a moment, as the seed N says; a program whose
 * result depends on who comes first is caught by several of them.
 */
export type Schedule = 'buffered' | 'rendezvous' | `shuffled-${number}`;

export interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  /** Position of its send among all that ranks began: what a rank sends comes in its own order, after what led to it. */
  readonly begun: number;
}

/** A collective that all its members have come to. */
export interface CollectiveRecord {
  readonly op: string;
  readonly group: string;
  readonly ranks: readonly number[];
  readonly seq: number;
  readonly detail: string | undefined;
  readonly root: number | undefined;
  /** What the first member gave; the others' are equal where the operation wants it. */
  readonly tensors: readonly WireTensor[];
  /** Bytes that each member handed over, as counted here. */
  readonly bytes: readonly number[];
  /** All-to-all: bytes that each member has for each member. */
  readonly sends?: readonly (readonly number[])[];
}

/** What a rank began or waited for, in its own order: what virtual time is computed from. */
export type LogEntry =
  | { readonly kind: 'send' | 'recv'; readonly rank: number; readonly handle: number; message?: number }
  | {
      readonly kind: 'collective';
      readonly rank: number;
      readonly handle: number;
      collective?: CollectiveRecord;
    }
  | { readonly kind: 'wait'; readonly rank: number; readonly handle: number };

export interface Completion {
  readonly handle: number;
  readonly body?: Uint8Array;
  /** Who sent what was received. */
  readonly from?: number;
  /** Lengths of the members' parts of a collective, in the body one after the other. */
  readonly parts?: number[];
  readonly error?: string;
  readonly help?: string;
  readonly code?: string;
  readonly value?: string | number | boolean | string[] | null;
  /** Sends of the rank that are complete as well and that it has not waited for yet. */
  readonly sent?: number[];
}

/** A rank that waits for keys of the store. */
interface KeyWait {
  readonly rank: number;
  readonly handle: number;
  readonly keys: readonly string[];
  /** It gives up by itself, so it is not stuck. */
  readonly timed: boolean;
}

interface Operation {
  readonly kind: 'send' | 'recv';
  readonly rank: number;
  readonly peer: number;
  readonly handle: number;
  readonly tensor: WireTensor;
  readonly body: Uint8Array;
  readonly tag: string;
  readonly begun: number;
  readonly entry: LogEntry & { kind: 'send' | 'recv' };
}

interface Meeting {
  readonly members: readonly number[];
  readonly arrived: Map<number, Arrival>;
}

interface Arrival {
  readonly handle: number;
  readonly call: WireCollective;
  readonly body: Uint8Array;
  readonly entry: LogEntry & { kind: 'collective' };
}

/** A correct program needs far fewer; a program that sends to itself in a loop is stopped here. */
const MOST_MESSAGES = 20_000;
/** A timer cannot be set for longer. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

export class Exchange {
  readonly transfers: Transfer[] = [];
  readonly collectives: CollectiveRecord[] = [];
  /** Collectives of instruments, by their own word: not the program's, but they are counted, and take time, all the same. */
  readonly instruments: CollectiveRecord[] = [];
  /** Of all ranks, each in its own order. */
  readonly log: LogEntry[] = [];
  /** Set when ranks talk nonsense or without end: the run is over. */
  violation: string | undefined;
  /**
   * Set when two sides did not fit each other. Whoever catches the error has learnt from it what the other side gave, which no count
   * has in it: such a run is not right, whatever it returns.
   */
  disagreement: string | undefined;
  private readonly open = new Map<string, Operation>();
  private readonly known = new Set<string>();
  private begun = 0;
  private sends: Operation[] = [];
  private recvs: Operation[] = [];
  private readonly meetings = new Map<string, Meeting>();
  private readonly coins: Random;
  private readonly posted: { rank: number; handle: number; kind: 'send' | 'recv'; peer: number }[] = [];
  private readonly waited = new Set<string>();
  /**
   * What is complete and nobody has waited for. It is handed out at the wait and not before, so that a rank cannot use data
   * without having said that it waits for it.
   */
  private readonly held = new Map<string, Completion>();
  /** Sends among these, by rank. They have no data, so a rank may hear of them early: it need not ask for each on its own. */
  private readonly sent = new Map<number, number[]>();
  private readonly waits = new Map<number, number>();
  private readonly finished = new Set<number>();
  private messages = 0;
  private readonly shared = new ExchangeStore();
  private readonly keyWaits = new Map<string, KeyWait>();

  constructor(
    readonly worldSize: number,
    readonly schedule: Schedule,
    private readonly deliver: (rank: number, completion: Completion) => void,
    /** Whether ranks may use the store: what goes over it is no collective and no message. */
    private readonly storeAllowed = false,
  ) {
    this.coins = new Random(seedOf(schedule) ?? 0);
  }

  post(
    kind: 'send' | 'recv',
    rank: number,
    handle: number,
    peer: number,
    tensor: WireTensor,
    body: Uint8Array,
    tag = '',
  ): void {
    if (this.tooMany() || !this.begins(rank, handle)) return;
    if (!isWireTensor(tensor)) {
      this.violation = `rank ${rank} named a tensor of no kind`;
      return;
    }
    const refusal = kind === 'recv' && peer === -1 ? undefined : this.refusal(kind, rank, peer);
    if (refusal !== undefined) {
      this.complete(rank, { handle, error: refusal });
      return;
    }
    if (kind === 'send' && body.length !== byteCount(tensor)) {
      this.violation = `rank ${rank} sent ${body.length} bytes as ${describeTensor(tensor)}`;
      return;
    }
    const entry: Operation['entry'] = { kind, rank, handle };
    this.log.push(entry);
    const operation: Operation = { kind, rank, peer, handle, tensor, body, tag, entry, begun: this.begun++ };
    this.open.set(key(rank, handle), operation);
    this.posted.push({ rank, handle, kind, peer });
    const others = kind === 'send' ? this.recvs : this.sends;
    const match = others.find((other) =>
      meets(kind === 'send' ? operation : other, kind === 'send' ? other : operation),
    );
    // A buffered send is over for its rank at once; the message still waits for its receiver.
    if (kind === 'send' && this.isBuffered()) this.close(operation, {});
    if (match === undefined) {
      (kind === 'send' ? this.sends : this.recvs).push(operation);
      return;
    }
    others.splice(others.indexOf(match), 1);
    if (kind === 'send') this.match(operation, match);
    else this.match(match, operation);
  }

  /** A member comes to a collective; when all have come, each gets what all brought. */
  meet(rank: number, handle: number, call: WireCollective, body: Uint8Array): void {
    if (this.tooMany() || !this.begins(rank, handle)) return;
    if (!isCall(call)) {
      this.violation = `rank ${rank} named a collective of no kind`;
      return;
    }
    const members = call.ranks;
    const valid =
      members.includes(rank) &&
      members.every((member) => Number.isInteger(member) && member >= 0 && member < this.worldSize);
    if (!valid) {
      this.violation = `rank ${rank} came to a collective of ranks ${String(members)}`;
      return;
    }
    if (ALL_TO_ALL.has(call.op) && !hasItsSizes(body, members.length)) {
      this.violation = `rank ${rank} handed other parts to ${call.op} than it says`;
      return;
    }
    const name = `${call.group}|${members.join()}|${call.seq}`;
    let meeting = this.meetings.get(name);
    if (meeting === undefined) {
      meeting = { members, arrived: new Map() };
      this.meetings.set(name, meeting);
    }
    if (meeting.arrived.has(rank)) {
      this.violation = `rank ${rank} came to ${call.op} #${call.seq} twice`;
      return;
    }
    const entry: Arrival['entry'] = { kind: 'collective', rank, handle };
    this.log.push(entry);
    meeting.arrived.set(rank, { handle, call, body, entry });
    if (meeting.arrived.size < members.length) return;
    this.meetings.delete(name);
    this.conclude(meeting);
  }

  /** A question to the store. */
  store(rank: number, handle: number, call: WireStoreCall): void {
    if (this.tooMany() || !this.begins(rank, handle)) return;
    if (typeof call !== 'object' || call === null || !ExchangeStore.valid(call)) {
      this.violation = `rank ${rank} asked the store for nonsense`;
      return;
    }
    if (!this.storeAllowed) {
      const error = 'Cannot use the store: this exercise is solved with collectives and messages alone';
      this.complete(rank, { handle, error, code: 'SB_GRADER_STORE' });
      return;
    }
    if (call.op === 'wait') {
      this.waitForKeys(rank, handle, call);
      return;
    }
    this.complete(rank, { handle, ...this.shared.run(rank, call) });
    for (const [id, waiting] of [...this.keyWaits]) {
      if (!this.shared.has(waiting.keys)) continue;
      this.endKeyWait(id, waiting);
      this.complete(waiting.rank, { handle: waiting.handle, value: null });
    }
  }

  /** What ranks did with the store. */
  get stored(): readonly StoreRecord[] {
    return this.shared.records;
  }

  /** The rank does nothing before its operation `handle` is complete. */
  wait(rank: number, handle: number): void {
    const id = key(rank, handle);
    // Whoever waits ahead of time would get data later without a wait, as if it took no time.
    if (!this.known.has(id)) {
      this.violation = `rank ${rank} waits for what it has not begun`;
      return;
    }
    this.waited.add(id);
    this.log.push({ kind: 'wait', rank, handle });
    const done = this.held.get(id);
    if (done !== undefined) {
      this.held.delete(id);
      this.tell(rank, done);
      return;
    }
    const forKeys = this.keyWaits.get(id);
    if (
      this.open.has(id) ||
      this.meetingOf(rank, handle) !== undefined ||
      (forKeys !== undefined && !forKeys.timed)
    )
      this.waits.set(rank, handle);
  }

  /** Sends and receives of a rank that it never waited for: their data may be used before it is there, or changed before it is sent. */
  forgotten(rank: number): { kind: 'send' | 'recv'; peer: number }[] {
    return this.posted.filter(
      (operation) => operation.rank === rank && !this.waited.has(key(rank, operation.handle)),
    );
  }

  finish(rank: number): void {
    this.finished.add(rank);
  }

  /** What each rank waits for, when none can go on any more; undefined while one can. */
  deadlock(): string[] | undefined {
    if (this.waits.size === 0 || this.waits.size + this.finished.size < this.worldSize) return undefined;
    return Array.from({ length: this.worldSize }, (_, rank) => this.describe(rank));
  }

  /** Fails every wait, so that ranks unwind and say where they stood. */
  abort(reason: string): void {
    for (const [rank, handle] of [...this.waits]) {
      this.waits.delete(rank);
      this.complete(rank, { handle, error: reason });
    }
  }

  /** An operation is over; its rank hears of it when it waits. */
  private complete(rank: number, completion: Completion): void {
    const name = key(rank, completion.handle);
    if (this.waited.has(name)) this.tell(rank, completion);
    else this.held.set(name, completion);
  }

  private tell(rank: number, completion: Completion): void {
    const sent = (this.sent.get(rank) ?? []).filter((handle) => this.held.delete(key(rank, handle)));
    this.sent.delete(rank);
    this.deliver(rank, sent.length === 0 ? completion : { ...completion, sent });
  }

  /** Messages that were sent and never received. */
  get pending(): number {
    return this.sends.length;
  }

  /** Bytes that each rank sent. */
  sentBytes(): number[] {
    const sent = new Array<number>(this.worldSize).fill(0);
    for (const { from, bytes } of this.transfers) sent[from]! += bytes;
    return sent;
  }

  private tooMany(): boolean {
    if (++this.messages <= MOST_MESSAGES) return false;
    this.violation = `more than ${MOST_MESSAGES} sends and receives in one call`;
    return true;
  }

  /** Each operation has a number of its own. */
  private begins(rank: number, handle: number): boolean {
    const id = key(rank, handle);
    if (this.known.has(id)) this.violation = `rank ${rank} gave one number to two operations`;
    return this.known.size < this.known.add(id).size;
  }

  private isBuffered(): boolean {
    if (this.schedule === 'buffered') return true;
    return this.schedule !== 'rendezvous' && this.coins.uniform() < 0.5;
  }

  private waitForKeys(rank: number, handle: number, { keys, timeoutMs }: WireStoreCall): void {
    if (this.shared.has(keys)) {
      this.complete(rank, { handle, value: null });
      return;
    }
    const id = key(rank, handle);
    const waiting: KeyWait = { rank, handle, keys, timed: Number.isFinite(timeoutMs) };
    this.keyWaits.set(id, waiting);
    if (!waiting.timed) return;
    const giveUp = (): void => {
      if (!this.keyWaits.has(id)) return;
      this.endKeyWait(id, waiting);
      const missing = keys.filter((each) => !this.shared.has([each]));
      const named = missing.slice(0, 4).map((each) => JSON.stringify(each.slice(0, 60)));
      const error = `Cannot get ${named.join(', ')} from the store: nobody set it within ${Math.ceil(timeoutMs!)} ms`;
      this.complete(rank, { handle, error, code: 'SB_STORE_TIMEOUT' });
    };
    setTimeout(giveUp, Math.min(Math.max(0, timeoutMs!), LONGEST_WAIT_MS)).unref();
  }

  private endKeyWait(id: string, { rank, handle }: KeyWait): void {
    this.keyWaits.delete(id);
    if (this.waits.get(rank) === handle) this.waits.delete(rank);
  }

  private meetingOf(rank: number, handle: number): Meeting | undefined {
    return [...this.meetings.values()].find(({ arrived }) => arrived.get(rank)?.handle === handle);
  }

  private conclude({ members, arrived }: Meeting): void {
    const sides = members.map((rank) => arrived.get(rank)!);
    const calls = sides.map(({ call }) => describeCall(call));
    const different = new Set(sides.map(({ call }) => fingerprint(call)));
    for (const rank of members) this.waits.delete(rank);
    if (different.size > 1) {
      const notes = members.map((rank, i) => `rank ${rank}: ${calls[i]}`).join('; ');
      const error = `Cannot run collective #${sides[0]!.call.seq} of group ${sides[0]!.call.group}: its ranks call ${[...new Set(calls)].slice(0, 4).join(' and ')}, wanted the same call`;
      this.disagreement ??= error;
      for (const [i, rank] of members.entries())
        this.complete(rank, { handle: sides[i]!.handle, error, help: notes });
      return;
    }
    const { op, group, seq, detail, root, tensors, quiet } = sides[0]!.call;
    const bytes = sides.map(({ body }) => body.length);
    // Each member gets a copy.
    const total = bytes.reduce((sum, length) => sum + length, 0);
    if (total > LARGEST_BODY) {
      const error = `Cannot run ${op} on ${total} bytes of all members together: at most ${LARGEST_BODY} are taken`;
      for (const [i, rank] of members.entries()) this.complete(rank, { handle: sides[i]!.handle, error });
      return;
    }
    const sends = ALL_TO_ALL.has(op) ? sides.map(({ body: own }) => sizesIn(own, members.length)) : undefined;
    const about = { op, group, ranks: members, seq, detail, root, tensors, bytes };
    const record = sends === undefined ? about : { ...about, sends };
    (quiet === true ? this.instruments : this.collectives).push(record);
    for (const { entry } of sides) entry.collective = record;
    const body = Buffer.concat(sides.map((side) => side.body));
    for (const [i, rank] of members.entries())
      this.complete(rank, { handle: sides[i]!.handle, body, parts: bytes });
  }

  private describe(rank: number): string {
    const handle = this.waits.get(rank);
    if (handle === undefined) return `rank ${rank} has returned`;
    const meeting = this.meetingOf(rank, handle);
    if (meeting !== undefined) {
      const { call } = meeting.arrived.get(rank)!;
      const missing = meeting.members.filter((member) => !meeting.arrived.has(member));
      return `rank ${rank} waits in ${describeCall(call)} #${call.seq} of group ${call.group} for rank ${missing.join(', ')}`;
    }
    const forKeys = this.keyWaits.get(key(rank, handle));
    if (forKeys !== undefined) {
      const missing = forKeys.keys.filter((each) => !this.shared.has([each]));
      const named = missing.slice(0, 4).map((each) => JSON.stringify(each.slice(0, 60)));
      return `rank ${rank} waits for ${named.join(', ')} in the store`;
    }
    const operation = this.open.get(key(rank, handle));
    if (operation === undefined) return `rank ${rank} has returned`;
    const { kind, peer, tensor } = operation;
    const whom = peer === -1 ? 'any rank' : `rank ${peer}`;
    return `rank ${rank} waits in ${kind}(${describeTensor(tensor)}, ${peer}) for ${whom}`;
  }

  private refusal(kind: string, rank: number, peer: number): string | undefined {
    if (!Number.isInteger(peer) || peer < 0 || peer >= this.worldSize) {
      return `Cannot ${kind} on rank ${rank}: rank ${peer} is not in a world of ${this.worldSize}`;
    }
    return peer === rank ? `Cannot ${kind} on rank ${rank}: the other side is the rank itself` : undefined;
  }

  private match(send: Operation, recv: Operation): void {
    if (send.tensor.dtype !== recv.tensor.dtype || byteCount(send.tensor) !== byteCount(recv.tensor)) {
      const error =
        `Cannot receive on rank ${recv.rank} from rank ${send.rank}: ` +
        `sent ${describeTensor(send.tensor)}, wanted ${describeTensor(recv.tensor)}`;
      const help = 'Both sides must agree on which piece goes over the link in this step';
      this.disagreement ??= error;
      this.close(send, { error, help });
      this.close(recv, { error, help });
      return;
    }
    const { rank: from, begun } = send;
    const message = this.transfers.push({ from, to: recv.rank, bytes: send.body.length, begun }) - 1;
    send.entry.message = message;
    recv.entry.message = message;
    this.close(recv, { body: send.body, from: send.rank });
    this.close(send, {});
  }

  private close(operation: Operation, result: Omit<Completion, 'handle'>): void {
    const { rank, handle } = operation;
    if (!this.open.delete(key(rank, handle))) return;
    if (this.waits.get(rank) === handle) this.waits.delete(rank);
    this.complete(rank, { handle, ...result });
    if (operation.kind === 'recv' || result.error !== undefined || !this.held.has(key(rank, handle))) return;
    const sent = this.sent.get(rank);
    if (sent === undefined) this.sent.set(rank, [handle]);
    else sent.push(handle);
  }
}

/** The seed of a shuffled schedule; undefined for the others. */
export function seedOf(schedule: Schedule): number | undefined {
  return schedule.startsWith('shuffled-') ? Number(schedule.slice('shuffled-'.length)) : undefined;
}

/** Whether it is a call that can be compared with others' and described. Tensors may be of any dtype: their bytes are counted as they come. */
function isCall(call: WireCollective): boolean {
  const { op, group, ranks, seq, tensors, detail, root } = call ?? {};
  return (
    typeof op === 'string' &&
    typeof group === 'string' &&
    Array.isArray(ranks) &&
    Number.isSafeInteger(seq) &&
    Array.isArray(tensors) &&
    tensors.every((tensor) => typeof tensor?.dtype === 'string' && Array.isArray(tensor.shape)) &&
    (detail === undefined || typeof detail === 'string') &&
    (root === undefined || Number.isSafeInteger(root))
  );
}

function meets(send: Operation, recv: Operation): boolean {
  return send.peer === recv.rank && (recv.peer === -1 || recv.peer === send.rank) && send.tag === recv.tag;
}

/** What must be equal on all members: shapes only where every member gives its own. */
const UNEVEN = new Set([
  'allToAll',
  'allToAllSingle',
  'allGatherObject',
  'gatherObject',
  'broadcastObjectList',
  'scatterObjectList',
  'scatter',
  'reduceScatter',
]);

const ALL_TO_ALL = new Set(['allToAll', 'allToAllSingle']);

/** Whether the sizes are those of what follows: virtual time is computed from them. */
function hasItsSizes(body: Uint8Array, size: number): boolean {
  const head = 4 * size;
  return body.length >= head && sizesIn(body, size).reduce((sum, part) => sum + part, head) === body.length;
}

/** The body of an all-to-all begins with the sizes of its parts. */
function sizesIn(body: Uint8Array, size: number): number[] {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  return Array.from({ length: size }, (_, i) => view.getUint32(4 * i));
}

function fingerprint(call: WireCollective): string {
  return UNEVEN.has(call.op) ? `${call.op}|${call.detail ?? ''}` : describeCall(call);
}

function describeCall({ op, tensors, detail }: WireCollective): string {
  const parts = [
    ...tensors.slice(0, 1).map(describeTensor),
    ...(detail === undefined || detail === '' ? [] : [String(detail)]),
  ];
  return `${op}(${parts.join(', ')})`;
}

function key(a: number, b: number): string {
  return `${a}/${b}`;
}
