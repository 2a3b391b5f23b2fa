/** The tensor: a view of a storage, with its place in the backward graph. Operations are added by methods.ts. */

import type { Nd } from '../backend/backend.js';
import { ShardbookError } from '../base/index.js';
import { type Edge, type GradHook, Node, type RemovableHandle, register } from './autograd/node.js';
import type { DType } from './dtype.js';
import { memory } from './memory.js';
import { contiguousStrides, isContiguousLayout, numelOf } from './shape.js';
import { state } from './state.js';
import type { Storage } from './storage.js';

export type Device = 'cpu' | 'meta';

export interface VersionCounter {
  value: number;
}

export interface TensorInit {
  storage: Storage;
  shape: readonly number[];
  strides?: readonly number[];
  storageOffset?: number;
  dtype: DType;
  device?: Device;
}

/** How a view was made, as far as writing to it in place matters. */
export type ViewKind = 'normal' | 'multiOutput' | 'noGrad' | 'inference';

export class Tensor {
  #storage: Storage;
  shape: readonly number[];
  strides: readonly number[];
  storageOffset: number;
  readonly dtype: DType;
  readonly device: Device;
  /** Shared by all views of one storage; an in-place operation counts it up. */
  versionCounter: VersionCounter = { value: 0 };
  /** Made inside inferenceMode. */
  readonly isInference: boolean;
  /** Stands for a JavaScript number: takes part in promotion by category only. */
  wrapped = false;

  #grad: Tensor | null = null;
  /** Whether the engine made .grad and nobody has asked for it since. */
  #gradUnseen = false;
  #requiresGrad = false;
  #gradFn: Node | null = null;
  outputNr = 0;
  #retains = false;
  #accumulator: AccumulateGrad | null = null;
  viewBase: Tensor | null = null;
  viewKind: ViewKind = 'normal';
  /** Makes this view anew of its base; kept for tensor subclasses, whose views strides do not describe. */
  viewReplay: ((base: Tensor) => Tensor) | null = null;
  /** Base version up to which this view's gradFn is right. */
  attrVersion = 0;

  constructor(init: TensorInit) {
    this.#storage = init.storage;
    this.shape = init.shape;
    this.strides = init.strides ?? contiguousStrides(init.shape);
    this.storageOffset = init.storageOffset ?? 0;
    this.dtype = init.dtype;
    this.device = init.device ?? (init.storage.isMeta ? 'meta' : 'cpu');
    this.isInference = state.inferenceMode;
  }

  /** Node prints a tensor as PyTorch does. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return String(this);
  }

  get storage(): Storage {
    return this.#storage;
  }

  /** Points this tensor at other memory (`t.data = other`, `set_`): the object and its graph stay. */
  setData(other: Tensor): void {
    if (other.dtype !== this.dtype) (this as { dtype: DType }).dtype = other.dtype;
    if (other.device !== this.device) (this as { device: Device }).device = other.device;
    this.#storage = other.storage;
    this.shape = other.shape;
    this.strides = other.strides;
    this.storageOffset = other.storageOffset;
  }

  /** Changes how this tensor lies over its storage, in place (`t_`, `unsqueeze_`). */
  setLayout(shape: readonly number[], strides: readonly number[], offset: number): void {
    this.shape = shape;
    this.strides = strides;
    this.storageOffset = offset;
  }

  get ndim(): number {
    return this.shape.length;
  }

  numel(): number {
    return numelOf(this.shape);
  }

  get isMeta(): boolean {
    return this.device === 'meta';
  }

  isContiguous(): boolean {
    return isContiguousLayout(this.shape, this.strides);
  }

  /** As a backend operand. */
  nd(): Nd {
    return {
      dtype: this.dtype.name,
      data: this.#storage.as(this.dtype),
      shape: this.shape,
      strides: this.strides,
      offset: this.storageOffset,
    };
  }

  /** What this rank holds of it: itself, but of a distributed tensor its part. */
  localPart(): Tensor {
    return this;
  }

  /** Whether elementwise operations on both can be done part by part: plain tensors, or distributed ones that are cut alike. */
  liesAs(other: Tensor): boolean {
    return this.constructor === Tensor && other.constructor === Tensor;
  }

