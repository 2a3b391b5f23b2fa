/** The base of all optimizers: parameter groups, state, state dicts, hooks. */
import { ShardbookError } from '../base/index.js';
import { enableGrad, noGrad, Tensor } from '../tensor/index.js';
import { camelCase, checkOption, snakeCase } from './args.js';

/** Parameters that share options. Options are camelCase here and PyTorch's spelling in state dicts. */
export interface ParamGroup {
  params: Tensor[];
  lr: number;
  initialLr?: number;
  /** Names, one for each parameter, if the optimizer was given named parameters. */
  paramNames?: string[];
  [option: string]: unknown;
}

/** A group as a user writes it; options that are left out are the optimizer's. */
export interface ParamGroupInit {
  params: Iterable<Tensor> | Iterable<[string, Tensor]> | Tensor;
  [option: string]: unknown;
}

/** What an optimizer optimizes: parameters, named parameters or groups. */
export type Params = Iterable<Tensor> | Iterable<[string, Tensor]> | Iterable<ParamGroupInit>;

/** What an optimizer keeps for one parameter, under PyTorch's names (`exp_avg`, `momentum_buffer`, `step`, ...). */
export type ParamState = Record<string, unknown>;

/** PyTorch's form: parameters are numbered through all groups, state is by number. */
export interface OptimizerStateDict {
  state: Record<string, ParamState>;
  param_groups: Array<Record<string, unknown> & { params: number[] }>;
}

/** Takes a handle's hook off again. */
export interface HookHandle {
  remove(): void;
}

type StepHook = (optimizer: Optimizer) => void;
type StateDictHook = (optimizer: Optimizer, state: OptimizerStateDict) => OptimizerStateDict | undefined;

const optimized = new WeakSet<Tensor>();

/** Whether some optimizer was made with this tensor. */
export function isOptimized(tensor: Tensor): boolean {
  return optimized.has(tensor);
}

const TYPED_BY_PARAM = (key: string): boolean => key !== 'step';

/** Updates parameters from their `.grad`. Subclasses implement `update`. */
export abstract class Optimizer {
  readonly paramGroups: ParamGroup[] = [];
  readonly defaults: Record<string, unknown>;
  /** State of each parameter that has been stepped. */
  readonly state = new Map<Tensor, ParamState>();
  #preHooks = new Set<StepHook>();
  #postHooks = new Set<StepHook>();
  #saveHooks = new Set<StateDictHook>();
  #loadHooks = new Set<StateDictHook>();

  constructor(params: Params, defaults: Record<string, unknown>) {
    this.defaults = defaults;
    const name = this.constructor.name;
    if (params instanceof Tensor || !isIterable(params)) {
      throw new ShardbookError({
        code: 'SB_OPTIM_PARAMS',
        message: `Cannot create "${name}": the parameters are ${params instanceof Tensor ? 'a tensor' : typeof params}, they must be a list of tensors or of groups`,
        help: 'Pass module.parameters(), or a list',
      });
    }
    const entries: unknown[] = [...(params as Iterable<unknown>)];
    if (entries.length === 0) {
      throw new ShardbookError({
        code: 'SB_OPTIM_PARAMS',
        message: `Cannot create "${name}": the list of parameters is empty`,
        help: 'A generator can be read only once: pass module.parameters() anew',
      });
    }
    const grouped = !(entries[0] instanceof Tensor) && !Array.isArray(entries[0]);
    const groups = grouped ? (entries as ParamGroupInit[]) : [{ params: entries as Tensor[] }];
    for (const group of groups) this.addParamGroup(group);
  }

