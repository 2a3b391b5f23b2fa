/** What main and a rank thread send each other. Both ends are this folder, so the union is closed. */

/** A thrown value on its way to the main thread: structured clone would lose an error's class, code and help. */
export interface ErrorWire {
  name: string;
  message: string;
  stack?: string;
  /** The parts of a `ShardbookError`. */
  coded?: { code: string; message: string; notes: readonly string[]; help?: string };
  cause?: ErrorWire;
}

export type ToRank = { kind: 'request'; id: number; body: unknown } | { kind: 'interrupt'; id: number };

export type FromRank =
  | { kind: 'ready' }
  | { kind: 'reply'; id: number; value: unknown; memory: RankMemory }
  | { kind: 'failure'; id: number; error: ErrorWire; memory: RankMemory }
  | { kind: 'event'; event: unknown }
  | { kind: 'interrupted'; id: number }
  /** The rank uses asynchronous hooks: see `watchHooks`. */
  | { kind: 'hooked' };

/** Memory of one rank's isolate, in bytes, as of its last reply. */
export interface RankMemory {
  heapUsedBytes: number;
  heapLimitBytes: number;
  /** Typed arrays and other memory outside the heap. */
  externalBytes: number;
}

/** What a rank thread gets as its workerData. */
export interface RankStart {
  rank: number;
  worldSize: number;
  /** `WorldOptions.background`. */
  isBackground: boolean;
  data: unknown;
}
