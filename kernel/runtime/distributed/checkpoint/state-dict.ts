/**
 * State dictionaries of distributed models by the names of parameters: sharded (each rank its part) or full (gathered), and back.
 * Names are those of the plain model, whatever wraps it.
 */
import { ShardbookError } from '../../base/index.js';
import type { IncompatibleKeys, Module } from '../../nn/index.js';
import type { Optimizer, OptimizerStateDict } from '../../optim/index.js';
import { noGrad, type Tensor, torch } from '../../tensor/index.js';
import { DTensor, distributeTensor } from '../dtensor/index.js';
import { dist } from '../group/index.js';

export interface StateDictOptions {
  /** Gathers whole tensors instead of keeping shards. */
  fullStateDict?: boolean;
  /** With `fullStateDict`: only rank 0 gets the tensors, the others an empty dictionary. */
  cpuOffload?: boolean;
  /** Leaves out parameters that need no gradient. */
  ignoreFrozenParams?: boolean;
  /** Keys must match exactly when loading; default true. */
  strict?: boolean;
  /** Loading: rank 0 alone has the full tensors, and sends each rank its part. */
  broadcastFromRank0?: boolean;
  /** Optimizer state as `state.NAME.exp_avg` and `param_groups.NAME.lr`, one level deep. */
  flattenOptimizerStateDict?: boolean;
}

/** Tensors by the names of parameters and buffers. */
export type ModelState = Record<string, Tensor>;
/** By name of the parameter; flattened: one level. */
export type OptimizerState = Record<string, unknown>;

/** Wrappers that PyTorch leaves out of names. */
function plainName(name: string): string {
  return name
    .replace(/(^|\.)_checkpoint_wrapped_module(?=\.)/g, '')
    .replace(/^\.|^module\.(?=.)/, (m) => (m === '.' ? '' : m));
}

function unwrapped(model: Module): Module {
  const inner = model._getName() === 'DistributedDataParallel' ? model.getSubmodule('module') : model;
  return inner;
}

function namedParameters(model: Module): [string, Tensor][] {
  return unwrapped(model)
    .namedParameters()
    .map(([name, p]) => [plainName(name), p]);
}

/** Gathers what is sharded; null where this rank does not keep it. */
function gathered(t: Tensor, options: StateDictOptions): Tensor | null {
  if (!options.fullStateDict) return t;
  const whole = t instanceof DTensor ? noGrad(() => t.fullTensor()) : t;
  return options.cpuOffload && dist.getRank() !== 0 ? null : whole.detach();
}

/** The model's parameters and persistent buffers. Every rank calls it. */
export function getModelStateDict(model: Module, options: StateDictOptions = {}): ModelState {
  const frozen = new Set(
    options.ignoreFrozenParams
      ? namedParameters(model).flatMap(([name, p]) => (p.requiresGrad ? [] : [name]))
      : [],
  );
  const out: ModelState = {};
  for (const [key, value] of Object.entries(unwrapped(model).stateDict())) {
    const name = plainName(key);
    if (frozen.has(name)) continue;
    const kept = gathered(value, options);
    if (kept !== null) out[name] = kept;
  }
  return out;
}

/** A full or sharded tensor as the target lies. */
function asTarget(value: Tensor | undefined, target: Tensor, options: StateDictOptions): Tensor {
  let whole = value;
  if (options.broadcastFromRank0) {
    if (whole === undefined || dist.getRank() !== 0)
      whole = torch.empty([...target.shape], { dtype: target.dtype });
    else whole = noGrad(() => (whole instanceof DTensor ? whole.fullTensor() : whole!).contiguous());
    dist.broadcast(whole, { src: 0 });
  }
  if (!(target instanceof DTensor) || whole instanceof DTensor) return whole!;
  return distributeTensor(whole!.detach(), target.deviceMesh, target.placements, { srcDataRank: null });
}

