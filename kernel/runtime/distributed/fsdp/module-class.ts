/** The classes of sharded modules: `FSDPLinear` extends `Linear` with FSDP's methods. */
import type { Module } from '../../nn/index.js';
import type { Tensor } from '../../tensor/index.js';
import { DTensor } from '../dtensor/index.js';
import { fsdpError } from './errors.js';
import { FSDPModuleMethods } from './module.js';
import { fsdpStateOf } from './state.js';

const prototypes = new WeakMap<object, object>();

/** Gives a module the class `FSDP<its class>`. */
export function becomeFsdp(module: Module): void {
  const base = Object.getPrototypeOf(module) as object;
  let made = prototypes.get(base);
  if (!made) {
    made = makePrototype(base);
    prototypes.set(base, made);
  }
  Object.setPrototypeOf(module, made);
}

type Apply = (fn: (tensor: Tensor) => Tensor, recurse?: boolean) => Module;

function makePrototype(base: object): object {
  const original = base.constructor as new (...args: unknown[]) => Module;
  // Modules that make others of their own class (a slice of a Sequential) get plain ones.
  const made = (...args: unknown[]): Module => Reflect.construct(original, args);
  Object.defineProperty(made, 'name', { value: `FSDP${original.name}` });
  Object.setPrototypeOf(made, original);
  const methods = Object.getOwnPropertyDescriptors(FSDPModuleMethods.prototype) as PropertyDescriptorMap;
  const hidden = { configurable: true, writable: true };
  const prototype: object = Object.create(base, {
    ...methods,
    constructor: { value: made, ...hidden },
    _apply: { value: applySharded, ...hidden },
    __deepcopy__: { value: refuseCopy, ...hidden },
  });
  Object.defineProperty(made, 'prototype', { value: prototype });
  return prototype;

  /** Casts and moves act on the sharded parameters, whose padding is then made anew. */
  function applySharded(this: Module & FSDPModuleMethods, fn: (t: Tensor) => Tensor, recurse = true): Module {
    this.reshard();
    const onLocal = (t: Tensor): Tensor => {
      if (!(t instanceof DTensor)) return fn(t);
      const local = fn(t.localTensor);
      return new DTensor(
        local,
        t.spec.withMeta({ shape: t.spec.shape, strides: t.spec.strides, dtype: local.dtype }),
      );
    };
    (base as { _apply: Apply })._apply.call(this, onLocal, recurse);
    for (const group of fsdpStateOf(this)!.groups) for (const p of group.params) p.resetSharded();
    return this;
  }
}

function refuseCopy(this: Module): never {
  throw fsdpError(
    'COPY',
    `Cannot copy ${this._getName()}: a sharded module is tied to its hooks and groups`,
    "make the module anew, shard it, and load this one's stateDict()",
  );
}
