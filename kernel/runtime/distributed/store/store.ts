/**
 * The rendezvous store: a map of byte strings in shared memory. It is small and rarely used, so one lock guards all of it and every
 * change writes the whole map anew.
 *
 * A rank that waits for a key with the default timeout tells the wait table, so a key that nobody can set any more is a
 * deadlock like any other; with a timeout of its own it counts as running.
 */
import { ShardbookError } from '../../base/index.js';

const Word = { lock: 0, version: 1, bytes: 2, words: 16 } as const;
const DEFAULT_TIMEOUT_MS = 300_000;

/** A list is a queue; it never stands there empty. */
type Value = string | string[];
type Entries = Map<string, Value>;

/** What all stores can do; keys and values are strings. */
export abstract class Store {
  #timeoutMs = DEFAULT_TIMEOUT_MS;

  abstract set(key: string, value: string): void;
  /** Adds to a counter, which starts at 0; returns its new value. */
  abstract add(key: string, amount: number): number;
  abstract append(key: string, value: string): void;
  abstract check(keys: readonly string[]): boolean;
  /** Sets `desired` if the value is `expected` (or the key is absent and `expected` is empty); returns the value after it. */
  abstract compareSet(key: string, expected: string, desired: string): string;
  abstract deleteKey(key: string): boolean;
  abstract multiSet(keys: readonly string[], values: readonly string[]): void;
  /** Puts a value at the end of a queue, and makes the queue if it is not there. */
  abstract queuePush(key: string, value: string): void;
  /** 0 for a queue that is not there. */
  abstract queueLen(key: string): number;
  abstract numKeys(): number;
  abstract listKeys(): string[];
  /** Another handle on the same keys. */
  abstract clone(): Store;
  /** Waits until all keys are there. */
  abstract wait(keys: readonly string[], timeoutMs?: number): void;
  /** The value of a key that is there. */
  protected abstract read(key: string): string | undefined;
  /** Takes the value at the front of a queue, if there is one. */
  protected abstract shift(key: string): string | undefined;

  get timeout(): number {
    return this.#timeoutMs;
  }

  setTimeout(timeoutMs: number): void {
    if (!(timeoutMs >= 0)) {
      throw new ShardbookError({
        code: 'SB_BAD_ARGUMENT',
        message: `Cannot set the timeout of a store to ${timeoutMs}: wanted milliseconds from 0`,
      });
    }
    this.#timeoutMs = timeoutMs;
  }

  /** Waits until the key is there. */
  get(key: string): string {
    this.wait([key]);
    return this.read(key) ?? '';
  }

  multiGet(keys: readonly string[]): string[] {
    return keys.map((key) => this.get(key));
  }

  /** Takes the value at the front; waits for one, or with `block` false fails at once when there is none. */
  queuePop(key: string, block = true): string {
    const end = performance.now() + this.#timeoutMs;
    for (;;) {
      const left = Math.max(0, end - performance.now());
      if (block) this.wait([key], this.#timeoutMs === DEFAULT_TIMEOUT_MS ? undefined : left);
      const value = this.shift(key);
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

  /** Returns when `worldSize` callers have come to this key. */
  barrier(key: string, worldSize: number, timeoutMs?: number): void {
    if (!Number.isInteger(worldSize) || worldSize < 1) {
      throw new ShardbookError({
        code: 'SB_BAD_ARGUMENT',
        message: `Cannot wait at barrier "${key}" of the store for ${worldSize} callers: wanted a whole number from 1`,
      });
    }
    if (this.add(`${key}/arrived`, 1) >= worldSize) this.set(`${key}/open`, '1');
    this.wait([`${key}/open`], timeoutMs);
  }

  hasExtendedApi(): boolean {
    return true;
  }
}

/** Waits, on behalf of a rank, until `ready`; throws if nobody can make it so any more. */
export type KeyWaiter = (keys: readonly string[], ready: () => boolean) => void;

export interface StoreHooks {
  /** For waits that no timeout of the user's ends. */
  waiter?: KeyWaiter;
  /** After every change. */
  changed?: () => void;
}

/** A store in memory that threads share. */
export class MemoryStore extends Store {
  readonly #words: Int32Array;
  readonly #data: Uint8Array;

  /** `owner` (from 0) says who holds the lock, so that a supervisor can free it for a thread that was killed. */
  constructor(
    private readonly memory: SharedArrayBuffer,
    private readonly owner = 0,
    private readonly hooks: StoreHooks = {},
  ) {
    super();
    this.#words = new Int32Array(memory, 0, Word.words);
    this.#data = new Uint8Array(memory, Word.words * 4);
  }

  set(key: string, value: string): void {
    this.#change((map) => void map.set(key, value));
  }

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

  multiSet(keys: readonly string[], values: readonly string[]): void {
    this.#change((map) => keys.forEach((key, i) => void map.set(key, values[i] ?? '')));
  }

  queuePush(key: string, value: string): void {
    this.#change((map) => void map.set(key, [...(queue('queuePush', key, map.get(key)) ?? []), value]));
  }

  queueLen(key: string): number {
    return queue('queueLen', key, this.#read().get(key))?.length ?? 0;
  }

  numKeys(): number {
    return this.#read().size;
  }

  listKeys(): string[] {
    return [...this.#read().keys()];
  }

  clone(): Store {
    const copy = new MemoryStore(this.memory, this.owner, this.hooks);
    copy.setTimeout(this.timeout);
    return copy;
  }

  protected read(key: string): string | undefined {
    return text('get', key, this.#read().get(key));
  }

  protected shift(key: string): string | undefined {
    return this.#change((map) => {
      const [first, ...rest] = queue('queuePop', key, map.get(key)) ?? [];
      if (rest.length > 0) map.set(key, rest);
      else if (first !== undefined) map.delete(key);
      return first;
    });
  }

  wait(keys: readonly string[], timeoutMs = this.timeout): void {
    if (this.hooks.waiter !== undefined && timeoutMs === DEFAULT_TIMEOUT_MS) {
      if (!this.check(keys)) this.hooks.waiter(keys, () => this.check(keys));
      return;
    }
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
    const result = this.#edit(edit);
    this.hooks.changed?.();
    return result;
  }

  #edit<T>(edit: (map: Entries) => T): T {
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