/** Loads a full or a sharded dictionary. Every rank calls it. */
export function setModelStateDict(
  model: Module,
  state: Readonly<ModelState>,
  options: StateDictOptions = {},
): IncompatibleKeys {
  const inner = unwrapped(model);
  const own = inner.stateDict();
  const names = new Map(Object.keys(own).map((key) => [plainName(key), key]));
  const ready: ModelState = {};
  for (const [name, key] of names) {
    if (!options.broadcastFromRank0 && !(name in state)) continue;
    ready[key] = asTarget(state[name], own[key]!, options);
  }
  for (const [name, value] of Object.entries(state)) if (!names.has(name)) ready[name] = value;
  return inner.loadStateDict(ready, { strict: options.strict ?? true });
}

// ---------------------------------------------------------------- optimizers

function parameterNames(model: Module, optimizer: Optimizer): string[] {
  const names = new Map(namedParameters(model).map(([name, p]) => [p, name]));
  return optimizer.paramGroups.flatMap((group) =>
    group.params.map((p) => {
      const name = names.get(p);
      if (name !== undefined) return name;
      throw new ShardbookError({
        code: 'SB_STATE_DICT',
        message: `Cannot name the state of ${p.describe()}: the optimizer has it, the model has not`,
        help: 'make the optimizer from the parameters that the model has now, after it was sharded',
      });
    }),
  );
}

/**
 * Makes the state of an optimizer that has not stepped yet, by a step with zero gradients and rate, so that a loader finds
 * entries to fill. Gradients that are there already mean that a step is on its way: then nothing is touched.
 */
function beginState(optimizer: Optimizer): void {
  const parameters = optimizer.paramGroups.flatMap((group) => group.params);
  if (optimizer.state.size > 0 || parameters.some((p) => p.grad !== null)) return;
  for (const p of parameters) if (p.requiresGrad) p.grad = torch.zerosLike(p);
  const rates = optimizer.paramGroups.map((group) => group.lr);
  for (const group of optimizer.paramGroups) group.lr = 0;
  optimizer.step();
  for (const [i, group] of optimizer.paramGroups.entries()) group.lr = rates[i]!;
  optimizer.zeroGrad();
}

/** The optimizer's state by parameter names; one that has not stepped yet gets zeros. Every rank calls it. */
export function getOptimizerStateDict(
  model: Module,
  optimizer: Optimizer,
  options: StateDictOptions = {},
): OptimizerState {
  const names = parameterNames(model, optimizer);
  beginState(optimizer);
  const dict = optimizer.stateDict();
  const state: Record<string, Record<string, unknown>> = {};
  for (const [i, name] of names.entries()) {
    const own = dict.state[i];
    if (own === undefined) continue;
    const entries = Object.entries(own).flatMap(([key, value]) => {
      if (!torch.isTensor(value)) return [[key, value] as const];
      const kept = gathered(value, options);
      return kept === null ? [] : [[key, kept] as const];
    });
    state[name] = Object.fromEntries(entries);
  }
  if (options.fullStateDict && options.cpuOffload && dist.getRank() !== 0) return {};
  const groups = dict.param_groups.map((group) => ({ ...group, params: group.params.map((i) => names[i]!) }));
  if (!options.flattenOptimizerStateDict) return { state, param_groups: groups };
  const flat: OptimizerState = {};
  for (const [name, own] of Object.entries(state))
    for (const [key, value] of Object.entries(own)) flat[`state.${name}.${key}`] = value;
  for (const { params, ...rest } of groups)
    for (const name of params)
      for (const [key, value] of Object.entries(rest)) flat[`param_groups.${name}.${key}`] = value;
  return flat;
}

