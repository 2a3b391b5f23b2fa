/**
 * What is in a rank's memory, byte by byte and by category, while a real program runs.
 *
 * Memory is alive as long as something known holds it: what `track` was given, gradients of leaves, what autograd saved, what
 * the parallelisms claim, gradients under way in backward, and the inputs and results of the operation that runs. A tensor
 * that only a variable holds is not counted. The garbage collector is never asked: same program, same figures.
 *
 * There are two accounts: the device's, and that of host memory, where offloading keeps shards, their gradients and the optimizer's
 * state. Here both are the same memory; what it is claimed as tells where it would be.
 */
import { runStarted, ShardbookError } from '../base/index.js';
import { addCommHook, type CommCall } from '../distributed/group/index.js';
import {
  claimOf,
  type MemoryCategory,
  type MemoryListener,
  onMemory,
  Storage,
  storageOf,
  Tensor,
} from '../tensor/index.js';
import type { Cluster } from './cluster.js';
import { type MimeBundle, toMime } from './figures.js';
import {
  Book,
  type Books,
  type LedgerAccount,
  type LedgerEntry,
  type LedgerPeak,
  type LedgerPoint,
  type Place,
  Timeline,
} from './ledger-book.js';
import { bufferCategory, gradCategory, placeOf, weightOf } from './ledger-categories.js';
import { ledgerFigure, ledgerText, outOfMemory, plainAccount } from './ledger-report.js';

export interface LedgerOptions {
  /** Bytes that the device has; more throws. Default: the cluster's device memory, else no limit. Host memory has none. */
  capacity?: number;
  cluster?: Cluster;
  /** Sizes are rounded up to multiples of this; the CUDA caching allocator's is 512. Default 1: exact. */
  block?: number;
  /** For reports; default 0. */
  rank?: number;
}

interface Module {
  namedParameters(): Iterable<[string, Tensor]>;
  namedBuffers(): Iterable<[string, Tensor]>;
}

interface OptimizerLike {
  readonly state: ReadonlyMap<Tensor, Record<string, unknown>>;
  registerStepPostHook(hook: () => void): { remove(): void };
}

/** What a ledger can be told of. */
export type Trackable = Tensor | Module | OptimizerLike | Iterable<Tensor>;

interface Account {
  storage: Storage;
  place: Place;
  /** Made by an operation that runs on the host. */
  madeOnHost: boolean;
  category: MemoryCategory;
  bytes: number;
  /** Holders by category, in the order in which they came. */
  holders: Map<MemoryCategory, number>;
  label: string | undefined;
}

/** The bytes that live on this rank, by category, at every moment of a run. */
export class MemoryLedger implements MemoryListener {
  readonly capacity: number | undefined;
  readonly rank: number;
  readonly #block: number;
  readonly #accounts = new Map<Storage, Account>();
  readonly #books: Books = {
    device: new Book(() => this.alive()),
    host: new Book(() => this.#aliveIn('host')),
  };
  /** Not held by anything but the operation that ran last. */
  #passing: Account[] = [];
  readonly #buffers = new Map<CommCall, { category: MemoryCategory; storages: Storage[] }>();
  readonly #names = new WeakMap<Tensor, string>();
  readonly #makers = new WeakMap<Storage, string>();
  /** Under what a gradient was counted. */
  readonly #gradKinds = new WeakMap<Tensor, MemoryCategory>();
  readonly #timeline = new Timeline();
  #stop: (() => void) | undefined;
  #undo: (() => void)[] = [];

