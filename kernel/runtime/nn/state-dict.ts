import { ShardbookError } from '../base/index.js';
import { noGrad, Tensor } from '../tensor/index.js';
import { IncompatibleKeys, type LocalMetadata, type StateDict } from './hooks.js';
import type { Module } from './module.js';
import { Parameter } from './parameter.js';
import { noExtraState, stateOf } from './state.js';

const EXTRA_STATE = '_extra_state';

/** Collects a module and its descendants into `destination`. */
export function saveModule(
  module: Module,
  destination: StateDict,
  prefix: string,
  keepVars: boolean,
): StateDict {
  const { hooks, modules } = stateOf(module);
  let collected = destination;
  for (const { hook } of hooks.stateDictPre.entries) hook(module, prefix, keepVars);
  module._saveToStateDict(collected, prefix, keepVars);
  for (const [name, child] of modules) {
    if (child !== null) child.stateDict({ destination: collected, prefix: `${prefix}${name}.`, keepVars });
  }
  for (const { hook } of hooks.stateDictPost.entries) {
    const replaced = hook(module, collected, prefix, {});
    if (replaced !== undefined && replaced !== null) collected = replaced;
  }
  return collected;
}

/** Collects the members of one module. */
export function saveToStateDict(
  module: Module,
  destination: StateDict,
  prefix: string,
  keepVars: boolean,
): void {
  for (const [name, tensor] of ownState(module))
    destination[prefix + name] = keepVars ? tensor : tensor.detach();
  if (hasExtraState(module)) destination[prefix + EXTRA_STATE] = module.getExtraState() as Tensor;
}

/** Loads a module and its descendants; everything that is wrong is told in one error. */
export function loadModule(
  root: Module,
  given: Readonly<Record<string, unknown>>,
  strict: boolean,
  assign: boolean,
): IncompatibleKeys {
  if (typeof given !== 'object' || given === null || given instanceof Tensor) {
    throw new ShardbookError({
      code: 'SB_NN_STATE_DICT',
      message: `Cannot load a state dictionary: given ${given === null ? 'null' : typeof given}, wanted an object of tensors by name`,
    });
  }
  const missing: string[] = [];
  const unexpected: string[] = [];
  const errors: string[] = [];
  const metadata: LocalMetadata = assign ? { assignToParamsBuffers: true } : {};
  const load = (module: Module, local: StateDict, prefix: string): void => {
    module._loadFromStateDict(local, prefix, metadata, true, missing, unexpected, errors);
    for (const [name, child] of stateOf(module).modules) {
      if (child === null) continue;
      const childPrefix = `${prefix}${name}.`;
      load(
        child,
        Object.fromEntries(Object.entries(local).filter(([key]) => key.startsWith(childPrefix))),
        childPrefix,
      );
    }
    const keys = new IncompatibleKeys(missing, unexpected);
    for (const { hook } of stateOf(module).hooks.loadStateDictPost.entries) hook(module, keys);
  };
  load(root, { ...(given as StateDict) }, '');
  const problems = [...errors];
  if (strict && unexpected.length > 0) problems.unshift(`unexpected keys: ${quoted(unexpected)}`);
  if (strict && missing.length > 0) problems.unshift(`missing keys: ${quoted(missing)}`);
  if (problems.length > 0) {
    throw new ShardbookError({
      code: 'SB_NN_STATE_DICT',
      message: `Cannot load the state dictionary into ${root._getName()}`,
      notes: problems,
      ...(errors.length === 0 ? { help: 'pass { strict: false } to load the keys that match' } : {}),
    });
  }
  return new IncompatibleKeys(missing, unexpected);
}

/** Loads the members of one module; what does not fit is appended to the lists. */
export function loadFromStateDict(
  module: Module,
  stateDict: StateDict,
  prefix: string,
  localMetadata: LocalMetadata,
  strict: boolean,
  missingKeys: string[],
  unexpectedKeys: string[],
  errorMessages: string[],
): void {
  const state = stateOf(module);
  for (const { hook } of state.hooks.loadStateDictPre.entries) {
    hook(module, stateDict, prefix, localMetadata, strict, missingKeys, unexpectedKeys, errorMessages);
  }
  const own = ownState(module);
  for (const [name, tensor] of own) {
    const key = prefix + name;
    if (!Object.hasOwn(stateDict, key)) {
      if (strict) missingKeys.push(key);
      continue;
    }
    const given: unknown = stateDict[key];
    if (!(given instanceof Tensor)) {
      errorMessages.push(`"${key}": given ${given === null ? 'null' : typeof given}, wanted a tensor`);
      continue;
    }
    // Checkpoints from before zero-dimensional tensors existed hold one element in one dimension.
    const input = tensor.shape.length === 0 && given.shape.length === 1 ? given.select(0, 0) : given;
    if (input.shape.length !== tensor.shape.length || input.shape.some((n, i) => n !== tensor.shape[i])) {
      errorMessages.push(
        `size mismatch for "${key}": given [${input.shape.join(', ')}], the module has [${tensor.shape.join(', ')}]`,
      );
      continue;
    }
    try {
      noGrad(() => {
        if (localMetadata.assignToParamsBuffers) assignMember(module, name, tensor, input);
        else tensor.copy_(input);
      });
    } catch (error) {
      errorMessages.push(`while copying "${key}": ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const extraKey = prefix + EXTRA_STATE;
  if (hasExtraState(module)) {
    if (Object.hasOwn(stateDict, extraKey)) module.setExtraState(stateDict[extraKey]);
    else if (strict) missingKeys.push(extraKey);
  } else if (strict && Object.hasOwn(stateDict, extraKey)) unexpectedKeys.push(extraKey);
  if (!strict) return;
  for (const key of Object.keys(stateDict)) {
    if (!key.startsWith(prefix) || key === extraKey) continue;
    const [first, ...rest] = key.slice(prefix.length).split('.');
    const known = rest.length > 0 ? state.modules.has(first!) : own.has(first!);
    if (!known) unexpectedKeys.push(key);
  }
}

/** Parameters, then persistent buffers, those that are not null. */
function ownState(module: Module): Map<string, Tensor> {
  const { parameters, buffers, nonPersistent } = stateOf(module);
  const own = new Map<string, Tensor>();
  for (const [name, parameter] of parameters) if (parameter !== null) own.set(name, parameter);
  for (const [name, buffer] of buffers)
    if (buffer !== null && !nonPersistent.has(name)) own.set(name, buffer);
  return own;
}

function assignMember(module: Module, name: string, old: Tensor, input: Tensor): void {
  let value = input;
  if (old instanceof Parameter) {
    value =
      input instanceof Parameter
        ? input.requiresGrad_(old.requiresGrad)
        : new Parameter(input, old.requiresGrad);
  }
  Reflect.set(module, name, value);
}

/** A module has extra state when its class overrides the method that gives it. */
function hasExtraState(module: Module): boolean {
  return module.getExtraState() !== noExtraState;
}

function quoted(keys: readonly string[]): string {
  return keys.map((key) => `"${key}"`).join(', ');
}
