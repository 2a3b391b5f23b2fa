import { apply, camelCase, isModule, isTensor, lookUp, MissingOperation, member, method } from './access.js';
import { normalise } from './calls.js';
import type { Machine } from './machine.js';
import { ownOperations } from './ops/registry.js';
import { plainDeep } from './values.js';

/** What runs a step: arguments are runtime values, float literals among them. */
export type Operation = (machine: Machine, args: unknown[], kwargs: Record<string, unknown>) => unknown;

/** The operation of that name. Throws `MissingOperation` when nobody defines it. */
export function resolve(name: string): Operation {
  const operation = find(name);
  if (operation === undefined) throw new MissingOperation(name);
  return operation;
}

/** Whether the runtime can be expected to run an operation; methods are looked up on tensors, modules and optimizers. */
export function isKnown(name: string): boolean {
  return name === 'observe' || find(name) !== undefined;
}

function find(name: string): Operation | undefined {
  const own = ownOperations.get(name);
  if (own) return own;
  if (name.startsWith('.')) return methodOperation(name);
  const [space, ...rest] = name.split('.');
  const member = rest.join('.');
  switch (space) {
    case 'torch': {
      const fn = lookUp('torch', camelCase(member));
      if (typeof fn === 'function') return (_, args, kwargs) => apply(fn, ...normalise(name, args, kwargs));
      return undefined;
    }
    case 'F': {
      const fn = lookUp('F', camelCase(member));
      return typeof fn === 'function'
        ? (_, args, kwargs) => apply(fn, ...normalise(name, args, kwargs))
        : undefined;
    }
    case 'nn':
      return constructorOperation(name, lookUp('nn', member));
    case 'lr':
      return constructorOperation(
        name,
        lookUp('optim', member) ??
          lookUp('optim', `lr.${member}`) ??
          lookUp('optim', `lrScheduler.${member}`),
      );
    case 'optim': {
      const made = lookUp('optim', member);
      if (typeof made !== 'function') return undefined;
      return (_, [target, ...more], kwargs) =>
        Reflect.construct(made, [
          ...normalise(
            name,
            [plainDeep(parametersOf(target)), ...more.map(plainDeep)],
            plainDeep(kwargs) as Record<string, unknown>,
          ),
        ]);
    }
  }
  return undefined;
}

/** Parameters of a module, or the list (of parameters or groups) as it is; group options get our names. */
export function parametersOf(target: unknown): unknown {
  if (isModule(target)) return method(target, 'parameters');
  if (!Array.isArray(target)) return target;
  return target.map((entry: unknown) =>
    isTensor(entry) || typeof entry !== 'object' || entry === null
      ? entry
      : Object.fromEntries(Object.entries(entry).map(([key, value]) => [camelCase(key), value])),
  );
}

function constructorOperation(name: string, made: unknown): Operation | undefined {
  if (typeof made !== 'function') return undefined;
  return (_, args, kwargs) =>
    Reflect.construct(
      made,
      normalise(name, args.map(plainDeep), plainDeep(kwargs) as Record<string, unknown>),
    );
}

/** Properties that PyTorch has as methods and we have as values are read. */
function methodOperation(name: string): Operation {
  const wanted = camelCase(name.slice(1));
  return (_, args, kwargs) => {
    const target = args[0];
    const [, ...given] = normalise(name, args, kwargs);
    const fn = member(target, wanted);
    if (typeof fn === 'function') return fn.apply(target, given);
    if (fn !== undefined && given.length === 0) return fn;
    const builtin = dictionaryMethod(target, name.slice(1), given);
    if (builtin) return builtin();
    throw new MissingOperation(name);
  };
}

/** The few methods of Python's dict and list that programs use. */
function dictionaryMethod(
  target: unknown,
  name: string,
  [key, fallback]: unknown[],
): (() => unknown) | undefined {
  if (typeof target !== 'object' || target === null || isTensor(target)) return undefined;
  const table = target as Record<string, unknown>;
  switch (name) {
    case 'pop':
      return () => {
        if (Array.isArray(target)) return target.splice(key === undefined ? -1 : Number(key), 1)[0];
        const value = String(key) in table ? table[String(key)] : fallback;
        delete table[String(key)];
        return value;
      };
    case 'get':
      return () => table[String(key)] ?? fallback ?? null;
    case 'setdefault':
      return () => (table[String(key)] ??= fallback ?? null);
    case 'keys':
      return () => Object.keys(table);
    case 'values':
      return () => Object.values(table);
    default:
      return undefined;
  }
}
