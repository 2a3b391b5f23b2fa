/** Members of modules by their names and paths. */
import { nearestName, ShardbookError } from '../base/index.js';
import type { Tensor } from '../tensor/index.js';
import { getOwn } from './blank.js';
import type { Module } from './module.js';
import { type ModuleState, stateOf } from './state.js';

/** Parameters or buffers with their paths, each once unless `removeDuplicate` is false. */
export function namedMembers<T extends Tensor>(
  root: Module,
  members: (state: ModuleState) => ReadonlyMap<string, T | null>,
  prefix: string,
  recurse: boolean,
  removeDuplicate: boolean,
): [string, T][] {
  const seen = new Set<T>();
  const found: [string, T][] = [];
  const modules: [string, Module][] = recurse ? root.namedModules(prefix, removeDuplicate) : [[prefix, root]];
  for (const [path, module] of modules) {
    for (const [name, member] of members(stateOf(module))) {
      if (member === null || seen.has(member)) continue;
      if (removeDuplicate) seen.add(member);
      found.push([path === '' ? name : `${path}.${name}`, member]);
    }
  }
  return found;
}

/** Throws unless a member of this name can be registered; `same` are those that it may replace. */
export function checkName(
  module: Module,
  kind: string,
  name: string,
  same: ReadonlyMap<string, unknown>,
): void {
  const bad = (why: string, help?: string): ShardbookError =>
    new ShardbookError({
      code: 'SB_NN_REGISTER',
      message: `Cannot register ${kind} "${name}": ${why}`,
      ...(help === undefined ? {} : { help }),
    });
  if (typeof name !== 'string') throw bad('the name is not a string');
  if (name === '') throw bad('the name is empty');
  if (name.includes('.')) throw bad('a name may not contain "."');
  const taken = name in module && !same.has(name) && getOwn(module, name) !== undefined;
  if (taken)
    throw bad(
      `the module already has an attribute of this name`,
      'choose another name or delete the attribute first',
    );
}

/** What a path does not find, and what there is. */
export function noMember(
  module: Module,
  path: string,
  kind: string,
  name: string,
  names: Iterable<string>,
): ShardbookError {
  const all = [...names];
  const near = nearestName(name, all);
  const where = path === '' ? module._getName() : `${module._getName()} at "${path}"`;
  return new ShardbookError({
    code: 'SB_NN_PATH',
    message: `Cannot find ${kind} "${name}" in ${where}`,
    notes: [
      all.length === 0 ? `it has no ${kind}s` : `its ${kind}s are ${all.map((n) => `"${n}"`).join(', ')}`,
    ],
    ...(near === undefined ? {} : { help: `did you mean "${near}"?` }),
  });
}

/** `layers.0.weight` to `layers.0` and `weight`. */
export function splitPath(target: string): [path: string, name: string] {
  const dot = target.lastIndexOf('.');
  return dot < 0 ? ['', target] : [target.slice(0, dot), target.slice(dot + 1)];
}