/** Loads what `getOptimizerStateDict` gave, full or sharded, flattened or not. Every rank calls it. */
export function setOptimizerStateDict(
  model: Module,
  optimizer: Optimizer,
  given: Readonly<OptimizerState>,
  options: StateDictOptions = {},
): void {
  const names = parameterNames(model, optimizer);
  let source = given;
  if (options.broadcastFromRank0) source = sharedSkeleton(given);
  const nested = 'param_groups' in source ? source : unflattened(source, names);
  const state = (nested['state'] ?? {}) as Record<string, Record<string, unknown>>;
  const groups = nested['param_groups'] as (Record<string, unknown> & { params: string[] })[];
  const parameters = new Map(namedParameters(model));
  const indices = new Map(names.map((name, i) => [name, i]));
  const dict: OptimizerStateDict = {
    state: {},
    param_groups: groups.map((group) => ({
      ...group,
      params: group.params.map((name) => indices.get(name) ?? -1),
    })),
  };
  for (const [name, own] of Object.entries(state)) {
    const index = indices.get(name);
    const parameter = parameters.get(name);
    if (index === undefined || parameter === undefined) continue;
    dict.state[index] = Object.fromEntries(
      Object.entries(own).map(([key, value]) => {
        if (!torch.isTensor(value)) return [key, value];
        // a copy: the optimizer that the state came from goes on stepping its own
        const own = value.shape.length === 0 ? value : asTarget(value, parameter, options);
        return [key, own.detach().clone()];
      }),
    );
  }
  optimizer.loadStateDict(dict);
}

/** Rank 0's dictionary on every rank, tensors with dimensions as blanks that `asTarget` fills. */
function sharedSkeleton(given: Readonly<OptimizerState>): OptimizerState {
  const blank = (value: unknown): unknown => {
    if (torch.isTensor(value))
      return value.shape.length === 0 ? { number: Number(value.item()) } : { blank: [...value.shape] };
    if (Array.isArray(value)) return value.map(blank);
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, blank(item)]));
    return value;
  };
  const message: unknown[] = [dist.getRank() === 0 ? blank(given) : null];
  dist.broadcastObjectList(message, { src: 0 });
  if (dist.getRank() === 0) return given;
  const filled = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(filled);
    if (typeof value !== 'object' || value === null) return value;
    const entry = value as { blank?: number[]; number?: number };
    if (Array.isArray(entry.blank)) return torch.empty(entry.blank);
    if (typeof entry.number === 'number' && Object.keys(entry).length === 1)
      return torch.tensor(entry.number, { dtype: torch.float32 });
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item)]));
  };
  return filled(message[0]) as OptimizerState;
}

function unflattened(flat: Readonly<OptimizerState>, names: readonly string[]): OptimizerState {
  const state: Record<string, Record<string, unknown>> = {};
  const options = new Map<string, Record<string, unknown>>();
  for (const [path, value] of Object.entries(flat)) {
    const [kind, ...rest] = path.split('.');
    const key = rest.pop()!;
    const name = rest.join('.');
    if (kind === 'state') state[name] = { ...state[name], [key]: value };
    else options.set(name, { ...options.get(name), [key]: value });
  }
  const groups: (Record<string, unknown> & { params: string[] })[] = [];
  for (const name of names) {
    const own = options.get(name) ?? {};
    const text = JSON.stringify(own);
    const known = groups.find(({ params: _, ...rest }) => JSON.stringify(rest) === text);
    if (known) known.params.push(name);
    else groups.push({ ...own, params: [name] });
  }
  return { state, param_groups: groups };
}

/** Model and optimizer at once: `[model state, optimizer state]`. */
export function getStateDict(
  model: Module,
  optimizer: Optimizer,
  options: StateDictOptions = {},
): [ModelState, OptimizerState] {
  return [getModelStateDict(model, options), getOptimizerStateDict(model, optimizer, options)];
}

/** Loads what `getStateDict` gave: `setModelStateDict` and `setOptimizerStateDict` in one. */
export function setStateDict(
  model: Module,
  optimizer: Optimizer,
  state: { model: Readonly<ModelState>; optimizer: Readonly<OptimizerState> },
  options: StateDictOptions = {},
): IncompatibleKeys {
  setOptimizerStateDict(model, optimizer, state.optimizer, options);
  return setModelStateDict(model, state.model, options);
}