  /** Whether the flag is set here; of a distributed tensor: on any rank of its mesh, all of which ask. */
  anyOnMesh(flag: boolean): boolean {
    return flag;
  }

  /** Tells tensors of different meshes apart; empty for plain tensors. */
  get meshKey(): string {
    return '';
  }

  /** All of it on this rank: itself, but a distributed tensor is gathered. */
  wholeTensor(): Tensor {
    return this;
  }

  /**
   * A tensor of new values that lies as this one, of whose parts `local` is this rank's. Nothing is pending in new values, so
   * they cannot come `inPlace` of pending ones.
   */
  withLocalPart(local: Tensor, _inPlace = false): Tensor {
    return local;
  }

  /** A copy outside the graph with memory of its own, lying as this one. */
  ownCopy(): Tensor {
    return this.detach().clone();
  }

  /** `f32[3, 4]`, as errors write tensors. */
  describe(): string {
    return `${this.dtype.short}[${this.shape.join(', ')}]`;
  }

  // ---------------------------------------------------------------- autograd

  /** How many times the memory was written in place. */
  get version(): number {
    return this.versionCounter.value;
  }

  get grad(): Tensor | null {
    this.#gradUnseen = false;
    return this.#grad;
  }

  /** .grad for the runtime's own use: who calls this keeps no reference. */
  peekGrad(): Tensor | null {
    return this.#grad;
  }

