/**
 * Faults at chosen calls: a rank that dies, hangs, is late, leaves a call out, or sends other bits than it has. What happens
 * next is the real runtime's doing: deadlock reports, timeouts, peers' errors. Same plan and seed, same faults.
 */
import { runStarted, ShardbookError } from '../base/index.js';
import {
  addCommHook,
  byteLength,
  type CommAnswer,
  type CommCall,
  type CommTensor,
} from '../distributed/group/index.js';
import { endThread, sleep } from '../platform/index.js';
import { messageKind } from './calls.js';

export type FaultKind = 'kill' | 'error' | 'hang' | 'delay' | 'drop' | 'corrupt';

/** One fault: what happens to which call of which rank. */
export interface FaultSpec {
  kind: FaultKind;
  /** Global rank on which it happens. */
  rank: number;
  /** Which of the matching calls of that rank, from 1; default 1. */
  at?: number;
  /** Only calls of this operation: 'allReduce', 'send'. */
  op?: string;
  /** Only calls of the group with this name. */
  group?: string;
  /** Only messages to or from this rank. */
  peer?: number;
  /** delay: milliseconds. */
  ms?: number;
  /** corrupt: how many bits are flipped; default 1. */
  bits?: number;
}

export interface RandomFaults {
  seed: number;
  count: number;
  kinds?: readonly FaultKind[];
  worldSize: number;
  /** The last call that may be hit; default 20. */
  calls?: number;
  /** Longest delay in milliseconds; default 20. */
  ms?: number;
}

/** What a plan has done on this rank. */
export interface FaultEvent {
  fault: FaultSpec;
  /** "allReduce #3 of group world". */
  call: string;
  /** corrupt: the bits that were flipped. */
  flipped: { tensor: number; byte: number; bit: number }[];
}

/** What is to go wrong, at which call and on which rank; the same on every run. */
export class FaultPlan {
  readonly faults: readonly FaultSpec[];
  readonly #events: FaultEvent[] = [];
  readonly #counts: number[];
  #undo = new Map<CommCall, () => void>();
  #stop: (() => void) | undefined;

  /** `seed` decides which bits are flipped. */
  constructor(
    faults: readonly FaultSpec[],
    readonly seed = 0,
  ) {
    for (const fault of faults) check(fault);
    this.faults = faults;
    this.#counts = faults.map(() => 0);
  }

  /** Faults at random calls of random ranks; the same for the same seed, on every rank. */
  static random(o: RandomFaults): FaultPlan {
    const random = generator(o.seed);
    const kinds = o.kinds ?? ['kill', 'hang', 'delay', 'drop', 'corrupt'];
    const below = (n: number): number => Math.floor(random() * n);
    const faults = Array.from({ length: o.count }, (): FaultSpec => {
      const kind = kinds[below(kinds.length)]!;
      const fault: FaultSpec = { kind, rank: below(o.worldSize), at: 1 + below(o.calls ?? 20) };
      if (kind === 'delay') fault.ms = 1 + below(o.ms ?? 20);
      return fault;
    });
    return new FaultPlan(faults, o.seed);
  }

