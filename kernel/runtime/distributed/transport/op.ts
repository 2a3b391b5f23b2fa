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
  }
}
