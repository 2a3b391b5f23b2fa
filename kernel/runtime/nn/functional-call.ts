import { runThen, ShardbookError } from '../base/index.js';
import type { Tensor } from '../tensor/index.js';
import { setOwn } from './blank.js';
import type { Module } from './module.js';
import { stateOf } from './state.js';

/**
 * Calls a module with other tensors in place of its parameters and buffers, by name; the module itself is unchanged
 * afterwards. Tied members are replaced together, unless `tieWeights` is false. With `strict` every member must be given.
 */
export function functionalCall(
  module: Module,
  tensors: Readonly<Record<string, Tensor>> | readonly Readonly<Record<string, Tensor>>[],
  args: unknown = [],
  kwargs: Readonly<Record<string, unknown>> = {},
  options: { tieWeights?: boolean; strict?: boolean } = {},
): unknown {
  const given = new Map(
    Object.entries(
      Array.isArray(tensors)
        ? (Object.assign({}, ...tensors) as Record<string, Tensor>)
        : (tensors as Record<string, Tensor>),
    ),
  );
  const members = new Map<string, Tensor>([
    ...module.namedParameters('', true, false),
    ...module.namedBuffers('', true, false),
  ]);
  const unknown = [...given.keys()].filter((name) => !members.has(name));
  if (unknown.length > 0) {
    throw new ShardbookError({
      code: 'SB_NN_PATH',
      message: `Cannot call ${module._getName()} with other tensors: it has no ${unknown.map((n) => `"${n}"`).join(', ')}`,
    });
  }
  if (options.tieWeights ?? true) {
    const replacement = new Map<Tensor, Tensor>();
    for (const [name, tensor] of given) replacement.set(members.get(name)!, tensor);
    for (const [name, member] of members) {
      const tensor = replacement.get(member);
      if (tensor !== undefined && !given.has(name)) given.set(name, tensor);
    }
  }
  const missing = [...members.keys()].filter((name) => !given.has(name));
  if (options.strict && missing.length > 0) {
    throw new ShardbookError({
      code: 'SB_NN_PATH',
      message: `Cannot call ${module._getName()} with other tensors: ${missing.map((n) => `"${n}"`).join(', ')} not given`,
    });
  }
  const swap = (values: ReadonlyMap<string, Tensor>): void => {
    for (const [name, value] of values) replaceMember(module, name, value);
  };
  const before = new Map([...given.keys()].map((name) => [name, members.get(name)!]));
  const list = Array.isArray(args) ? args : [args];
  const call = module as unknown as (...a: unknown[]) => unknown;
  return runThen(
    () => {
      swap(given);
      return Object.keys(kwargs).length === 0 ? call(...list) : call(...list, kwargs);
    },
    () => swap(before),
  );
}

/** Puts a tensor in a member's place without asking whether it is a parameter. */
function replaceMember(root: Module, path: string, value: Tensor): void {
  const dot = path.lastIndexOf('.');
  const module = dot < 0 ? root : root.getSubmodule(path.slice(0, dot));
  const name = path.slice(dot + 1);
  const state = stateOf(module);
  (state.parameters.has(name) ? state.parameters : state.buffers).set(name, value);
  setOwn(module, name, value);
}