  /** Adds parameters with options of their own; for layers that are unfrozen later. */
  addParamGroup(init: ParamGroupInit): void {
    const { params, ...options } = init;
    const where = `Cannot add a parameter group to "${this.constructor.name}"`;
    if (params === undefined) {
      throw new ShardbookError({ code: 'SB_OPTIM_PARAMS', message: `${where}: it has no "params"` });
    }
    const entries: unknown[] = params instanceof Tensor ? [params] : [...(params as Iterable<unknown>)];
    const names: string[] = [];
    const tensors = entries.map((entry, i) => {
      const [label, tensor] = Array.isArray(entry) ? (entry as [string, unknown]) : [undefined, entry];
      if (label !== undefined) names.push(label);
      return checkParam(tensor, `${where}: parameter ${label === undefined ? i : `"${label}"`}`);
    });
    if (new Set(tensors).size !== tensors.length) {
      throw new ShardbookError({
        code: 'SB_OPTIM_PARAMS',
        message: `${where}: a parameter is listed twice in it`,
      });
    }
    const known = new Set(this.paramGroups.flatMap((group) => group.params));
    if (tensors.some((tensor) => known.has(tensor))) {
      throw new ShardbookError({
        code: 'SB_OPTIM_PARAMS',
        message: `${where}: a parameter of it is in another group already`,
      });
    }
    const group = { ...this.defaults, ...options, params: tensors } as ParamGroup;
    if (names.length > 0) group.paramNames = names;
    if (group.lr === undefined) {
      throw new ShardbookError({
        code: 'SB_OPTIM_PARAMS',
        message: `${where}: it has no "lr" and there is no default`,
      });
    }
    this.paramGroups.push(group);
    for (const tensor of tensors) optimized.add(tensor);
  }

  /** Forgets all gradients; with `setToNone: false` fills them with zeros instead. */
  zeroGrad(options: { setToNone?: boolean } | boolean = {}): void {
    const setToNone = typeof options === 'boolean' ? options : (options.setToNone ?? true);
    noGrad(() => {
      for (const p of this.paramGroups.flatMap((group) => group.params)) {
        if (p.grad === null || p.grad === undefined) continue;
        if (setToNone) p.grad = null;
        else {
          if (p.grad.gradFn) p.grad = p.grad.detach();
          else p.grad.requiresGrad_(false);
          p.grad.zero_();
        }
      }
    });
  }

