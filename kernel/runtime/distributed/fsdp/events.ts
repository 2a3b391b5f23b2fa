/** What FSDP does, moment by moment, for whoever subscribes: timelines, hook debuggers, tests. */
import type { DType } from '../../tensor/index.js';

/** What FSDP does to a group of parameters. */
export type FsdpEventKind =
  | 'preForward'
  | 'forwardPrefetch'
  | 'allGather'
  | 'copyOut'
  | 'postForward'
  | 'reshard'
  | 'preBackward'
  | 'backwardPrefetch'
  | 'accumulate'
  | 'postBackwardReshard'
  | 'reduceWait'
  | 'reduce'
  | 'reduceScatter'
  | 'allReduce'
  | 'postBackward'
  | 'finalCallback'
  | 'toDevice'
  | 'toHost';

/** The last number of a copy between host and device. */
let transfers = 0;

/** A name for the next copy between host and device, which simulated time and events know it by. */
export function nextTransfer(): string {
  return `transfer ${++transfers}`;
}

/** A parameter and the state it is in. */
export interface ParamSnapshot {
  readonly name: string;
  readonly state: 'sharded' | 'shardedPostForward' | 'unsharded';
  readonly shape: readonly number[];
  readonly localShape: readonly number[];
  readonly dtype: string;
  /** Bytes of the whole parameter's memory that are there now. */
  readonly unshardedBytes: number;
}

/** One thing that FSDP did on this rank. */
export interface FsdpEvent {
  readonly kind: FsdpEventKind;
  /** `end` is sent for what has a duration: the part of the module between `preForward` and `postForward` is not such. */
  readonly phase: 'begin' | 'end';
  /** Global rank. */
  readonly rank: number;
  /** Path of the module (several of a group, joined by ", "); "" is the root. */
  readonly module: string;
  /** For collectives: what this rank's input is. */
  readonly elements?: number;
  readonly dtype?: DType;
  readonly bytes?: number;
  /** Reduce op of a reduction. */
  readonly op?: string;
  readonly groupSize?: number;
  /** Of `toDevice` and `toHost`: its name in simulated time. */
  readonly transfer?: string;
  /** The group's parameters at this moment; made only when it is asked for. */
  readonly params: () => readonly ParamSnapshot[];
}

const listeners = new Set<(event: FsdpEvent) => void>();

/** Hears every event of this rank. Returns a function that unsubscribes. */
export function onFsdp(listener: (event: FsdpEvent) => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function hasListeners(): boolean {
  return listeners.size > 0;
}

export function emitFsdp(event: FsdpEvent): void {
  for (const listener of listeners) listener(event);
}

/** PyTorch's profiler labels, so that traces can be read beside its own. */
const LABELS: Partial<Record<FsdpEventKind, string>> = {
  preForward: 'pre_forward',
  forwardPrefetch: 'forward_prefetch for',
  allGather: 'all_gather',
  copyOut: 'all_gather_copy_out',
  postForward: 'post_forward',
  preBackward: 'pre_backward',
  backwardPrefetch: 'backward_prefetch for',
  accumulate: 'post_backward_accumulate',
  postBackwardReshard: 'post_backward_reshard',
  reduceWait: 'post_backward_rs_wait',
  reduce: 'post_backward_reduce',
};

/** An event as PyTorch's profiler would name it; several lines for an all-gather; empty for what it does not name. */
export function pytorchLabels(event: FsdpEvent): string[] {
  if (event.phase === 'end') return [];
  const sized = (short: string): string =>
    `${short}[${event.elements} ${event.dtype?.name ?? '?'}${event.op === undefined ? '' : ` RedOpType.${event.op.toUpperCase()}`}${short === 'AR' ? ` n=${event.groupSize}` : ''}]`;
  if (event.kind === 'reduceScatter') return [sized('RS')];
  if (event.kind === 'allReduce') return [sized('AR')];
  const label = LABELS[event.kind];
  if (label === undefined) return [];
  if (label.endsWith(' for')) return [`${label} ${event.module}`];
  if (event.kind === 'reduceWait') return [`${label} (${event.module})`];
  const named = event.module === '' ? label : `${label} (${event.module})`;
  return event.kind === 'allGather' && event.elements !== undefined ? [named, sized('AG')] : [named];
}