  /** Takes .grad away. `unseen`: it is the caller's alone, who may recycle its memory. */
  takeGrad(): { grad: Tensor | null; unseen: boolean } {
    const taken = { grad: this.#grad, unseen: this.#gradUnseen && this.#grad?.constructor === Tensor };
    this.setGrad(null);
    return taken;
  }

  set grad(value: Tensor | null | undefined) {
    if (value) {
      const same =
        value.shape.length === this.shape.length && value.shape.every((s, d) => s === this.shape[d]);
      if (!same || value.dtype !== this.dtype) {
        throw new ShardbookError({
          code: 'SB_GRAD_MISMATCH',
          message: `Cannot set .grad: the tensor is ${this.describe()} and the gradient ${value.describe()}`,
        });
      }
    }
    this.setGrad(value ?? null);
  }

  /** Sets .grad without the checks of assignment. `unseen`: nobody else has a tensor over its memory. */
  setGrad(value: Tensor | null, unseen = false): void {
    if (memory.listener !== null) memory.listener.grad(this, this.#grad, value);
    this.#grad = value;
    this.#gradUnseen = unseen;
  }

  get isLeaf(): boolean {
    return this.#gradFnNow() === null;
  }

  get requiresGrad(): boolean {
    return this.#requiresGrad || this.#gradFnNow() !== null;
  }

  set requiresGrad(on: boolean) {
    if (on === this.requiresGrad) return;
    if (!this.isLeaf) {
      throw new ShardbookError({
        code: 'SB_NOT_LEAF',
        message: 'Cannot change requiresGrad: the tensor is not a leaf',
        help: 'use .detach() for a tensor outside the graph',
      });
    }
    if (on && !this.dtype.isFloatingPoint) {
      throw new ShardbookError({
        code: 'SB_GRAD_DTYPE',
        message: `Cannot require a gradient of ${this.describe()}: only floating point tensors have gradients`,
      });
    }
    if (on && this.isInference && !state.inferenceMode) {
      throw new ShardbookError({
        code: 'SB_INFERENCE',
        message: 'Cannot require a gradient of an inference tensor outside inferenceMode',
        help: 'clone it first',
      });
    }
    this.#requiresGrad = on;
  }

  get gradFn(): Node | null {
    return this.#gradFnNow();
  }

  #gradFnNow(): Node | null {
    // A view whose base was written in place since gets its history anew from the base.
    if (this.viewBase && this.attrVersion !== this.versionCounter.value && this.viewBase.hasHistory) {
      this.attrVersion = this.versionCounter.value;
      const edge = refreshView(this);
      this.#gradFn = edge?.node ?? null;
      this.outputNr = edge?.index ?? 0;
    }
    return this.#gradFn;
  }

  get hasHistory(): boolean {
    return this.#requiresGrad || this.#gradFn !== null;
  }

  /** Makes this tensor result `index` of `node`; null takes it out of the graph. */
  setHistory(node: Node | null, index = 0): void {
    this.#gradFn = node;
    this.outputNr = index;
    this.attrVersion = this.versionCounter.value;
    if (node) this.#requiresGrad = false;
  }

  /** Back to a leaf that requires nothing. */
  clearHistory(): void {
    this.#gradFn = null;
    this.#requiresGrad = false;
    this.viewBase = null;
  }

  /** Where this tensor's gradient goes. */
  gradEdge(): Edge | null {
    const node = this.#gradFnNow();
    if (node) return { node, index: this.outputNr };
    return this.#requiresGrad ? { node: this.gradAccumulator(), index: 0 } : null;
  }

  /** The node that adds into .grad of a leaf; one for the life of the tensor. */
  gradAccumulator(): AccumulateGrad {
    this.#accumulator ??= new AccumulateGrad(this);
    return this.#accumulator;
  }

  get retainsGrad(): boolean {
    return this.#retains;
  }

  /** Keeps .grad of a tensor that is not a leaf. */
  retainGrad(): void {
    if (!this.requiresGrad) {
      throw new ShardbookError({
        code: 'SB_NO_GRAD',
        message: 'Cannot retain the gradient: the tensor does not require one',
      });
    }
    const node = this.#gradFnNow();
    if (!node || this.#retains) return;
    this.#retains = true;
    node.retained.set(this.outputNr, this);
  }

  /** Carries `retainGrad` over when an in-place operation gives the tensor a new node. */
  moveRetainTo(node: Node, index: number): void {
    if (!this.#retains) return;
    this.#gradFn?.retained.delete(this.outputNr);
    node.retained.set(index, this);
  }

  /** Called with the gradient of this tensor each time one is computed; what it returns takes its place. */
  registerHook(hook: GradHook): RemovableHandle {
    return this.#hook({ hook, sees: true });
  }

  /** As `registerHook`, without being given the gradient: whoever does not see it cannot keep it, so its memory can be used again. */
  onGradient(run: () => void): RemovableHandle {
    return this.#hook({ hook: () => run(), sees: false });
  }

  #hook(entry: { hook: GradHook; sees: boolean }): RemovableHandle {
    if (!this.requiresGrad) {
      throw new ShardbookError({
        code: 'SB_NO_GRAD',
        message: 'Cannot register a hook: the tensor does not require a gradient',
        help: 'call requiresGrad_() first',
      });
    }
    const node = this.#gradFnNow();
    const on = node ?? this.gradAccumulator();
    return register(on.tensorHooks, { index: node ? this.outputNr : 0, ...entry });
  }

  /** Called after each accumulation into .grad of this leaf. */
  registerPostAccumulateGradHook(hook: (parameter: Tensor) => void): RemovableHandle {
    if (!this.requiresGrad || !this.isLeaf) {
      throw new ShardbookError({
        code: this.isLeaf ? 'SB_NO_GRAD' : 'SB_NOT_LEAF',
        message: this.isLeaf
          ? 'Cannot register a post-accumulate hook: the tensor does not require a gradient'
          : 'Cannot register a post-accumulate hook: the tensor is not a leaf',
      });
    }
    return register(this.gradAccumulator().postAccumulate, hook);
  }
}

let accumulate: (variable: Tensor, grad: Tensor) => void = () => undefined;
let refreshView: (view: Tensor) => Edge | null = () => null;

/** Wired by the engine, which stands above this file. */
export function installGradAccess(hooks: {
  accumulate: typeof accumulate;
  refreshView: typeof refreshView;
}): void {
  accumulate = hooks.accumulate;
  refreshView = hooks.refreshView;
}

/** Adds gradients into a leaf's .grad; of the ready nodes these run first. */
export class AccumulateGrad extends Node {
  readonly postAccumulate: ((parameter: Tensor) => void)[] = [];
  constructor(readonly variable: Tensor) {
    super('AccumulateGrad', Number.POSITIVE_INFINITY);
    this.inputMeta.push({ shape: variable.shape, dtype: variable.dtype, device: variable.device });
  }
  override apply(grads: (Tensor | null)[]): (Tensor | null)[] {
    const grad = grads[0];
    if (grad) {
      accumulate(this.variable, grad);
      for (const hook of [...this.postAccumulate]) hook(this.variable);
    }
    return [];
  }
}