  /** One update of every parameter with a gradient. `closure` recomputes and returns the loss, which is handed back. */
  step<T = undefined>(closure?: () => T): T | undefined {
    for (const hook of [...this.#preHooks]) hook(this);
    const loss = closure === undefined ? undefined : enableGrad(closure);
    noGrad(() => {
      for (const group of this.paramGroups)
        this.update(
          group,
          group.params.filter((p) => hasGrad(p)),
        );
    });
    for (const hook of [...this.#postHooks]) hook(this);
    return loss;
  }

  /** Updates these parameters of a group, all of which have a gradient; runs without gradient recording. */
  protected abstract update(group: ParamGroup, params: readonly Tensor[]): void;

  /** The state of a parameter, made on first use. */
  protected stateOf(param: Tensor): ParamState {
    let state = this.state.get(param);
    if (state === undefined) {
      state = {};
      this.state.set(param, state);
    }
    return state;
  }

  /** The state and the options, parameters by number; tensors are shared, not copied. */
  stateDict(): OptimizerStateDict {
    const numbers = new Map<Tensor, number>();
    const param_groups = this.paramGroups.map((group) => {
      const { params, ...options } = group;
      const spelled = Object.fromEntries(
        Object.entries(options).map(([name, value]) => [snakeCase(name), value]),
      );
      const indices = params.map((p) => {
        const number = numbers.size;
        numbers.set(p, number);
        return number;
      });
      return { ...spelled, params: indices };
    });
    const state: Record<string, ParamState> = {};
    for (const [param, number] of numbers) {
      const own = this.state.get(param);
      if (own !== undefined) state[number] = { ...own };
    }
    let dict: OptimizerStateDict = { state, param_groups };
    for (const hook of this.#saveHooks) dict = hook(this, dict) ?? dict;
    return dict;
  }

  /** Takes over what `stateDict` gave, options included; floating state is cast to its parameter's type, except `step`. */
  loadStateDict(dict: OptimizerStateDict): void {
    let source = dict;
    for (const hook of this.#loadHooks) source = hook(this, source) ?? source;
    const name = this.constructor.name;
    const saved = source.param_groups;
    if (saved.length !== this.paramGroups.length) {
      throw new ShardbookError({
        code: 'SB_OPTIM_STATE',
        message: `Cannot load the state of "${name}": it has ${saved.length} parameter groups, the optimizer has ${this.paramGroups.length}`,
      });
    }
    for (const [i, group] of saved.entries()) {
      const wanted = this.paramGroups[i]!.params.length;
      if (group.params.length !== wanted) {
        throw new ShardbookError({
          code: 'SB_OPTIM_STATE',
          message: `Cannot load the state of "${name}": group ${i} has ${group.params.length} parameters, the optimizer's has ${wanted}`,
        });
      }
    }
    this.state.clear();
    for (const [i, { params: indices, ...options }] of saved.entries()) {
      const group = this.paramGroups[i]!;
      for (const [j, index] of indices.entries()) {
        const own = source.state[index];
        if (own !== undefined) this.state.set(group.params[j]!, castState(own, group.params[j]!));
      }
      for (const [option, value] of Object.entries(options)) group[camelCase(option)] = value;
    }
  }

  /** Runs before every step. */
  registerStepPreHook(hook: (optimizer: Optimizer) => void): HookHandle {
    return register(this.#preHooks, hook);
  }

  /** Runs after every step. */
  registerStepPostHook(hook: (optimizer: Optimizer) => void): HookHandle {
    return register(this.#postHooks, hook);
  }

  /** Sees, and may replace, what `stateDict` returns. */
  registerStateDictPostHook(hook: StateDictHook): HookHandle {
    return register(this.#saveHooks, hook);
  }

  /** Sees, and may replace, what `loadStateDict` is about to load. */
  registerLoadStateDictPreHook(hook: StateDictHook): HookHandle {
    return register(this.#loadHooks, hook);
  }

  /** PyTorch's printed form. */
  toString(): string {
    const lines = [`${this.constructor.name} (`];
    for (const [i, { params: _, ...options }] of this.paramGroups.entries()) {
      lines.push(`Parameter Group ${i}`);
      for (const [name, value] of Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1))) {
        lines.push(`    ${name}: ${Array.isArray(value) ? `[${value.join(', ')}]` : String(value)}`);
      }
    }
    return [...lines, ')'].join('\n');
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

function register<T>(hooks: Set<T>, hook: T): HookHandle {
  hooks.add(hook);
  return { remove: () => void hooks.delete(hook) };
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}

function hasGrad(p: Tensor): boolean {
  return p.grad !== null && p.grad !== undefined;
}

function checkParam(tensor: unknown, where: string): Tensor {
  if (!(tensor instanceof Tensor)) {
    throw new ShardbookError({ code: 'SB_OPTIM_PARAMS', message: `${where} is not a tensor` });
  }
  if (!tensor.isLeaf) {
    throw new ShardbookError({
      code: 'SB_OPTIM_PARAMS',
      message: `${where} is the result of an operation, only leaves can be optimized`,
      help: 'Optimize the tensor that it was computed from, or call .detach().requiresGrad_()',
    });
  }
  return tensor;
}

/** Copies the containers of a state, casts the tensors; a step counter stays float32. */
function castState(state: ParamState, param: Tensor): ParamState {
  return Object.fromEntries(
    Object.entries(state).map(([key, value]) => {
      if (!(value instanceof Tensor)) return [key, value];
      return [key, TYPED_BY_PARAM(key) && param.dtype.isFloatingPoint ? value.to(param.dtype) : value];
    }),
  );
}

/** Checks what all optimizers ask of `lr`. */
export function checkLr(callee: string, lr: unknown): void {
  checkOption(typeof lr === 'number' && lr >= 0, callee, 'lr', lr, 'a number of at least 0');
}

/** The gradient as an optimizer uses it. */
export function gradOf(p: Tensor, maximize: boolean): Tensor {
  return maximize ? p.grad!.neg() : p.grad!;
}
