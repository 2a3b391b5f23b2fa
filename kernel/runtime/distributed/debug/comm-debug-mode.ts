/** Counts the collectives and messages of this rank inside a scope. */
import { type CommEvent, onComm } from '../group/index.js';

export class CommDebugMode {
  readonly #counts = new Map<string, number>();
  readonly #events: CommEvent[] = [];
  #stop: (() => void) | undefined;

  /** Counts while `body` runs; returns what it returns. */
  run<T>(body: () => T): T {
    this.start();
    try {
      return body();
    } finally {
      this.stop();
    }
  }

  start(): this {
    this.stop();
    this.#counts.clear();
    this.#events.length = 0;
    this.#stop = onComm((event) => {
      this.#counts.set(event.op, (this.#counts.get(event.op) ?? 0) + 1);
      this.#events.push(event);
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

  getTotalCounts(): number {
    return this.#events.length;
  }

  /** By operation: `{ allReduce: 2 }`. */
  getCommCounts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }

  /** Bytes that this rank contributed, by operation. */
  getCommBytes(): Record<string, number> {
    const bytes: Record<string, number> = {};
    for (const event of this.#events) bytes[event.op] = (bytes[event.op] ?? 0) + event.bytes;
    return bytes;
  }

  get events(): readonly CommEvent[] {
    return this.#events;
  }
}
