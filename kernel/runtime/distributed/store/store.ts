/**
 * The rendezvous store: a map of byte strings in shared memory. It is small and rarely used, so one lock guards all of it and every
 * change writes the whole map anew.
 *
 * A rank that waits for a key counts as running in the wait table: only the timeout ends a wait for a key that nobody sets.
 */
import { ShardbookError } from '../../base/index.js';

const Word = { lock: 0, version: 1, bytes: 2, words: 16 } as const;
const DEFAULT_TIMEOUT_MS = 300_000;

/** A list is a queue; it never stands there empty. */
type Value = string | string[];
type Entries = Map<string, Value>;

/** What all stores can do; values are strings. */
export class Store {
  readonly #words: Int32Array;
  readonly #data: Uint8Array;
  #timeoutMs = DEFAULT_TIMEOUT_MS;

  /** `owner` (from 0) says who holds the lock, so that a supervisor can free it for a thread that was killed. */
  constructor(
    memory: SharedArrayBuffer,
    private readonly owner = 0,
  ) {
    this.#words = new Int32Array(memory, 0, Word.words);
    this.#data = new Uint8Array(memory, Word.words * 4);
  }

  setTimeout(timeoutMs: number): void {
    this.#timeoutMs = timeoutMs;
  }

  set(key: string, value: string): void {
    this.#change((map) => void map.set(key, value));
  }

