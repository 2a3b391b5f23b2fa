/**
 * What a plan does to one module: how its parameters are cut, how its inputs are brought in and its outputs handed on. A style
 * holds no tensors, so one object serves many modules.
 */
import { ShardbookError } from '../../base/index.js';
import type { Module } from '../../nn/index.js';
import type { DeviceMesh } from '../mesh/index.js';

/** The base of all styles: subclass it and define `apply` for a style of your own. */
export abstract class ParallelStyle {
  /**
   * The group rank whose parameters are the whole that is cut; null: every rank cuts its own. `parallelizeModule` sets it before
   * it calls `apply`.
   */
  srcDataRank: number | null = 0;

  /** Makes `module` parallel over `mesh`, in place, and returns it. */
  abstract apply(module: Module, mesh: DeviceMesh): Module;

  /** What the style says of itself: `inputLayouts=R`. */
  protected describe(): string {
    return '';
  }

  toString(): string {
    return `${this.constructor.name}(${this.describe()})`;
  }

  /** What Node's console asks; the runtime knows it by name only. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return String(this);
  }
}

export function styleError(code: string, message: string, help?: string): ShardbookError {
  return new ShardbookError({ code, message, ...(help === undefined ? {} : { help }) });
}

export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === 'object' || typeof value === 'function'
    ? (value.constructor?.name ?? 'object')
    : typeof value;
}
