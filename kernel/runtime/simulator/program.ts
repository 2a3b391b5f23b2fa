/** What a rank puts on its streams, in the order in which it issues it. The host issues at once and never blocks. */
import type { Algorithm, CollectiveKind } from './algorithms.js';

export const COMPUTE = 'compute';

export interface ComputeItem {
  kind: 'compute';
  label: string;
  stream: string;
  /** Either seconds, or what the device is to work through. */
  seconds?: number;
  flops?: number;
  bytes?: number;
  dtype?: string;
}
export interface CollectiveItem {
  kind: 'collective';
  op: CollectiveKind;
  label: string;
  stream: string;
  group: string;
  ranks: readonly number[];
  bytes: number;
  root?: number;
  /** allToAll: bytes that this rank sends to each member. */
  sends?: readonly number[];
  algorithm?: Algorithm | 'auto';
  /** Does not wait for what was computed before its issue. */
  independent?: boolean;
}
export interface MessageItem {
  kind: 'send' | 'recv';
  label: string;
  stream: string;
  peer: number;
  tag: string;
  bytes: number;
  independent?: boolean;
}
/** Work issued to `stream` later starts only when the item (by its index) or the event is done. */
export interface WaitItem {
  kind: 'wait';
  stream: string;
  item?: number;
  event?: string;
}
/** Marks the point that `stream` has reached. */
export interface RecordItem {
  kind: 'record';
  stream: string;
  event: string;
}
export type ProgramItem = ComputeItem | CollectiveItem | MessageItem | WaitItem | RecordItem;

export interface CollectiveOptions {
  /** Default: all ranks of the program's world. */
  ranks?: readonly number[];
  group?: string;
  root?: number;
  sends?: readonly number[];
  algorithm?: Algorithm | 'auto';
  label?: string;
  /** Default: a communication stream of the group. */
  stream?: string;
  /** Starts without waiting for what was computed before it was issued (an all-gather of parameters). Default false. */
  independent?: boolean;
  /** Does not hold back the compute stream; give the returned handle to `wait`. */
  asyncOp?: boolean;
}

export interface ComputeOptions {
  label?: string;
  stream?: string;
}

/** Builds one rank's program. */
export class RankProgram {
  readonly items: ProgramItem[] = [];

  constructor(
    readonly rank: number,
    readonly worldSize: number,
  ) {}

  /** Work on the device: seconds, or FLOPs and bytes for the cluster to time. Returns its handle. */
  compute(
    work: number | { flops?: number; bytes?: number; dtype?: string },
    options: ComputeOptions = {},
  ): number {
    const base = {
      kind: 'compute' as const,
      label: options.label ?? 'compute',
      stream: options.stream ?? COMPUTE,
    };
    return this.push(typeof work === 'number' ? { ...base, seconds: work } : { ...base, ...work });
  }

  collective(op: CollectiveKind, bytes: number, options: CollectiveOptions = {}): number {
    const group = options.group ?? 'world';
    const stream = options.stream ?? `comm ${group}`;
    const item = this.push({
      kind: 'collective',
      op,
      label: options.label ?? op,
      stream,
      group,
      ranks: options.ranks ?? Array.from({ length: this.worldSize }, (_, i) => i),
      bytes,
      ...(options.root === undefined ? {} : { root: options.root }),
      ...(options.sends === undefined ? {} : { sends: options.sends }),
      ...(options.algorithm === undefined ? {} : { algorithm: options.algorithm }),
      ...(options.independent ? { independent: true } : {}),
    });
    if (!options.asyncOp) this.wait(item);
    return item;
  }

  send(peer: number, bytes: number, options: MessageOptions = {}): number {
    return this.#message('send', peer, bytes, options);
  }

  recv(peer: number, bytes: number, options: MessageOptions = {}): number {
    return this.#message('recv', peer, bytes, options);
  }

  /** Holds back what is issued to `stream` (default: compute) from here on until `item` is done. */
  wait(item: number, stream = COMPUTE): void {
    this.push({ kind: 'wait', stream, item });
  }

  record(event: string, stream = COMPUTE): void {
    this.push({ kind: 'record', stream, event });
  }

  waitEvent(event: string, stream = COMPUTE): void {
    this.push({ kind: 'wait', stream, event });
  }

  push(item: ProgramItem): number {
    return this.items.push(item) - 1;
  }

  #message(kind: 'send' | 'recv', peer: number, bytes: number, options: MessageOptions): number {
    const item = this.push({
      kind,
      label: options.label ?? `${kind} ${kind === 'send' ? 'to' : 'from'} ${peer}`,
      stream: options.stream ?? `${kind} ${peer}`,
      peer,
      tag: String(options.tag ?? 0),
      bytes,
      ...(options.independent ? { independent: true } : {}),
    });
    if (!options.asyncOp) this.wait(item);
    return item;
  }
}

export interface MessageOptions {
  tag?: number | string;
  label?: string;
  /** Default: a stream per peer and direction. */
  stream?: string;
  asyncOp?: boolean;
  /** Does not wait for what was computed before it was issued: a receive whose buffer is free. Default false. */
  independent?: boolean;
}
