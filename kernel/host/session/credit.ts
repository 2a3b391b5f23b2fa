/**
 * Keeps a rank that prints without end from drowning the main thread: it may be so many characters ahead of what was
 * taken, then it waits. [Note: an interrupt ends that wait as it ends any other.]
 */
const AHEAD_MAX = 1 << 20;
/** What a message costs besides its characters, in characters. */
const MESSAGE_COST = 1024;

/** One per world: characters sent and taken, for every rank. */
export type CreditMemory = SharedArrayBuffer;

export function createCredit(worldSize: number): CreditMemory {
  return new SharedArrayBuffer(worldSize * 2 * Int32Array.BYTES_PER_ELEMENT);
}

/** Main side: `length` characters of the rank's output were taken. */
export function takeOutput(memory: CreditMemory, rank: number, length: number): void {
  const words = new Int32Array(memory);
  Atomics.add(words, rank * 2 + 1, length + MESSAGE_COST);
  Atomics.notify(words, rank * 2 + 1);
}

/** A fresh thread owes nothing. */
export function clearCredit(memory: CreditMemory, rank: number): void {
  const words = new Int32Array(memory);
  Atomics.store(words, rank * 2, 0);
  Atomics.store(words, rank * 2 + 1, 0);
}

/** Rank side: says that `length` characters were sent, and waits while the main thread is too far behind. */
export function outputGate(memory: CreditMemory, rank: number): (length: number) => void {
  const words = new Int32Array(memory);
  const [sent, taken] = [rank * 2, rank * 2 + 1];
  return (length) => {
    // Both counters wrap around alike; their difference does not.
    const cost = length + MESSAGE_COST;
    const total = Atomics.add(words, sent, cost) + cost;
    for (;;) {
      const seen = Atomics.load(words, taken);
      if (((total - seen) | 0) <= AHEAD_MAX) return;
      Atomics.wait(words, taken, seen, 1000);
    }
  };
}
