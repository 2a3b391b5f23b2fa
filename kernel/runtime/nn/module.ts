import { ShardbookError } from '../base/index.js';
import { type Device, DType, noGrad, Tensor, torch } from '../tensor/index.js';
import { blankModule, setOwn } from './blank.js';
import type {
  BackwardHook,
  BackwardPreHook,
  ForwardHook,
  ForwardHookWithKwargs,
  ForwardPreHook,
  ForwardPreHookWithKwargs,
  HookOptions,
  IncompatibleKeys,
  LoadStateDictPostHook,
  LoadStateDictPreHook,
  LocalMetadata,
  RemovableHandle,
  StateDict,
  StateDictPostHook,
  StateDictPreHook,
} from './hooks.js';
import { checkName, namedMembers, noMember, splitPath } from './members.js';
import { Parameter } from './parameter.js';
import { describeModule } from './repr.js';
import { isModule, type ModuleState, noExtraState, stateKey, stateOf } from './state.js';
import { loadFromStateDict, loadModule, saveModule, saveToStateDict } from './state-dict.js';

// biome-ignore lint/suspicious/noExplicitAny: a module of unknown kind may be called with anything, as in PyTorch; this is the only place
type Anything = any;

export interface Module {
  /** Runs the hooks and `forward`: `model(x)`. */
  (...args: Parameters<this['forward']>): ReturnType<this['forward']>;
}

