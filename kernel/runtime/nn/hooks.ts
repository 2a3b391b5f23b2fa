import type { Tensor } from '../tensor/index.js';
import type { Module } from './module.js';

/** Positional arguments of a call, as hooks see them. */
export type Args = readonly unknown[];
/** Keyword arguments of a call: the plain object that was its last argument. */
export type Kwargs = Readonly<Record<string, unknown>>;
/** One gradient for each tensor; null where there is none. */
export type Grads = readonly (Tensor | null)[];

/** Before `forward`; what it returns replaces the arguments. */
export type ForwardPreHook = (module: Module, args: Args) => unknown;
/** Before `forward`; returns nothing, or arguments and keyword arguments in place of those given. */
export type ForwardPreHookWithKwargs = (
  module: Module,
  args: Args,
  kwargs: Kwargs,
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook may be a function without a return value
) => readonly [Args, Kwargs] | null | undefined | void;
/** After `forward`; what it returns replaces the output. */
export type ForwardHook = (module: Module, args: Args, output: unknown) => unknown;
/** After `forward`, with keyword arguments; what it returns replaces the output. */
export type ForwardHookWithKwargs = (module: Module, args: Args, kwargs: Kwargs, output: unknown) => unknown;
/** Before the backward of a module; what it returns replaces the gradients of the outputs. */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook may be a function without a return value
export type BackwardPreHook = (module: Module, gradOutput: Grads) => Grads | Tensor | null | undefined | void;
/** After the backward of a module; what it returns replaces the gradients of the inputs. */
export type BackwardHook = (
  module: Module,
  gradInput: Grads,
  gradOutput: Grads,
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook may be a function without a return value
) => Grads | Tensor | null | undefined | void;
/** Tensors by the paths of their names: `layers.0.weight`. */
export type StateDict = Record<string, Tensor>;
/** Before a module is saved. */
export type StateDictPreHook = (module: Module, prefix: string, keepVars: boolean) => void;
/** After a module was saved; what it returns replaces the dictionary. */
export type StateDictPostHook = (
  module: Module,
  stateDict: StateDict,
  prefix: string,
  localMetadata: LocalMetadata,
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook may be a function without a return value
) => StateDict | null | undefined | void;
/** Before a module is loaded; may change the dictionary and the lists of problems. */
export type LoadStateDictPreHook = (
  module: Module,
  stateDict: StateDict,
  prefix: string,
  localMetadata: LocalMetadata,
  strict: boolean,
  missingKeys: string[],
  unexpectedKeys: string[],
  errorMessages: string[],
) => void;
/** After a module was loaded; may clear the lists, so that `strict` does not complain. */
export type LoadStateDictPostHook = (module: Module, incompatibleKeys: IncompatibleKeys) => void;

/** What a module says of itself beside its tensors. */
export interface LocalMetadata {
  assignToParamsBuffers?: boolean;
}

export interface HookOptions {
  /** Run before the hooks registered so far. */
  prepend?: boolean;
}

/** What `loadStateDict` reports: keys the module has and the dictionary lacks, and the reverse. */
export class IncompatibleKeys {
  constructor(
    readonly missingKeys: string[],
    readonly unexpectedKeys: string[],
  ) {}

  toString(): string {
    if (this.missingKeys.length === 0 && this.unexpectedKeys.length === 0)
      return '<All keys matched successfully>';
    return `IncompatibleKeys(missingKeys=[${this.missingKeys.join(', ')}], unexpectedKeys=[${this.unexpectedKeys.join(', ')}])`;
  }

  *[Symbol.iterator](): Generator<string[]> {
    yield this.missingKeys;
    yield this.unexpectedKeys;
  }
}

export interface HookEntry<H> {
  readonly hook: H;
  readonly withKwargs: boolean;
  readonly alwaysCall: boolean;
}

/** Takes a hook off again. */
export interface RemovableHandle extends Disposable {
  readonly id: number;
  remove(): void;
}

let nextHandleId = 0;

/** Hooks of one kind in the order in which they run; a run sees the list as it was when the run began. */
export class HookList<H> {
  #entries: readonly HookEntry<H>[] = [];

  get entries(): readonly HookEntry<H>[] {
    return this.#entries;
  }

  get size(): number {
    return this.#entries.length;
  }

  add(
    hook: H,
    options: { prepend?: boolean; withKwargs?: boolean; alwaysCall?: boolean } = {},
  ): RemovableHandle {
    const entry = { hook, withKwargs: options.withKwargs ?? false, alwaysCall: options.alwaysCall ?? false };
    this.#entries = options.prepend ? [entry, ...this.#entries] : [...this.#entries, entry];
    const remove = (): void => {
      this.#entries = this.#entries.filter((e) => e !== entry);
    };
    return { id: nextHandleId++, remove, [Symbol.dispose]: remove };
  }

  copyFrom(other: HookList<H>): void {
    this.#entries = other.#entries;
  }
}

/** Hooks of every kind of one module, or of all modules. */
export class ModuleHooks {
  readonly forwardPre = new HookList<ForwardPreHook | ForwardPreHookWithKwargs>();
  readonly forward = new HookList<ForwardHook | ForwardHookWithKwargs>();
  readonly backwardPre = new HookList<BackwardPreHook>();
  readonly backward = new HookList<BackwardHook>();
  readonly stateDictPre = new HookList<StateDictPreHook>();
  readonly stateDictPost = new HookList<StateDictPostHook>();
  readonly loadStateDictPre = new HookList<LoadStateDictPreHook>();
  readonly loadStateDictPost = new HookList<LoadStateDictPostHook>();

  copyFrom(other: ModuleHooks): void {
    this.forwardPre.copyFrom(other.forwardPre);
    this.forward.copyFrom(other.forward);
    this.backwardPre.copyFrom(other.backwardPre);
    this.backward.copyFrom(other.backward);
    this.stateDictPre.copyFrom(other.stateDictPre);
    this.stateDictPost.copyFrom(other.stateDictPost);
    this.loadStateDictPre.copyFrom(other.loadStateDictPre);
    this.loadStateDictPost.copyFrom(other.loadStateDictPost);
  }

  /** Whether a call of the module must look at hooks at all. */
  get touchCalls(): boolean {
    return this.forwardPre.size + this.forward.size + this.backwardPre.size + this.backward.size > 0;
  }
}

/** Hooks that run for every module, before the module's own. */
export const globalHooks = new ModuleHooks();

/** Registers a hook that runs before the forward of every module. */
export function registerModuleForwardPreHook(hook: ForwardPreHook): RemovableHandle {
  return globalHooks.forwardPre.add(hook);
}

/** Registers a hook that runs after the forward of every module. */
export function registerModuleForwardHook(
  hook: ForwardHook | ForwardHookWithKwargs,
  options: { withKwargs?: boolean; alwaysCall?: boolean } = {},
): RemovableHandle {
  return globalHooks.forward.add(hook, options);
}

/** Registers a hook that runs before the backward pass of every module. */
export function registerModuleFullBackwardPreHook(hook: BackwardPreHook): RemovableHandle {
  return globalHooks.backwardPre.add(hook);
}

/** Registers a hook that runs after the backward pass of every module. */
export function registerModuleFullBackwardHook(hook: BackwardHook): RemovableHandle {
  return globalHooks.backward.add(hook);
}
