/**
 * PyTorch names reach our API by name: this is the one place where the interpreter looks members up dynamically,
 * so that everything else stays typed.
 */
import * as runtime from '../../runtime/index.js';
import { ShardbookError } from '../../runtime/index.js';

/** What the interpreter needs of a tensor. */
export interface TensorLike {
  readonly shape: readonly number[];
  readonly dtype: unknown;
  readonly requiresGrad: boolean;
  grad: TensorLike | null;
}

type Namespace = 'torch' | 'nn' | 'F' | 'optim' | 'dist' | 'dtensor' | 'autograd';

/** A member of one of the runtime's namespaces, `undefined` when there is none. */
export function lookUp(namespace: Namespace, name: string): unknown {
  const spaces = runtime as unknown as Record<string, Record<string, unknown> | undefined>;
  let at: unknown = spaces[namespace];
  for (const part of name.split('.')) at = member(at, part);
  return at;
}

/** A property of anything, `undefined` when it has none. */
export function member(target: unknown, name: string): unknown {
  if (target === undefined || target === null) return undefined;
  return (target as Record<string, unknown>)[name];
}

/** Calls `namespace.name(...args)`. */
export function callIn(namespace: Namespace, name: string, ...args: unknown[]): unknown {
  const fn = lookUp(namespace, name);
  if (typeof fn !== 'function') throw lacking(`${namespace}.${name}`);
  return (fn as (...a: unknown[]) => unknown)(...args);
}

/** Calls a function or method value. */
export function apply(fn: unknown, ...args: unknown[]): unknown {
  if (typeof fn !== 'function') throw lacking(String(fn));
  return (fn as (...a: unknown[]) => unknown)(...args);
}

/** Makes an instance of `namespace.name`. */
export function construct(namespace: Namespace, name: string, ...args: unknown[]): unknown {
  const made = lookUp(namespace, name);
  if (typeof made !== 'function') throw lacking(`${namespace}.${name}`);
  return Reflect.construct(made, args);
}

/** Calls `target.name(...args)`. */
export function method(target: unknown, name: string, ...args: unknown[]): unknown {
  const fn = member(target, name);
  if (typeof fn !== 'function') throw lacking(`.${name} of ${kindOf(target)}`);
  return (fn as (...a: unknown[]) => unknown).apply(target, args);
}

export function isTensor(value: unknown): value is TensorLike {
  return value instanceof (lookUp('torch', 'Tensor') as new () => TensorLike);
}

export function isModule(value: unknown): boolean {
  const base = lookUp('nn', 'Module');
  return typeof base === 'function' && value instanceof (base as new () => object);
}

/** The runtime's dtype of that PyTorch name. */
export function dtypeNamed(name: string): unknown {
  const dtype = lookUp('torch', name) ?? lookUp('torch', camelCase(name));
  if (dtype === undefined) throw lacking(`dtype ${name}`);
  return dtype;
}

/** PyTorch's name of a dtype: ours are the same texts, whether the dtype is the text or an object with a name. */
export function dtypeName(dtype: unknown): string {
  if (typeof dtype === 'string') return dtype;
  return String(member(dtype, 'name'));
}

/** `index_add_` -> `indexAdd_`: our names are PyTorch's in camelCase, the underscore of in-place methods kept. */
export function camelCase(name: string): string {
  const joined = name.replace(
    /([a-zA-Z0-9])_([a-z0-9])/g,
    (_, before: string, after: string) => before + after.toUpperCase(),
  );
  // T_max and T_0 of the schedulers are tMax and t0.
  return /^[A-Z]_/.test(name) ? joined.charAt(0).toLowerCase() + joined.slice(1) : joined;
}

/** An operation or member that the program wants and the runtime does not have. */
export class MissingOperation extends ShardbookError {
  constructor(readonly operation: string) {
    super({
      code: 'SB_CONFORM_UNKNOWN_OP',
      message: `Cannot run "${operation}": the runtime has no such operation`,
      help: 'shardbook conform --list FILE shows which operations a file needs and which are lacking',
    });
  }
}

function lacking(operation: string): MissingOperation {
  return new MissingOperation(operation);
}

export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'object') return value.constructor?.name ?? 'object';
  return typeof value;
}
