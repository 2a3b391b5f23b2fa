/** The stores that programs make: by name in the memory of the world, or of a thread alone. */
import { ShardbookError } from '../../base/index.js';
import { MemoryStore, Store } from './store.js';

const LOCAL_BYTES = 2 ** 20;

/** What all ranks of this thread's world share; without a world, what this thread has. */
let shared: Store | undefined;

/** Said when this thread joins a world: stores by name are in its store from now on. */
export function shareStores(store: Store): void {
  shared = store;
}

function sharedStore(): Store {
  shared ??= new HashStore();
  return shared;
}

/** A store of this thread alone. */
export class HashStore extends MemoryStore {
  constructor(bytes = LOCAL_BYTES) {
    super(new SharedArrayBuffer(bytes));
  }
}

/** Another store's keys under a prefix. */
export class PrefixStore extends Store {
  constructor(
    readonly prefix: string,
    readonly store: Store,
  ) {
    super();
  }

  get underlyingStore(): Store {
    return this.store;
  }

  override get timeout(): number {
    return this.store.timeout;
  }
  override setTimeout(timeoutMs: number): void {
    this.store.setTimeout(timeoutMs);
  }
  set(key: string, value: string): void {
    this.store.set(this.key(key), value);
  }
  override get(key: string): string {
    return this.store.get(this.key(key));
  }
  add(key: string, amount: number): number {
    return this.store.add(this.key(key), amount);
  }
  append(key: string, value: string): void {
    this.store.append(this.key(key), value);
  }
  check(keys: readonly string[]): boolean {
    return this.store.check(this.keys(keys));
  }
  compareSet(key: string, expected: string, desired: string): string {
    return this.store.compareSet(this.key(key), expected, desired);
  }
  deleteKey(key: string): boolean {
    return this.store.deleteKey(this.key(key));
  }
  multiSet(keys: readonly string[], values: readonly string[]): void {
    this.store.multiSet(this.keys(keys), values);
  }
  queuePush(key: string, value: string): void {
    this.store.queuePush(this.key(key), value);
  }
  override queuePop(key: string, block = true): string {
    return this.store.queuePop(this.key(key), block);
  }
  queueLen(key: string): number {
    return this.store.queueLen(this.key(key));
  }
  /** Of the whole store, as in PyTorch. */
  numKeys(): number {
    return this.store.numKeys();
  }
  /** Of the whole store, as in PyTorch. */
  listKeys(): string[] {
    return this.store.listKeys();
  }
  clone(): Store {
    return new PrefixStore(this.prefix, this.store.clone());
  }
  wait(keys: readonly string[], timeoutMs?: number): void {
    this.store.wait(this.keys(keys), timeoutMs);
  }

  protected read(key: string): string {
    return this.store.get(this.key(key));
  }
  protected shift(key: string): string {
    return this.store.queuePop(this.key(key), false);
  }
  protected key(key: string): string {
    return `${this.prefix}/${key}`;
  }
  protected keys(keys: readonly string[]): string[] {
    return keys.map((key) => this.key(key));
  }
}

/** A part of the world's store that goes by a name and sees its own keys only. */
class NamedStore extends PrefixStore {
  constructor(name: string, timeoutMs: number | undefined) {
    super(name, sharedStore().clone());
    if (timeoutMs !== undefined) this.setTimeout(timeoutMs);
  }
  override listKeys(): string[] {
    const start = `${this.prefix}/`;
    return this.store.listKeys().flatMap((key) => (key.startsWith(start) ? [key.slice(start.length)] : []));
  }
  override numKeys(): number {
    return this.listKeys().length;
  }
}

export interface TCPStoreOptions {
  worldSize?: number | null;
  isMaster?: boolean;
  timeoutMs?: number;
  /** The constructor returns when `worldSize` stores of this address exist. Default true. */
  waitForWorkers?: boolean;
  multiTenant?: boolean;
}

/** The store of an address. Ranks are threads of one machine, so the address is a name and nothing listens on it. */
export class TCPStore extends NamedStore {
  readonly port: number;

  constructor(
    readonly host: string,
    port: number,
    worldSize?: number | TCPStoreOptions | null,
    isMaster?: boolean | TCPStoreOptions,
    timeoutMs?: number,
    waitForWorkers?: boolean,
  ) {
    const last = [worldSize, isMaster].find((o) => typeof o === 'object' && o !== null) as
      | TCPStoreOptions
      | undefined;
    const size = typeof worldSize === 'number' ? worldSize : last?.worldSize;
    if (!Number.isInteger(port) || port < 0 || port > 65_535) {
      throw badStore(`TCPStore at port ${port}`, 'wanted a whole number from 0 to 65535');
    }
    if (size !== undefined && size !== null && (!Number.isInteger(size) || size < 1)) {
      throw badStore(`TCPStore for ${size} workers`, 'wanted a whole number from 1');
    }
    super(`tcp://${host}:${port}`, timeoutMs ?? last?.timeoutMs);
    this.port = port;
    const joined = this.add('init/', 1);
    if (size !== undefined && size !== null && (waitForWorkers ?? last?.waitForWorkers ?? true)) {
      if (joined >= size) this.set('init/all', '1');
      else this.wait(['init/all']);
    }
  }

  override listKeys(): string[] {
    return super.listKeys().filter((key) => key !== 'init/all');
  }
}

/** The store of a file name, in the memory of the world; keys cannot be deleted, as in PyTorch. */
export class FileStore extends NamedStore {
  constructor(
    readonly path: string,
    readonly worldSize = -1,
  ) {
    if (typeof path !== 'string' || path === '') throw badStore('FileStore', 'wanted the name of a file');
    super(`file://${path}`, undefined);
  }

  override deleteKey(key: string): boolean {
    throw new ShardbookError({
      code: 'SB_NOT_SUPPORTED',
      message: `Cannot delete key "${key}" of a FileStore: only other stores can delete`,
      help: 'use a TCPStore or a HashStore',
    });
  }
}

function badStore(what: string, wanted: string): ShardbookError {
  return new ShardbookError({ code: 'SB_BAD_ARGUMENT', message: `Cannot make a ${what}: ${wanted}` });
}
