import type { Machine } from '../machine.js';
import type { Operation } from '../resolve.js';
import { plainDeep } from '../values.js';

/** Operations that the corpus defines itself, by name. Every file in this folder adds its area. */
export const ownOperations = new Map<string, Operation>();

/** Arguments by name, after positional and keyword arguments have been put together. */
export class Args {
  private readonly values: ReadonlyMap<string, unknown>;
  constructor(values: ReadonlyMap<string, unknown>) {
    this.values = values;
  }
  /** The argument, or `fallback` when it was not given. */
  get<T>(name: string, fallback?: T): T {
    return (this.values.has(name) ? this.values.get(name) : fallback) as T;
  }
  /** The argument as a number; null and absent give `fallback`. */
  number(name: string, fallback?: number): number {
    const value = this.values.get(name);
    return value === undefined || value === null ? (fallback as number) : Number(value);
  }
  has(name: string): boolean {
    return this.values.get(name) !== undefined && this.values.get(name) !== null;
  }
}

/**
 * Defines an operation. `params` names its parameters in the order of the recorder's definition; whole floats are plain
 * numbers when it runs. Keyword arguments beyond them are refused, as in Python.
 */
export function op(name: string, params: string, run: (args: Args, machine: Machine) => unknown): void {
  const names = params.split(' ').filter((word) => word !== '');
  ownOperations.set(name, (machine, given, kwargs) => {
    const values = new Map<string, unknown>();
    if (given.length > names.length)
      throw new Error(`${name} takes ${names.length} arguments, ${given.length} were given`);
    given.forEach((value, i) => {
      values.set(names[i]!, plainDeep(value));
    });
    for (const [key, value] of Object.entries(kwargs)) {
      if (!names.includes(key)) throw new Error(`${name} has no argument "${key}"`);
      values.set(key, plainDeep(value));
    }
    return run(new Args(values), machine);
  });
}

/** Defines an operation that gets its arguments as they were given, whole floats among them. */
export function rawOp(name: string, run: Operation): void {
  ownOperations.set(name, run);
}
