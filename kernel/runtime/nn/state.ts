import { ShardbookError } from '../base/index.js';
import { Tensor } from '../tensor/index.js';
import { ModuleHooks } from './hooks.js';
import type { Module } from './module.js';
import { type Buffer, bufferMark, isParameter, type Parameter } from './parameter.js';

/** What a module knows about its members, in PyTorch's order: each kind in the order of its first registration. */
export class ModuleState {
  readonly parameters = new Map<string, Parameter | null>();
  readonly buffers = new Map<string, Buffer | null>();
  readonly modules = new Map<string, Module | null>();
  readonly nonPersistent = new Set<string>();
  readonly hooks = new ModuleHooks();

  /** Whether `name` is registered as a member of any kind. */
  has(name: string): boolean {
    return this.parameters.has(name) || this.buffers.has(name) || this.modules.has(name);
  }

  /** Forgets `name`; true when it was a member. */
  forget(name: string): boolean {
    this.nonPersistent.delete(name);
    return this.parameters.delete(name) || this.buffers.delete(name) || this.modules.delete(name);
  }

  /**
   * Follows `module[name] = value` as PyTorch's `__setattr__` does: parameters, modules and buffers register
   * themselves, a registered name keeps its kind, and a name that is taken over by another kind leaves the old one.
   */
  assign(name: string, value: unknown): void {
    if (isParameter(value)) {
      this.buffers.delete(name);
      this.modules.delete(name);
      this.parameters.set(name, value as Parameter);
    } else if (this.parameters.has(name)) {
      if (value !== null && value !== undefined) throw cannotAssign('parameter', name, value);
      this.parameters.set(name, null);
    } else if (isModule(value)) {
      this.buffers.delete(name);
      this.modules.set(name, value);
    } else if (this.modules.has(name)) {
      if (value !== null && value !== undefined) throw cannotAssign('child module', name, value);
      this.modules.set(name, null);
    } else {
      const mark = bufferMark(value);
      if (mark !== undefined) {
        this.buffers.set(name, value as Buffer);
        if (mark.persistent) this.nonPersistent.delete(name);
        else this.nonPersistent.add(name);
      } else if (this.buffers.has(name)) {
        if (value === null || value === undefined) this.buffers.set(name, null);
        else if (value instanceof Tensor) this.buffers.set(name, value);
        else throw cannotAssign('buffer', name, value);
      }
    }
  }
}

function cannotAssign(kind: string, name: string, value: unknown): ShardbookError {
  const kindOf = (value as object | undefined)?.constructor?.name;
  const given = !(value instanceof Tensor)
    ? `a ${typeof value}`
    : kindOf === 'Tensor'
      ? 'a plain tensor'
      : `a ${kindOf} that is no Parameter`;
  return new ShardbookError({
    code: 'SB_NN_ASSIGN',
    message: `Cannot assign to ${kind} "${name}": given ${given}, wanted ${kind === 'parameter' ? 'a Parameter' : kind === 'buffer' ? 'a tensor' : 'a Module'} or null`,
    help:
      kind === 'parameter' && value instanceof Tensor
        ? `wrap it: module.${name} = new nn.Parameter(tensor), or copy into it: torch.noGrad(() => module.${name}.copy_(tensor))`
        : `delete module.${name} first to use the name for something else`,
  });
}

/** Where a module keeps its registered members. */
export const stateKey: unique symbol = Symbol('module state');

/** Whether a value is a module. */
export function isModule(value: unknown): value is Module {
  return typeof value === 'function' && stateKey in value;
}

/** The registered members and hooks of a module: for code that replaces them (sharding, functional calls). */
export function stateOf(module: Module): ModuleState {
  return module[stateKey];
}

/** What `getExtraState` gives where a class has none. */
export const noExtraState: unique symbol = Symbol('no extra state');
