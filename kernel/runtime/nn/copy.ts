import { noGrad, Tensor } from '../tensor/index.js';
import { blankModule, getOwn, setOwn } from './blank.js';
import type { Module } from './module.js';
import { isParameter, markParameter } from './parameter.js';
import { isModule, stateOf } from './state.js';

/**
 * A copy that shares nothing with the original: modules, tensors, arrays, maps, sets and plain objects. What was shared
 * inside the original is shared inside the copy. Functions and other objects are kept as they are. A module's
 * private (`#`) fields can't be seen from outside, so classes that have them should not rely on deepcopy.
 */
export function deepcopy<T>(value: T): T {
  return copyOf(value, new Map()) as T;
}

function copyOf(value: unknown, memo: Map<unknown, unknown>): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return value;
  const done = memo.get(value);
  if (done !== undefined) return done;
  const remember = <C>(copy: C): C => {
    memo.set(value, copy);
    return copy;
  };
  if (isModule(value)) return copyModule(value, memo);
  if (value instanceof Tensor) return remember(copyTensor(value));
  if (Array.isArray(value)) {
    const copy: unknown[] = remember([]);
    for (const item of value) copy.push(copyOf(item, memo));
    return copy;
  }
  if (value instanceof Map) {
    const copy = remember(new Map<unknown, unknown>());
    for (const [k, v] of value) copy.set(copyOf(k, memo), copyOf(v, memo));
    return copy;
  }
  if (value instanceof Set) {
    const copy = remember(new Set<unknown>());
    for (const v of value) copy.add(copyOf(v, memo));
    return copy;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const copy: Record<string, unknown> = remember({});
  for (const [k, v] of Object.entries(value)) copy[k] = copyOf(v, memo);
  return copy;
}

function copyTensor(tensor: Tensor): Tensor {
  const copy = noGrad(() => tensor.detach().clone()).requiresGrad_(tensor.requiresGrad);
  // As in PyTorch, a copied parameter starts without a gradient; other tensors keep theirs.
  if (isParameter(tensor)) return markParameter(copy);
  if (tensor.grad !== null) copy.grad = noGrad(() => tensor.grad!.detach().clone());
  return copy;
}

function copyModule(module: Module, memo: Map<unknown, unknown>): Module {
  // As in Python, a class may say itself how it is copied, or that it can't be.
  const own = (module as { __deepcopy__?: (memo: Map<unknown, unknown>) => Module }).__deepcopy__;
  if (typeof own === 'function') return own.call(module, memo);
  const copy = blankModule(Object.getPrototypeOf(module) as object);
  memo.set(module, copy);
  const from = stateOf(module);
  const to = stateOf(copy);
  for (const [name, parameter] of from.parameters)
    to.parameters.set(name, copyOf(parameter, memo) as Tensor | null);
  for (const [name, buffer] of from.buffers) to.buffers.set(name, copyOf(buffer, memo) as Tensor | null);
  for (const [name, child] of from.modules) to.modules.set(name, copyOf(child, memo) as Module | null);
  for (const name of from.nonPersistent) to.nonPersistent.add(name);
  to.hooks.copyFrom(from.hooks);
  for (const name of Object.keys(module)) {
    setOwn(copy, name, copyOf(getOwn(module, name), memo));
  }
  return copy;
}