  constructor(options: LedgerOptions = {}) {
    this.capacity = options.capacity ?? options.cluster?.memoryBytes;
    this.rank = options.rank ?? 0;
    this.#block = options.block ?? 1;
    for (const [name, value] of [
      ['capacity', this.capacity ?? 1],
      ['block', this.#block],
    ] as const) {
      if (!(value > 0)) {
        throw new ShardbookError({
          code: 'SB_LEDGER',
          message: `Cannot keep a ledger with ${name} ${value}: wanted more than 0 bytes`,
        });
      }
    }
  }

  // ---------------------------------------------------------------- use

  /** Listens from now on. */
  start(): this {
    if (this.#stop !== undefined) return this;
    const stops = [onMemory(this)];
    this.#stop = () => {
      for (const stop of stops) stop();
    };
    stops.push(
      addCommHook({
        before: (call) => this.#holdBuffers(call),
        done: (call, error) => {
          if (error !== undefined) this.#dropBuffers(call);
        },
        waited: (call) => this.#dropBuffers(call),
      }),
    );
    return this;
  }

  /** Stops listening; figures stay. */
  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
    for (const call of [...this.#buffers.keys()]) this.#dropBuffers(call);
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** Listens while `body` runs, also while what it returns is pending. */
  run<T>(body: () => T): T {
    return runStarted(this, body);
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /**
   * Counts memory that is there: a module's parameters, gradients and buffers, an optimizer's state (also what comes with its
   * steps), or tensors. What a parallelism has claimed keeps the category of its claim.
   */
  track(what: Trackable, category?: MemoryCategory): this {
    if (what instanceof Tensor) this.#trackTensor(what, category ?? 'Other');
    else if ('namedParameters' in what) this.#trackModule(what);
    else if ('registerStepPostHook' in what) this.#trackOptimizer(what);
    else for (const t of what) this.#trackTensor(t, category ?? 'Other');
    return this;
  }

  /** Takes tensors off the accounts that `track` put there. */
  untrack(what: Tensor | Iterable<Tensor>, category: MemoryCategory = 'Other'): void {
    for (const t of what instanceof Tensor ? [what] : what) this.drop(storageOf(t), category);
  }

  // ---------------------------------------------------------------- figures

  /** Bytes that are alive on the device. */
  get total(): number {
    return this.#books.device.bytes;
  }

  /** Bytes on the device by category, without empty ones. */
  get categories(): Record<string, number> {
    return this.#books.device.categories;
  }

  /** The moment at which most was alive on the device. */
  get peak(): LedgerPeak {
    return this.#books.device.peak;
  }

  /** Host memory: what offloading keeps there. */
  get host(): LedgerAccount {
    return this.#books.host;
  }

  /** Forgets the peaks: they are now. As torch.cuda.reset_peak_memory_stats. */
  resetPeak(): void {
    this.#dropPassing();
    for (const book of Object.values(this.#books)) book.resetPeak();
  }

  /** What is alive on the device, largest first. */
  alive(): LedgerEntry[] {
    return this.#aliveIn('device');
  }

  #aliveIn(place: Place): LedgerEntry[] {
    const entries = [...this.#accounts.values()]
      .filter((account) => account.place === place && account.bytes > 0)
      .map((account) => ({
        label: this.#labelOf(account),
        category: account.category,
        bytes: account.bytes,
      }));
    return entries.sort((a, b) => b.bytes - a.bytes || (a.label < b.label ? -1 : 1));
  }

  /** Bytes by category over time; thinned out when it gets long, the peak stays. */
  get timeline(): readonly LedgerPoint[] {
    return this.#timeline.points;
  }

  // ---------------------------------------------------------------- listening

  hold(storage: Storage, category: MemoryCategory, label?: string): void {
    const account = this.#accounts.get(storage) ?? this.#open(storage, category);
    account.holders.set(category, (account.holders.get(category) ?? 0) + 1);
    account.label ??= label;
    this.#passing = this.#passing.filter((other) => other !== account);
    this.#recategorise(account, category);
    this.#after(label === undefined ? category : `${category} ${label}`);
  }

  drop(storage: Storage, category: MemoryCategory): void {
    const account = this.#accounts.get(storage);
    const count = account?.holders.get(category);
    // Held before this ledger listened.
    if (account === undefined || count === undefined) return;
    if (count > 1) account.holders.set(category, count - 1);
    else account.holders.delete(category);
    if (account.holders.size === 0) {
      this.#close(account);
      this.#note(`free ${category}`);
    } else if (account.category === category && count === 1) this.#recategorise(account);
  }

  resize(storage: Storage, _before: number): void {
    const account = this.#accounts.get(storage);
    if (account === undefined) return;
    const bytes = this.#round(storage.nbytes);
    const book = this.#books[account.place];
    const grows = bytes > account.bytes;
    if (!grows) book.beforeLess();
    book.count(account.category, bytes - account.bytes);
    account.bytes = bytes;
    this.#after(grows ? `${account.category} ${this.#labelOf(account)}` : `free ${account.category}`);
  }

  grad(leaf: Tensor, before: Tensor | null, after: Tensor | null): void {
    if (before === after) return;
    const name = this.#names.get(leaf);
    if (after !== null) {
      const category = gradCategory(leaf);
      this.#gradKinds.set(after, category);
      this.hold(storageOf(after), category, name === undefined ? undefined : `${name}.grad`);
    }
    // What its parameter is claimed as may have changed since.
    if (before !== null) this.drop(storageOf(before), this.#gradKinds.get(before) ?? gradCategory(leaf));
  }

  ran(op: string, inputs: readonly (Tensor | null)[], results: readonly Tensor[]): void {
    const storages = new Set<Storage>();
    // A JavaScript number is wrapped in a tensor; it takes no device memory.
    for (const t of inputs) {
      if (t === null || t.wrapped) continue;
      const storage = storageOf(t);
      storages.add(storage);
      if (!this.#makers.has(storage)) this.#makers.set(storage, `${t.describe()} read by ${op}`);
    }
    for (const t of results) {
      const storage = storageOf(t);
      storages.add(storage);
      if (!this.#makers.has(storage)) this.#makers.set(storage, `${t.describe()} of ${op}`);
    }
    // What the operation before left is gone when this one allocates its results, unless it reads it.
    const gone = this.#passing.filter((account) => !storages.has(account.storage));
    for (const account of gone) this.#close(account);
    this.#passing = [];
    // What reads host memory runs on the host.
    const onHost = inputs.some((t) => t !== null && this.#accounts.get(storageOf(t))?.place === 'host');
    for (const storage of storages) {
      const account = this.#accounts.get(storage) ?? this.#open(storage, 'Temp', onHost);
      if (account.holders.size === 0) this.#passing.push(account);
    }
    this.#after(op);
  }

  // ---------------------------------------------------------------- accounts

  #holdBuffers(call: CommCall): void {
    const category = bufferCategory(call.op);
    const storages = new Set<Storage>();
    for (const { storage } of [...call.inputs, ...call.outputs])
      if (storage instanceof Storage) storages.add(storage);
    this.#buffers.set(call, { category, storages: [...storages] });
    for (const storage of storages) this.hold(storage, category);
  }

  #dropBuffers(call: CommCall): void {
    const held = this.#buffers.get(call);
    this.#buffers.delete(call);
    for (const storage of held?.storages ?? []) this.drop(storage, held!.category);
  }

  #trackTensor(t: Tensor, category: MemoryCategory, name?: string): void {
    const storage = storageOf(t);
    const claim = claimOf(storage);
    if (name !== undefined) this.#names.set(t, name);
    this.hold(storage, claim?.category ?? category, claim?.label ?? name ?? t.describe());
  }

  #trackModule(module: Module): void {
    for (const [name, p] of module.namedParameters()) {
      this.#trackTensor(p, 'Parameter', name);
      if (p.grad) this.hold(storageOf(p.grad), gradCategory(p), `${name}.grad`);
    }
    for (const [name, b] of module.namedBuffers()) this.#trackTensor(b, 'Buffer', name);
  }

  #trackOptimizer(optimizer: OptimizerLike): void {
    type Held = Map<Storage, { category: MemoryCategory; label: string }>;
    let held: Held = new Map();
    const look = (): void => {
      const now: Held = new Map();
      let index = 0;
      for (const [p, state] of optimizer.state) {
        const owner = this.#names.get(p) ?? `parameter ${index}`;
        index++;
        const category =
          claimOf(storageOf(p))?.category === 'Offloaded Param' ? 'Offloaded Optstate' : 'Optstate';
        for (const [key, value] of Object.entries(state))
          if (value instanceof Tensor) now.set(storageOf(value), { category, label: `${owner}.${key}` });
      }
      for (const [storage, { category, label }] of now)
        if (!held.has(storage)) this.hold(storage, category, label);
      for (const [storage, { category }] of held) if (!now.has(storage)) this.drop(storage, category);
      held = now;
    };
    look();
    const hook = optimizer.registerStepPostHook(look);
    this.#undo.push(() => hook.remove());
  }

  #open(storage: Storage, category: MemoryCategory, madeOnHost = false): Account {
    const account: Account = {
      storage,
      place: placeOf(category, madeOnHost),
      madeOnHost,
      category,
      bytes: this.#round(storage.nbytes),
      holders: new Map(),
      label: claimOf(storage)?.label,
    };
    this.#accounts.set(storage, account);
    this.#books[account.place].count(category, account.bytes);
    return account;
  }

  #close(account: Account): void {
    const book = this.#books[account.place];
    book.beforeLess();
    this.#accounts.delete(account.storage);
    book.count(account.category, -account.bytes);
  }

  #recategorise(account: Account, latest?: MemoryCategory): void {
    let best: MemoryCategory | undefined;
    for (const category of account.holders.keys())
      if (best === undefined || weightOf(category) >= weightOf(best)) best = category;
    if (latest !== undefined && weightOf(latest) >= weightOf(best!)) best = latest;
    const claim = claimOf(account.storage)?.category;
    const category = claim !== undefined && account.holders.has(claim) ? claim : best!;
    if (category === account.category) return;
    const place = placeOf(category, account.madeOnHost);
    if (place !== account.place) this.#books[account.place].beforeLess();
    this.#books[account.place].count(account.category, -account.bytes);
    this.#books[place].count(category, account.bytes);
    account.category = category;
    account.place = place;
  }

  #round(bytes: number): number {
    return Math.ceil(bytes / this.#block) * this.#block;
  }

  #dropPassing(): void {
    for (const account of this.#passing.splice(0)) this.#close(account);
  }

  #labelOf(account: Account): string {
    return account.label ?? this.#makers.get(account.storage) ?? 'unnamed';
  }

  #after(at: string): void {
    for (const book of Object.values(this.#books)) book.after(at);
    this.#note(at);
    if (this.capacity === undefined || this.total <= this.capacity) return;
    const error = outOfMemory(at, this.rank, this.capacity, this.#books.device, this.alive());
    this.#dropPassing();
    throw error;
  }

  #note(at: string): void {
    this.#timeline.note(at, this.#books);
  }

  // ---------------------------------------------------------------- display

  [toMime](): MimeBundle {
    const figure = ledgerFigure(this, this.#books, this.timeline);
    return { 'application/vnd.plotly.v1+json': figure, 'text/plain': this.toString() };
  }

  toString(): string {
    return ledgerText(this, this.#books);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  /** Plain figures, to send to other ranks or to write down. */
  toJSON(): LedgerAccount & { rank: number; host: LedgerAccount } {
    return { rank: this.rank, ...plainAccount(this.#books.device), host: plainAccount(this.#books.host) };
  }
}
