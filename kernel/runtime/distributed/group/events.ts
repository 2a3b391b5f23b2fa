/**
 * The hook of everything that records, counts, replays or disturbs communication. Costs one comparison while nobody listens.
 *
 * A hook sees a call before it starts, when it is done (on this rank) and when it is waited for. `before` may throw, which is
 * as if the call had thrown, or return an answer: then nothing is sent and the call is done at once with that answer.
 */
import { runThen, Setting } from '../../base/index.js';
import { type Op, RefusedTogether } from '../transport/index.js';
import type { ReduceOp } from './reduce-op.js';
import type { CommTensor } from './tensors.js';

/** One call of a collective, a send or a receive on this rank. */
export interface CommCall {
  /** Number of the call on this rank since its start, over all groups. */
  readonly id: number;
  /** Global rank of the caller. */
  readonly rank: number;
  readonly op: string;
  readonly group: string;
  /** Global ranks in group order. */
  readonly groupRanks: readonly number[];
  /** Sequence number within the group; 0 for messages. */
  readonly seq: number;
  /** Of the tensors that this rank contributes. */
  readonly shapes: readonly (readonly number[])[];
  readonly dtype: string | undefined;
  /** Bytes of this rank's contribution. */
  readonly bytes: number;
  readonly async: boolean;
  /** What the call reads, in the order of its arguments. */
  readonly inputs: readonly CommTensor[];
  /** What the call writes. */
  readonly outputs: readonly CommTensor[];
  readonly reduceOp: ReduceOp | undefined;
  /** Global rank of the source or destination of rooted collectives. */
  readonly root: number | undefined;
  /** Messages: the other side; undefined for a receive from any source, until it is done. */
  peer: number | undefined;
  readonly tag: number | undefined;
  /** allToAll and allToAllSingle: bytes that go to each member. */
  readonly sendBytes: readonly number[] | undefined;
  /** Object collectives: this rank's encoded object. */
  readonly payload: Uint8Array | undefined;
  /** What the call has besides tensors, in words: "sum", "src 0". */
  readonly detail: string | undefined;
  /** Where simulated time puts it; undefined: the communication stream of its group. */
  readonly stream: CommStream | undefined;
  /** The caller's line ("cell 3, line 5"). To be asked inside `before`. */
  readonly place: () => string | undefined;
  /** What the call returned, once done: object collectives the members' bytes, receives the sender. */
  result: unknown;
}

/** A stream of its own for some calls, as FSDP has one for all-gathers and one for reduce-scatters. Simulated time only. */
export interface CommStream {
  name: string;
  /** Starts without waiting for what was computed before it was issued: its input is there already. Default false. */
  independent?: boolean;
}

const stream = new Setting<CommStream | undefined>(undefined);

/** The stream of calls that are issued now. */
export function currentStream(): CommStream | undefined {
  return stream.value;
}

/** Calls that `body` issues belong to `on`: all-gathers of FSDP run ahead of compute that way in simulated time. */
export function withCommStream<T>(on: CommStream, body: () => T): T {
  return stream.during(on, body);
}

/** An event of simulated time: what this rank was given to compute so far is done. Names are used once. */
export function markCompute(name: string): void {
  for (const hook of hooks) hook.mark?.(name);
}

/** Calls that are issued to `stream` from now on start after the event: FSDP's all-gathers wait for the copy-out before. */
export function streamWaitsFor(stream: string, name: string): void {
  for (const hook of hooks) hook.streamWaits?.(stream, name);
}

/** A copy between host and device memory, which offloading needs: here both are one memory, so only simulated time takes notice. */
export interface HostTransfer {
  /** Used once: `${name} begin` and `${name} end` are events of simulated time. */
  name: string;
  direction: 'toDevice' | 'toHost';
  bytes: number;
  label: string;
  /** Stream whose work so far it waits for; undefined: what it reads is there already. */
  after?: string | undefined;
  /** Stream whose later work waits for it. */
  before?: string | undefined;
}

/** Streams of simulated time on which such copies run: an engine for each direction. */
export const TRANSFER_STREAM = { toDevice: 'host to device', toHost: 'device to host' } as const;