  /** Waits until the key is there. */
  get(key: string): string {
    this.wait([key]);
    return text('get', key, this.#read().get(key)) ?? '';
  }

  /** Adds to a counter, which starts at 0; returns its new value. */
  add(key: string, amount: number): number {
    return this.#change((map) => {
      const sum = Number(text('add', key, map.get(key)) ?? 0) + amount;
      map.set(key, String(sum));
      return sum;
    });
  }

  append(key: string, value: string): void {
    this.#change((map) => void map.set(key, (text('append', key, map.get(key)) ?? '') + value));
  }

  check(keys: readonly string[]): boolean {
    const map = this.#read();
    return keys.every((key) => map.has(key));
  }

  /** Sets `desired` if the value is `expected` (or the key is absent and `expected` is empty); returns the value after it. */
  compareSet(key: string, expected: string, desired: string): string {
    return this.#change((map) => {
      const current = text('compareSet', key, map.get(key));
      if (current === expected || (current === undefined && expected === '')) map.set(key, desired);
      return text('compareSet', key, map.get(key)) ?? expected;
    });
  }

  deleteKey(key: string): boolean {
    return this.#change((map) => map.delete(key));
  }

  multiGet(keys: readonly string[]): string[] {
    return keys.map((key) => this.get(key));
  }

  multiSet(keys: readonly string[], values: readonly string[]): void {
    this.#change((map) => keys.forEach((key, i) => void map.set(key, values[i] ?? '')));
  }

  /** Puts a value at the end of a queue, and makes the queue if it is not there. */
  queuePush(key: string, value: string): void {
    this.#change((map) => void map.set(key, [...(queue('queuePush', key, map.get(key)) ?? []), value]));
  }

  /** Takes the value at the front; waits for one, or with `block` false fails at once when there is none. */
  queuePop(key: string, block = true): string {
    const end = performance.now() + this.#timeoutMs;
    for (;;) {
      const left = Math.max(0, end - performance.now());
      if (block) this.wait([key], left);
      const value = this.#change((map) => {
        const [first, ...rest] = queue('queuePop', key, map.get(key)) ?? [];
        if (rest.length > 0) map.set(key, rest);
        else if (first !== undefined) map.delete(key);
        return first;
      });
      // Another may have been faster to the value that woke us.
      if (value !== undefined) return value;
      if (!block) {
        throw new ShardbookError({
          code: 'SB_STORE_QUEUE_EMPTY',
          message: `Cannot take from queue "${key}" of the store: it is empty`,
          help: 'wait for a value with queuePop(key)',
        });
      }
    }
  }

  /** 0 for a queue that is not there. */
  queueLen(key: string): number {
    return queue('queueLen', key, this.#read().get(key))?.length ?? 0;
  }

  numKeys(): number {
    return this.#read().size;
  }

  listKeys(): string[] {
    return [...this.#read().keys()];
  }

  /** Waits until all keys are there. */
  wait(keys: readonly string[], timeoutMs = this.#timeoutMs): void {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const version = Atomics.load(this.#words, Word.version);
      if (this.check(keys)) return;
      const left = end - performance.now();
      if (left <= 0) {
        const missing = keys.filter((key) => !this.check([key]));
        throw new ShardbookError({
          code: 'SB_STORE_TIMEOUT',
          message: `Cannot get ${missing.map((key) => `"${key}"`).join(', ')} from the store: nobody set it within ${Math.ceil(timeoutMs)} ms`,
          help: 'set the key on another rank, or wait longer',
        });
      }
      Atomics.wait(this.#words, Word.version, version, left);
    }
  }

  #read(): Entries {
    return this.#locked(() => this.#load());
  }

  #change<T>(edit: (map: Entries) => T): T {
    return this.#locked(() => {
      const map = this.#load();
      const result = edit(map);
      const bytes = new TextEncoder().encode(JSON.stringify([...map]));
      if (bytes.length > this.#data.length) {
        throw new ShardbookError({
          code: 'SB_STORE_FULL',
          message: `Cannot write to the store: it would hold ${bytes.length} bytes, wanted at most ${this.#data.length}`,
          help: 'use broadcastObjectList for large values',
        });
      }
      this.#data.set(bytes);
      Atomics.store(this.#words, Word.bytes, bytes.length);
      Atomics.add(this.#words, Word.version, 1);
      Atomics.notify(this.#words, Word.version);
      return result;
    });
  }

  #load(): Entries {
    const length = Atomics.load(this.#words, Word.bytes);
    if (length === 0) return new Map();
    return new Map(JSON.parse(new TextDecoder().decode(this.#data.slice(0, length))) as [string, Value][]);
  }

  #locked<T>(body: () => T): T {
    for (;;) {
      const holder = Atomics.compareExchange(this.#words, Word.lock, 0, 1 + this.owner);
      if (holder === 0) break;
      // Timed, so that a holder who was killed does not keep us here.
      Atomics.wait(this.#words, Word.lock, holder, 5);
    }
    try {
      return body();
    } finally {
      Atomics.store(this.#words, Word.lock, 0);
      Atomics.notify(this.#words, Word.lock, 1);
    }
  }
}

function text(op: string, key: string, value: Value | undefined): string | undefined {
  if (Array.isArray(value)) throw wrongKind(op, key, 'a queue', 'a value');
  return value;
}

function queue(op: string, key: string, value: Value | undefined): string[] | undefined {
  if (typeof value === 'string') throw wrongKind(op, key, 'a value', 'a queue');
  return value;
}

function wrongKind(op: string, key: string, is: string, wanted: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_STORE_KIND',
    message: `Cannot run "${op}" on key "${key}" of the store: it is ${is}, wanted ${wanted}`,
    help: 'use different keys for queues and values',
  });
}

/** A store of this thread alone. */
export class HashStore extends Store {
  constructor(bytes = 2 ** 20) {
    super(new SharedArrayBuffer(bytes));
  }
}

/** Another store's keys under a prefix. */
export class PrefixStore {
  constructor(
    readonly prefix: string,
    readonly store: Store | PrefixStore,
  ) {}

  set(key: string, value: string): void {
    this.store.set(this.#key(key), value);
  }
  get(key: string): string {
    return this.store.get(this.#key(key));
  }
  add(key: string, amount: number): number {
    return this.store.add(this.#key(key), amount);
  }
  append(key: string, value: string): void {
    this.store.append(this.#key(key), value);
  }
  check(keys: readonly string[]): boolean {
    return this.store.check(keys.map((key) => this.#key(key)));
  }
  compareSet(key: string, expected: string, desired: string): string {
    return this.store.compareSet(this.#key(key), expected, desired);
  }
  deleteKey(key: string): boolean {
    return this.store.deleteKey(this.#key(key));
  }
  multiGet(keys: readonly string[]): string[] {
    return this.store.multiGet(keys.map((key) => this.#key(key)));
  }
  multiSet(keys: readonly string[], values: readonly string[]): void {
    this.store.multiSet(
      keys.map((key) => this.#key(key)),
      values,
    );
  }
  queuePush(key: string, value: string): void {
    this.store.queuePush(this.#key(key), value);
  }
  queuePop(key: string, block = true): string {
    return this.store.queuePop(this.#key(key), block);
  }
  queueLen(key: string): number {
    return this.store.queueLen(this.#key(key));
  }
  /** Of the whole store, as in PyTorch. */
  numKeys(): number {
    return this.store.numKeys();
  }
  setTimeout(timeoutMs: number): void {
    this.store.setTimeout(timeoutMs);
  }
  wait(keys: readonly string[], timeoutMs?: number): void {
    this.store.wait(
      keys.map((key) => this.#key(key)),
      timeoutMs,
    );
  }

  #key(key: string): string {
    return `${this.prefix}/${key}`;
  }
}
