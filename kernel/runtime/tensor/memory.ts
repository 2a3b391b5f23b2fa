/**
 * What lives in this rank's memory, for whoever keeps accounts. Costs one comparison while nobody does.
 *
 * The unit is the storage, and memory is alive as long as a holder is known: autograd holds what it saves for backward
 * ('Activation'), a leaf holds its gradient ('Gradient'), and the parallelisms and the optimizer claim what is theirs with
 * `claimMemory(tensor, 'All Gather')`. The garbage collector is never asked, so accounts are the same on every run.
 */
import type { Storage } from './storage.js';
import type { Tensor } from './tensor.js';

/** PyTorch's words (`_MemRefType`, `_FSDPRefType` of torch.distributed._tools); any other is a category of its own. */
export type MemoryCategory =
  | 'Parameter'
  | 'Buffer'
  | 'Gradient'
  | 'Optstate'
  | 'Activation'
  | 'Temp'
  | 'Other'
  | 'Inputs'
  | 'Sharded Param'
  | 'Unsharded Param'
  | 'Sharded Grad'
  | 'Unsharded Grad'
  | 'All Gather'
  | 'Reduce Scatter'
  | (string & {});

/** Hears of everything that happens to memory on this rank. */
export interface MemoryListener {
  /** One holder more. A storage has one category at a time: that of the latest claim, else of its latest holder. */
  hold?(storage: Storage, category: MemoryCategory, label: string | undefined): void;
  /** One holder less. */
  drop?(storage: Storage, category: MemoryCategory): void;
  /** The storage changed its size in place: FSDP frees and refills parameters this way. */
  resize?(storage: Storage, before: number): void;
  /** The gradient of a leaf was set, or taken away. */
  grad?(leaf: Tensor, before: Tensor | null, after: Tensor | null): void;
  /** An operation has run on real or meta memory: its inputs and results are alive at this moment. */
  ran?(op: string, inputs: readonly (Tensor | null)[], results: readonly Tensor[], params: unknown): void;
}

const listeners: MemoryListener[] = [];

/** What the tensor core tells; null while nobody listens. */
export const memory: { listener: Required<MemoryListener> | null } = { listener: null };

const all: Required<MemoryListener> = {
  hold: (...a) => listeners.forEach((l) => void l.hold?.(...a)),
  drop: (...a) => listeners.forEach((l) => void l.drop?.(...a)),
  resize: (...a) => listeners.forEach((l) => void l.resize?.(...a)),
  grad: (...a) => listeners.forEach((l) => void l.grad?.(...a)),
  ran: (...a) => listeners.forEach((l) => void l.ran?.(...a)),
};

/** Hears of memory on this rank from now on. Returns a function that unsubscribes. */
export function onMemory(listener: MemoryListener): () => void {
  listeners.push(listener);
  memory.listener = all;
  return () => {
    const at = listeners.indexOf(listener);
    if (at >= 0) listeners.splice(at, 1);
    if (listeners.length === 0) memory.listener = null;
  };
}

/** The categories that claims gave storages, known also to those who begin to listen later. */
const claimed = new WeakMap<Storage, { category: MemoryCategory; label: string | undefined }>();

/** What the latest claim said of a storage. */
export function claimOf(
  storage: Storage,
): { category: MemoryCategory; label: string | undefined } | undefined {
  return claimed.get(storage);
}

/** Tensors that stand for others (DTensor) say where their memory is. */
export function storageOf(t: Tensor): Storage {
  const local = (t as { localTensor?: unknown }).localTensor;
  return typeof local === 'object' && local !== null && 'storage' in local
    ? (local as Tensor).storage
    : t.storage;
}

/** Keeps a tensor's memory on the accounts until it is released. */
export class MemoryClaim {
  readonly storage: Storage;
  #category: MemoryCategory;
  #open = true;

  constructor(
    tensor: Tensor,
    category: MemoryCategory,
    readonly label?: string,
  ) {
    this.storage = storageOf(tensor);
    this.#category = category;
    claimed.set(this.storage, { category, label });
    memory.listener?.hold(this.storage, category, label);
  }

  get category(): MemoryCategory {
    return this.#category;
  }

  /** The same memory is something else from now on: an unsharded gradient becomes the input of a reduce-scatter. */
  move(category: MemoryCategory): this {
    if (!this.#open || category === this.#category) return this;
    const before = this.#category;
    this.#category = category;
    claimed.set(this.storage, { category, label: this.label });
    memory.listener?.hold(this.storage, category, this.label);
    memory.listener?.drop(this.storage, before);
    return this;
  }

  /** Takes the memory off the accounts, as far as nothing else holds it. */
  release(): void {
    if (!this.#open) return;
    this.#open = false;
    claimed.delete(this.storage);
    memory.listener?.drop(this.storage, this.#category);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/**
 * Says what a tensor's memory is for, and that it is alive until the claim is released.
 *
 * @param label shown in reports of what was alive: a parameter's or module's name
 */
export function claimMemory(tensor: Tensor, category: MemoryCategory, label?: string): MemoryClaim {
  return new MemoryClaim(tensor, category, label);
}