/**
 * The base of all neural network modules.
 *
 * ```ts
 * class Net extends nn.Module {
 *   fc = new nn.Linear(2, 3);
 *   forward(x: Tensor) { return F.relu(this.fc(x)); }
 * }
 * const net = new Net();
 * net(torch.ones([4, 2]));
 * ```
 * Parameters, buffers and modules register themselves when they are assigned as properties. A module is a function with
 * the methods of its class: `net(x)` and `net.call(x)` are the same. A plain object as last argument of a call is its
 * keyword arguments.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: see the interface above
export abstract class Module {
  declare readonly [stateKey]: ModuleState;
  /** Whether the module is in training mode; `train()` and `eval()` set it. */
  training!: boolean;

  constructor() {
    // biome-ignore lint/correctness/noConstructorReturn: a module is a function whose prototype is its class
    return blankModule(new.target.prototype);
  }

  /** Computes the output; subclasses define it, callers call the module itself so that hooks run. */
  abstract forward(...args: Anything[]): Anything;

  /** The same as calling the module: runs the hooks and `forward`. */
  call(...args: Parameters<this['forward']>): ReturnType<this['forward']> {
    return (this as unknown as (...a: unknown[]) => ReturnType<this['forward']>)(...args);
  }

  // ---------------------------------------------------------------- registration

  /** Adds a parameter under `name`; null says that there could be one. */
  registerParameter(name: string, parameter: Parameter | null): void {
    checkName(this, 'parameter', name, stateOf(this).parameters);
    if (parameter !== null && !(parameter instanceof Parameter)) {
      throw new ShardbookError({
        code: 'SB_NN_REGISTER',
        message: `Cannot register parameter "${name}": given a value that is not a Parameter`,
        help: 'wrap the tensor: new nn.Parameter(tensor)',
      });
    }
    if (parameter !== null && parameter.gradFn != null) {
      throw new ShardbookError({
        code: 'SB_NN_REGISTER',
        message: `Cannot register parameter "${name}": it was computed from other tensors, model parameters must be leaves of the graph`,
        help: 'detach it first: new nn.Parameter(tensor.detach())',
      });
    }
    stateOf(this).buffers.delete(name);
    stateOf(this).parameters.set(name, parameter);
    setOwn(this, name, parameter);
  }

  /** Adds a buffer under `name`; it is in the state dictionary unless `persistent` is false. */
  registerBuffer(
    name: string,
    tensor: Tensor | null,
    persistent: boolean | { persistent?: boolean } = true,
  ): void {
    const keep = typeof persistent === 'boolean' ? persistent : (persistent.persistent ?? true);
    const state = stateOf(this);
    checkName(this, 'buffer', name, state.buffers);
    if (tensor !== null && !(tensor instanceof Tensor)) {
      throw new ShardbookError({
        code: 'SB_NN_REGISTER',
        message: `Cannot register buffer "${name}": given ${typeof tensor}, wanted a tensor or null`,
      });
    }
    state.buffers.set(name, tensor);
    if (keep) state.nonPersistent.delete(name);
    else state.nonPersistent.add(name);
    setOwn(this, name, tensor);
  }

  /** Adds a child module under `name`. */
  registerModule(name: string, module: Module | null): void {
    checkName(this, 'module', name, stateOf(this).modules);
    if (module !== null && !isModule(module)) {
      throw new ShardbookError({
        code: 'SB_NN_REGISTER',
        message: `Cannot register module "${name}": given ${typeof module}, wanted a Module or null`,
      });
    }
    stateOf(this).modules.set(name, module);
    setOwn(this, name, module);
  }

  /** Adds a child module under `name`. */
  addModule(name: string, module: Module | null): void {
    this.registerModule(name, module);
  }

  // ---------------------------------------------------------------- members

  /** `[name, parameter]` of this module and its descendants; a shared parameter once, under its first name. */
  namedParameters(prefix = '', recurse = true, removeDuplicate = true): [string, Parameter][] {
    return namedMembers(this, (s) => s.parameters, prefix, recurse, removeDuplicate);
  }

  parameters(recurse = true): Parameter[] {
    return this.namedParameters('', recurse).map(([, p]) => p);
  }

  /** `[name, buffer]` of this module and its descendants, each buffer once. */
  namedBuffers(prefix = '', recurse = true, removeDuplicate = true): [string, Tensor][] {
    return namedMembers(this, (s) => s.buffers, prefix, recurse, removeDuplicate);
  }

  buffers(recurse = true): Tensor[] {
    return this.namedBuffers('', recurse).map(([, b]) => b);
  }

  /** `[name, module]` of the immediate children, each module once. */
  namedChildren(): [string, Module][] {
    const seen = new Set<Module>();
    const found: [string, Module][] = [];
    for (const [name, child] of stateOf(this).modules) {
      if (child === null || seen.has(child)) continue;
      seen.add(child);
      found.push([name, child]);
    }
    return found;
  }

  children(): Module[] {
    return this.namedChildren().map(([, m]) => m);
  }

  /** `[name, module]` of this module (named "") and all its descendants, each module once. */
  namedModules(prefix = '', removeDuplicate = true): [string, Module][] {
    const seen = new Set<Module>();
    const found: [string, Module][] = [];
    const visit = (module: Module, path: string): void => {
      if (removeDuplicate) {
        if (seen.has(module)) return;
        seen.add(module);
      }
      found.push([path, module]);
      for (const [name, child] of stateOf(module).modules) {
        if (child !== null) visit(child, path === '' ? name : `${path}.${name}`);
      }
    };
    visit(this, prefix);
    return found;
  }

  modules(): Module[] {
    return this.namedModules().map(([, m]) => m);
  }

  /** The descendant at a dotted path such as "blocks.0.mlp"; "" is the module itself. */
  getSubmodule(target: string): Module {
    let module: Module = this;
    if (target === '') return module;
    const walked: string[] = [];
    for (const name of target.split('.')) {
      const child: Module | null | undefined = stateOf(module).modules.get(name);
      if (child === null || child === undefined)
        throw noMember(module, walked.join('.'), 'submodule', name, stateOf(module).modules.keys());
      module = child;
      walked.push(name);
    }
    return module;
  }

  /** Puts `module` at a dotted path, replacing what is there; with `strict` something must be there. */
  setSubmodule(target: string, module: Module, strict: boolean | { strict?: boolean } = false): void {
    if (target === '')
      throw new ShardbookError({
        code: 'SB_NN_PATH',
        message: 'Cannot set the submodule at "": the path is empty',
      });
    const [path, name] = splitPath(target);
    const parent = this.getSubmodule(path);
    const mustExist = typeof strict === 'boolean' ? strict : (strict.strict ?? false);
    if (mustExist && !stateOf(parent).modules.has(name))
      throw noMember(parent, path, 'submodule', name, stateOf(parent).modules.keys());
    parent.registerModule(name, module);
  }

  /** The parameter at a dotted path such as "blocks.0.fc.weight". */
  getParameter(target: string): Parameter {
    const [path, name] = splitPath(target);
    const module = this.getSubmodule(path);
    const parameter = stateOf(module).parameters.get(name);
    if (parameter === null || parameter === undefined)
      throw noMember(module, path, 'parameter', name, stateOf(module).parameters.keys());
    return parameter;
  }

  /** The buffer at a dotted path. */
  getBuffer(target: string): Tensor {
    const [path, name] = splitPath(target);
    const module = this.getSubmodule(path);
    const buffer = stateOf(module).buffers.get(name);
    if (buffer === null || buffer === undefined)
      throw noMember(module, path, 'buffer', name, stateOf(module).buffers.keys());
    return buffer;
  }

  // ---------------------------------------------------------------- modes and conversions

  /** Sets training mode on this module and all its descendants. */
  train(mode = true): this {
    if (typeof mode !== 'boolean') {
      throw new ShardbookError({
        code: 'SB_NN_ARGUMENT',
        message: `Cannot set training mode: given ${typeof mode}, wanted a boolean`,
      });
    }
    this.training = mode;
    for (const child of this.children()) child.train(mode);
    return this;
  }

  /** Sets evaluation mode on this module and all its descendants. */
  eval(): this {
    return this.train(false);
  }

  /** Calls `fn` on every descendant, children first, then on the module itself. */
  apply(fn: (module: Module) => void): this {
    for (const child of this.children()) child.apply(fn);
    fn(this);
    return this;
  }

  /** Whether autograd should record operations on the parameters. */
  requiresGrad_(requiresGrad = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad_(requiresGrad);
    return this;
  }

  /** Clears the gradients of all parameters. */
  zeroGrad(setToNone: boolean | { setToNone?: boolean } = true): void {
    const toNone = typeof setToNone === 'boolean' ? setToNone : (setToNone.setToNone ?? true);
    for (const parameter of this.parameters()) {
      const grad = parameter.grad;
      if (grad === null) continue;
      if (toNone) parameter.grad = null;
      else noGrad(() => (grad.gradFn != null ? grad.detach_() : grad.requiresGrad_(false)).zero_());
    }
  }

  /**
   * Moves or casts parameters and buffers in place: `to(torch.float64)`, `to('cpu')`, `to({ dtype, device })`,
   * `to(otherTensor)`. Only floating-point members are cast. Parameter objects stay the same.
   */
  to(target: DType | Device | Tensor | { dtype?: DType; device?: Device }, dtype?: DType): this {
    const wanted = conversionOf(target, dtype);
    if (wanted.dtype !== undefined && !wanted.dtype.isFloatingPoint) {
      throw new ShardbookError({
        code: 'SB_NN_DTYPE',
        message: `Cannot convert a module to ${wanted.dtype.name}: wanted a floating-point dtype`,
      });
    }
    return this._apply((t) => {
      const leavesMeta = t.isMeta && wanted.device !== undefined && wanted.device !== 'meta';
      if (leavesMeta) {
        throw new ShardbookError({
          code: 'SB_NN_META',
          message: 'Cannot copy out of a meta tensor: it has no data',
          help: 'use module.toEmpty({ device }) and then initialise the parameters',
        });
      }
      const options: { dtype?: DType; device?: Device } = {};
      if (wanted.dtype !== undefined && t.dtype.isFloatingPoint) options.dtype = wanted.dtype;
      if (wanted.device !== undefined) options.device = wanted.device;
      return t.to(options);
    });
  }

  /** Gives parameters and buffers uninitialised memory on a device: the way out of the meta device. */
  toEmpty(options: { device: Device; recurse?: boolean }): this {
    return this._apply((t) => torch.emptyLike(t, { device: options.device }), options.recurse ?? true);
  }

  /** Casts floating-point parameters and buffers to a dtype. */
  type(dtype: DType): this {
    return this._apply((t) => t.to({ dtype }));
  }

  float(): this {
    return this._cast(torch.float32);
  }

  double(): this {
    return this._cast(torch.float64);
  }

  half(): this {
    return this._cast(torch.float16);
  }

  bfloat16(): this {
    return this._cast(torch.bfloat16);
  }

  cpu(): this {
    return this.to('cpu');
  }

  /** Replaces every parameter's data, every gradient and every buffer by `fn` of it, children first. */
  _apply(fn: (tensor: Tensor) => Tensor, recurse = true): this {
    if (recurse) for (const child of this.children()) child._apply(fn);
    const state = stateOf(this);
    for (const [name, parameter] of state.parameters) {
      if (parameter === null) continue;
      const applied = noGrad(() => fn(parameter));
      const grad = parameter.grad;
      let kept = parameter;
      if (applied.device === parameter.device) parameter.data = applied;
      else {
        kept = new Parameter(applied, parameter.requiresGrad);
        state.parameters.set(name, kept);
        setOwn(this, name, kept);
      }
      if (grad !== null) kept.grad = noGrad(() => fn(grad)).requiresGrad_(grad.requiresGrad);
    }
    for (const [name, buffer] of state.buffers) {
      if (buffer === null) continue;
      const applied = fn(buffer);
      state.buffers.set(name, applied);
      setOwn(this, name, applied);
    }
    return this;
  }

  private _cast(dtype: DType): this {
    return this._apply((t) => (t.dtype.isFloatingPoint ? t.to({ dtype }) : t));
  }

  // ---------------------------------------------------------------- state dictionary

  /**
   * Parameters and persistent buffers by name. The tensors share the module's storage and are detached, unless `keepVars`.
   */
  stateDict(options: { destination?: StateDict; prefix?: string; keepVars?: boolean } = {}): StateDict {
    return saveModule(this, options.destination ?? {}, options.prefix ?? '', options.keepVars ?? false);
  }

  /**
   * Copies a state dictionary into the parameters and buffers. With `strict` (the default) the keys must match exactly;
   * all missing, unexpected and misshapen entries are reported together. With `assign` the tensors themselves become
   * the parameters.
   */
  loadStateDict(
    stateDict: Readonly<Record<string, unknown>>,
    options: boolean | { strict?: boolean; assign?: boolean } = {},
  ): IncompatibleKeys {
    const { strict = true, assign = false } = typeof options === 'boolean' ? { strict: options } : options;
    return loadModule(this, stateDict, strict, assign);
  }

  /** What belongs in the state dictionary besides tensors; override together with `setExtraState`. */
  getExtraState(): unknown {
    return noExtraState;
  }

  setExtraState(_state: unknown): void {}

  /** Saves this module's own members, without its children's; override to change the format. */
  _saveToStateDict(destination: StateDict, prefix: string, keepVars: boolean): void {
    saveToStateDict(this, destination, prefix, keepVars);
  }

  /** Loads this module's own members, without its children's; override to change the format. */
  _loadFromStateDict(
    stateDict: StateDict,
    prefix: string,
    localMetadata: LocalMetadata,
    strict: boolean,
    missingKeys: string[],
    unexpectedKeys: string[],
    errorMessages: string[],
  ): void {
    loadFromStateDict(
      this,
      stateDict,
      prefix,
      localMetadata,
      strict,
      missingKeys,
      unexpectedKeys,
      errorMessages,
    );
  }

  // ---------------------------------------------------------------- hooks

  /** Runs before `forward`; what it returns replaces the positional arguments (with `withKwargs`: `[args, kwargs]`). */
  registerForwardPreHook(
    hook: ForwardPreHook,
    options?: HookOptions & { withKwargs?: false },
  ): RemovableHandle;
  registerForwardPreHook(
    hook: ForwardPreHookWithKwargs,
    options: HookOptions & { withKwargs: true },
  ): RemovableHandle;
  registerForwardPreHook(
    hook: ForwardPreHook | ForwardPreHookWithKwargs,
    options?: HookOptions & { withKwargs?: boolean },
  ): RemovableHandle {
    return stateOf(this).hooks.forwardPre.add(hook, options);
  }

  /** Runs after `forward`; what it returns replaces the output. With `alwaysCall` it runs also when the call fails. */
  registerForwardHook(
    hook: ForwardHook,
    options?: HookOptions & { withKwargs?: false; alwaysCall?: boolean },
  ): RemovableHandle;
  registerForwardHook(
    hook: ForwardHookWithKwargs,
    options: HookOptions & { withKwargs: true; alwaysCall?: boolean },
  ): RemovableHandle;
  registerForwardHook(
    hook: ForwardHook | ForwardHookWithKwargs,
    options?: HookOptions & { withKwargs?: boolean; alwaysCall?: boolean },
  ): RemovableHandle {
    return stateOf(this).hooks.forward.add(hook, options);
  }

  /** Runs in the backward pass when the gradients of the outputs are there; may replace them. */
  registerFullBackwardPreHook(hook: BackwardPreHook, options?: HookOptions): RemovableHandle {
    return stateOf(this).hooks.backwardPre.add(hook, options);
  }

  /** Runs in the backward pass when the gradients of the inputs are there; may replace them. */
  registerFullBackwardHook(hook: BackwardHook, options?: HookOptions): RemovableHandle {
    return stateOf(this).hooks.backward.add(hook, options);
  }

  /** Runs before `stateDict` collects the module. */
  registerStateDictPreHook(hook: StateDictPreHook): RemovableHandle {
    return stateOf(this).hooks.stateDictPre.add(hook);
  }

  /** Runs after `stateDict` collected the module and its descendants; may change the dictionary in place. */
  registerStateDictPostHook(hook: StateDictPostHook): RemovableHandle {
    return stateOf(this).hooks.stateDictPost.add(hook);
  }

  /** Runs before `loadStateDict` loads the module; may change the dictionary in place. */
  registerLoadStateDictPreHook(hook: LoadStateDictPreHook): RemovableHandle {
    return stateOf(this).hooks.loadStateDictPre.add(hook);
  }

  /** Runs after `loadStateDict` loaded the module and its descendants; may change the reported keys in place. */
  registerLoadStateDictPostHook(hook: LoadStateDictPostHook): RemovableHandle {
    return stateOf(this).hooks.loadStateDictPost.add(hook);
  }

  // ---------------------------------------------------------------- printing

  /** What stands between the parentheses when the module is printed. */
  extraRepr(): string {
    return '';
  }

  /** The name that stands before the parentheses when the module is printed. */
  _getName(): string {
    return this.constructor.name;
  }

  toString(): string {
    return describeModule(this);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

function conversionOf(target: unknown, dtype: DType | undefined): { dtype?: DType; device?: Device } {
  const wanted: { dtype?: DType; device?: Device } = dtype === undefined ? {} : { dtype };
  if (target instanceof Tensor) return { dtype: target.dtype, device: target.device };
  if (target instanceof DType) return { ...wanted, dtype: target };
  if (typeof target === 'string') return { ...wanted, device: target as Device };
  return { ...wanted, ...(target as { dtype?: DType; device?: Device }) };
}
