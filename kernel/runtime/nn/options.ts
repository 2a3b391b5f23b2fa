import type { Device, DType } from '../tensor/index.js';

/** Where and in what dtype a module makes its parameters. */
export interface FactoryOptions {
  device?: Device;
  dtype?: DType;
}

/** The part of a module's options that tensor constructors take. */
export function factory(options: FactoryOptions): FactoryOptions {
  return {
    ...(options.device === undefined ? {} : { device: options.device }),
    ...(options.dtype === undefined ? {} : { dtype: options.dtype }),
  };
}

/** Whether an argument is an options object and not a positional value. */
export function isOptions(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/**
 * Options of which the first few may also be given by position, as PyTorch allows: `named([false], ['bias'], {})`.
 * A plain object among the positions is the options object.
 */
export function named<O extends object>(
  positional: readonly unknown[],
  names: readonly (keyof O)[],
): Partial<O> {
  const options: Partial<O> = {};
  for (const [i, value] of positional.entries()) {
    if (value === undefined) continue;
    if (isOptions(value)) Object.assign(options, value);
    else Object.assign(options, { [names[i]!]: value });
  }
  return options;
}