  /** In force on this rank from now on; counting starts anew. */
  start(): this {
    this.stop();
    this.#counts.fill(0);
    this.#stop = addCommHook({
      before: (call) => this.#before(call),
      done: (call) => {
        this.#undo.get(call)?.();
        this.#undo.delete(call);
      },
    });
    return this;
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** In force while `body` runs. */
  run<T>(body: () => T): T {
    return runStarted(this, body);
  }

  /** What has happened on this rank. */
  get events(): readonly FaultEvent[] {
    return this.#events;
  }

  toString(): string {
    const lines = this.faults.map((fault) => `  ${describeFault(fault)}`);
    return [`Fault plan, seed ${this.seed}:`, ...lines].join('\n');
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  #before(call: CommCall): CommAnswer | undefined {
    let answer: CommAnswer | undefined;
    this.faults.forEach((fault, i) => {
      if (!matches(fault, call) || ++this.#counts[i]! !== (fault.at ?? 1)) return;
      const event: FaultEvent = { fault, call: describeCall(call), flipped: [] };
      this.#events.push(event);
      if (this.#strike(fault, call, event, i)) answer = {};
    });
    return answer;
  }

  /** True if the call is not to be made. */
  #strike(fault: FaultSpec, call: CommCall, event: FaultEvent, index: number): boolean {
    switch (fault.kind) {
      case 'kill':
        return endThread(`fault plan: killed at ${event.call}`);
      case 'error':
        throw new ShardbookError({
          code: 'SB_FAULT',
          message: `Cannot run ${event.call}: the fault plan fails it on rank ${call.rank}`,
        });
      case 'hang':
        for (;;) sleep(20);
      case 'delay':
        sleep(fault.ms ?? 10);
        return false;
      case 'drop':
        return true;
      case 'corrupt':
        this.#corrupt(fault, call, event, index);
        return false;
    }
  }

  /** The wire is corrupted, not the rank's own tensor: what is only read gets its bits back when the call is done. */
  #corrupt(fault: FaultSpec, call: CommCall, event: FaultEvent, index: number): void {
    const random = generator(hashOf(this.seed, index, fault.at ?? 1));
    const received = call.inputs.length === 0;
    const targets = (received ? call.outputs : call.inputs).filter((t) => byteLength(t) > 0);
    if (targets.length === 0) return;
    for (let k = 0; k < (fault.bits ?? 1); k++) {
      const tensor = Math.floor(random() * targets.length);
      const byte = Math.floor(random() * byteLength(targets[tensor]!));
      event.flipped.push({ tensor, byte, bit: Math.floor(random() * 8) });
    }
    const flip = (): void => {
      for (const { tensor, byte, bit } of event.flipped) flipBit(targets[tensor]!, byte, bit);
    };
    if (received) {
      this.#undo.set(call, flip);
      return;
    }
    flip();
    const written = new Set(call.outputs.map((t) => t.storage));
    if (!targets.some((t) => written.has(t.storage))) this.#undo.set(call, flip);
  }
}

function check(fault: FaultSpec): void {
  const refuse = (problem: string): never => {
    throw new ShardbookError({ code: 'SB_FAULT_PLAN', message: `Cannot plan the fault: ${problem}` });
  };
  const kinds: FaultKind[] = ['kill', 'error', 'hang', 'delay', 'drop', 'corrupt'];
  if (!kinds.includes(fault.kind)) refuse(`"${fault.kind}" is none of ${kinds.join(', ')}`);
  if (!Number.isInteger(fault.rank) || fault.rank < 0)
    refuse(`rank ${fault.rank}, wanted a whole number from 0`);
  const { at = 1, ms = 0, bits = 1 } = fault;
  if (!Number.isInteger(at) || at < 1) refuse(`at call ${at}, wanted a whole number from 1`);
  if (!(ms >= 0)) refuse(`a delay of ${ms} ms, wanted 0 or more`);
  if (!Number.isInteger(bits) || bits < 1) refuse(`${bits} bits, wanted a whole number from 1`);
}

function matches(fault: FaultSpec, call: CommCall): boolean {
  if (fault.rank !== call.rank) return false;
  if (fault.op !== undefined && fault.op !== call.op) return false;
  if (fault.group !== undefined && fault.group !== call.group) return false;
  return fault.peer === undefined || fault.peer === call.peer;
}

function describeCall(call: CommCall): string {
  if (messageKind(call.op) !== undefined) return `${call.op} (${call.detail ?? ''})`;
  return `${call.op} #${call.seq} of group ${call.group}`;
}

function describeFault({ kind, rank, at = 1, op, group, peer, ms, bits }: FaultSpec): string {
  const what = [op ?? 'call', group && `of group ${group}`, peer !== undefined && `with rank ${peer}`];
  const how = kind === 'delay' ? ` by ${ms ?? 10} ms` : kind === 'corrupt' ? ` (${bits ?? 1} bits)` : '';
  return `${kind} rank ${rank} at ${what.filter(Boolean).join(' ')} number ${at}${how}`;
}

/** Of an element in row-major order, wherever it lies. */
function flipBit(t: CommTensor, byte: number, bit: number): void {
  const { itemsize } = t.dtype;
  let left = Math.floor(byte / itemsize);
  let at = t.storageOffset;
  for (let d = t.shape.length - 1; d >= 0; d--) {
    at += (left % t.shape[d]!) * t.strides[d]!;
    left = Math.floor(left / t.shape[d]!);
  }
  const bytes = new Uint8Array(t.storage.buffer);
  bytes[at * itemsize + (byte % itemsize)]! ^= 1 << bit;
}

/** mulberry32: small, and the same everywhere. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function hashOf(...numbers: readonly number[]): number {
  return numbers.reduce((h, n) => Math.imul(h ^ n, 0x01000193), 0x811c9dc5) | 0;
}
