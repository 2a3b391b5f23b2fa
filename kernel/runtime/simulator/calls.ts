/** What a recorded call of the real runtime is on the wire. */
import type { CollectiveKind, CollectiveSpec } from './algorithms.js';

/** The part of a call that decides its traffic. */
export interface WireCall {
  readonly op: string;
  readonly groupRanks: readonly number[];
  /** Bytes of this rank's contribution. */
  readonly bytes: number;
  /** Global rank. */
  readonly root: number | undefined;
  readonly sendBytes: readonly number[] | undefined;
}

export type MessageKind = 'send' | 'recv';

/** Sends and receives; everything else is a collective. */
export function messageKind(op: string): MessageKind | undefined {
  if (op === 'send' || op === 'isend') return 'send';
  return op === 'recv' || op === 'irecv' ? 'recv' : undefined;
}

const KINDS: Readonly<Record<string, CollectiveKind>> = {
  allReduce: 'allReduce',
  allReduceCoalesced: 'allReduce',
  reduce: 'reduce',
  broadcast: 'broadcast',
  broadcastObjectList: 'broadcast',
  allGather: 'allGather',
  allGatherSingle: 'allGather',
  allGatherCoalesced: 'allGather',
  allGatherObject: 'allGather',
  reduceScatter: 'reduceScatter',
  reduceScatterSingle: 'reduceScatter',
  reduceScatterCoalesced: 'reduceScatter',
  allToAll: 'allToAll',
  allToAllSingle: 'allToAll',
  gather: 'gather',
  gatherObject: 'gather',
  scatter: 'scatter',
  scatterObjectList: 'scatter',
};

/** Barriers, and what is none of the others: the making of groups. */
export function collectiveKind(op: string): CollectiveKind {
  return KINDS[op] ?? 'barrier';
}

/** Bytes as the phases of a collective count them: the full tensor of gathers and reduce-scatters, one part of gather and scatter. */
export function collectiveBytesOf(call: WireCall): number {
  const kind = collectiveKind(call.op);
  if (kind === 'barrier') return 0;
  const n = call.groupRanks.length;
  if (kind === 'allGather') return call.bytes * n;
  if (call.op === 'reduceScatter') return call.bytes * n;
  // The source encodes the whole list, and every part goes to one rank.
  if (call.op === 'scatterObjectList') return call.bytes / n;
  return call.bytes;
}

/** A collective from all its members' calls, in group order; uneven contributions count as the largest. */
export function specOf(calls: readonly WireCall[], nodeOf?: (rank: number) => number): CollectiveSpec {
  const first = calls[0]!;
  const root = first.root === undefined ? -1 : first.groupRanks.indexOf(first.root);
  return {
    kind: collectiveKind(first.op),
    ranks: first.groupRanks,
    bytes: Math.max(...calls.map(collectiveBytesOf)),
    ...(root >= 0 ? { root } : {}),
    ...(calls.every((call) => call.sendBytes !== undefined) ? { sends: calls.map((c) => c.sendBytes!) } : {}),
    ...(nodeOf === undefined ? {} : { nodeOf }),
  };
}