/** Tells hooks of a copy between host and device. */
export function hostTransfer(transfer: HostTransfer): void {
  for (const hook of hooks) hook.transfer?.(transfer);
}

/** As `CommCall`: what listeners of `onComm` get. */
export type CommEvent = CommCall;

/** A call that is not to run: what it returns instead (its outputs are as the hook left them). */
export interface CommAnswer {
  result?: unknown;
}

export interface CommHook {
  /** It carries the calls instead of shared memory, and so is asked also inside `withoutCommHooks`. */
  readonly carries?: boolean;
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook that only listens returns nothing
  before?(call: CommCall): CommAnswer | undefined | void;
  /** The call is done on this rank; `error` if it failed. */
  done?(call: CommCall, error?: unknown): void;
  /** Its `Work` was waited for; at once after `done` for calls that wait themselves. */
  waited?(call: CommCall): void;
  /** `markCompute(name)` was called. */
  mark?(name: string): void;
  /** `streamWaitsFor(stream, name)` was called. */
  streamWaits?(stream: string, name: string): void;
  /** `hostTransfer` was called. */
  transfer?(transfer: HostTransfer): void;
}

let hooks: readonly CommHook[] = [];
let calls = 0;

/** Adds a hook, after those that are there; who carries comes last, so that all others hear of a call first. Returns a function that takes it off. */
export function addCommHook(hook: CommHook): () => void {
  const all = [...hooks, hook];
  hooks = [
    ...all.filter(({ carries }) => carries !== true),
    ...all.filter(({ carries }) => carries === true),
  ];
  return () => {
    hooks = hooks.filter((other) => other !== hook);
  };
}

/** Hears every collective and message of this rank before it starts. Returns a function that unsubscribes. */
export function onComm(listener: (event: CommCall) => void): () => void {
  return addCommHook({ before: (call) => listener(call) });
}

/** A call on its way through the hooks that were there when it began. */
export class HookedCall {
  readonly #heard: CommHook[] = [];
  #open = true;
  answer: CommAnswer | undefined;

  constructor(readonly call: CommCall) {}

  /** Asks the hooks; those behind one that answers do not hear of the call. */
  before(): this {
    try {
      for (const hook of hooks) {
        this.#heard.push(hook);
        const answer = hook.before?.(this.call);
        if (answer) {
          this.answer = answer;
          break;
        }
      }
    } catch (error) {
      this.done(error);
      throw error;
    }
    return this;
  }

  /** Follows the operation to its end. */
  follow(op: Op<unknown>): void {
    op.whenDone(() => {
      const { error } = op;
      if (op.failed) this.done(error instanceof RefusedTogether ? error.error : error);
      else {
        this.call.result = op.result;
        if (this.call.tag !== undefined && typeof op.result === 'number') this.call.peer = op.result;
        this.done();
      }
    });
  }

  done(error?: unknown): void {
    if (!this.#open) return;
    this.#open = false;
    for (const hook of this.#heard) hook.done?.(this.call, error);
  }

  waited(): void {
    for (const hook of this.#heard) hook.waited?.(this.call);
  }
}

let quiet = false;

/** Whether this is inside `withoutCommHooks`. */
export function isUnheard(): boolean {
  return quiet;
}

/** Calls that `body` makes are nobody's business: instruments that exchange what they measured. */
export function withoutCommHooks<T>(body: () => T): T {
  const before = hooks;
  const wasQuiet = quiet;
  return runThen(
    () => {
      hooks = hooks.filter((hook) => hook.carries === true);
      quiet = true;
      return body();
    },
    () => {
      hooks = before;
      quiet = wasQuiet;
    },
  );
}

/** What the hook that carries calls answers to one that nobody else hears of; undefined where there is none. */
export function askCarrier(make: (id: number) => CommCall): CommAnswer | undefined {
  const carrier = hooks.find(({ carries }) => carries === true);
  return carrier?.before?.(make(calls)) ?? undefined;
}

/** Undefined while nobody listens. Throws what a hook throws. */
export function hookCall(make: (id: number) => CommCall): HookedCall | undefined {
  calls++;
  return hooks.length === 0 ? undefined : new HookedCall(make(calls)).before();
}
