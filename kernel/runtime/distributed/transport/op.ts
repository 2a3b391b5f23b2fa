/** An operation under way: a generator that yields whenever it has to wait, stepped by whoever has a moment. */
import type { CallInfo } from './report.js';

export type Steps<T> = Generator<void, T, void>;

export interface WaitTarget {
  kind: number;
  group: number;
  barrier: number;
  seq: number;
  peer: number;
  tag: number;
}

export class Op<T = unknown> {
  done = false;
  error: unknown;
  failed = false;
  result: T | undefined;
  #steps: Steps<T>;
  #after: (() => void) | undefined;

  constructor(
    steps: Steps<T>,
    readonly info: CallInfo,
    readonly target: () => WaitTarget,
    readonly timeoutMs: number | undefined,
  ) {
    this.#steps = steps;
  }

  /** Goes as far as it can. An error is kept for whoever waits. */
  step(): void {
    if (this.done) return;
    try {
      const { done, value } = this.#steps.next();
      if (done) {
        this.result = value as T;
        this.done = true;
        this.#after?.();
      }
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    if (this.done) return;
    this.done = true;
    this.failed = true;
    this.error = error;
    // Runs the finally blocks: a message is withdrawn. A generator that is itself running ends by its own throw.
    try {
      this.#steps.return(undefined as T);
    } catch {
      // It was running when it failed.
    }
    this.#after?.();
  }

  /** Calls `after` when the operation is done or has failed; at once if it is. */
  whenDone(after: () => void): void {
    if (this.done) after();
    else this.#after = after;
  }

  /** An operation that is done without having run. */
  static finished<T>(result: T, info: CallInfo): Op<T> {
    const target = () => ({ kind: 0, group: 0, barrier: 0, seq: 0, peer: -1, tag: 0 });
    const op = new Op<T>(nothing(result), info, target, undefined);
    op.step();
    return op;
  }
}

// biome-ignore lint/correctness/useYield: it has nothing to wait for
function* nothing<T>(result: T): Steps<T> {
  return result;
}
