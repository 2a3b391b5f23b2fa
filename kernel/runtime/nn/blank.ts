/** Modules as objects: callable, and registering what is assigned to them. */
import { callWithHooks } from './call.js';
import { globalHooks } from './hooks.js';
import type { Module } from './module.js';
import { ModuleState, stateKey } from './state.js';

/** Sets an own property without registering anything: the registry is already right. */
export function setOwn(module: Module, name: string, value: unknown): void {
  targets.get(module)?.(name, value);
}

/** Reads a property by name. */
export function getOwn(module: Module, name: string): unknown {
  return (module as unknown as Record<string, unknown>)[name];
}

const targets = new WeakMap<Module, (name: string, value: unknown) => void>();

/** A module object without members: a function with the prototype of its class that registers what is assigned to it. */
export function blankModule(prototype: object): Module {
  const state = new ModuleState();
  const target = (...args: unknown[]): unknown =>
    state.hooks.touchCalls || globalHooks.touchCalls
      ? callWithHooks(module, state.hooks, args)
      : module.forward(...args);
  Object.setPrototypeOf(target, prototype);
  // A function's own "name" and "length" would hide fields of the same names that a module may have.
  Reflect.deleteProperty(target, 'name');
  Reflect.deleteProperty(target, 'length');
  Object.defineProperty(target, stateKey, { value: state });
  Object.defineProperty(target, 'training', {
    value: true,
    writable: true,
    enumerable: true,
    configurable: true,
  });
  const define = (name: string, value: unknown): void => {
    Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
  };
  // Class fields and assignments both arrive at defineProperty.
  const module: Module = new Proxy(target, {
    defineProperty(own, key, descriptor) {
      if (typeof key === 'string' && 'value' in descriptor) state.assign(key, descriptor.value);
      return Reflect.defineProperty(own, key, descriptor);
    },
    deleteProperty(own, key) {
      if (typeof key === 'string') state.forget(key);
      return Reflect.deleteProperty(own, key);
    },
  }) as unknown as Module;
  targets.set(module, define);
  return module;
}
