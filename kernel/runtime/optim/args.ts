/** PyTorch's calling convention: positional arguments in PyTorch's order, then one object of named options. */
import { nearestName, ShardbookError } from '../base/index.js';

/** Any prefix of the positional arguments `P`, then optionally the options `O`. */
export type Args<P extends readonly unknown[], O> = P extends readonly [infer H, ...infer T]
  ? [] | [O] | [H, ...Args<T, O>]
  : [] | [O];

/** Merges positional and named arguments with `defaults`; the order of the keys of `defaults` is the positional order. */
export function bindArgs<D extends Record<string, unknown>>(
  callee: string,
  defaults: D,
  args: readonly unknown[],
): D {
  const names = Object.keys(defaults);
  const positional = [...args];
  const last = positional.at(-1);
  const options = isOptions(last) ? (positional.pop() as Record<string, unknown>) : {};
  if (positional.length > names.length) {
    throw new ShardbookError({
      code: 'SB_OPTIM_ARGUMENT',
      message: `Cannot call "${callee}": ${positional.length} arguments given, it takes at most ${names.length}`,
    });
  }
  const bound: Record<string, unknown> = { ...defaults };
  for (const [i, value] of positional.entries()) if (value !== undefined) bound[names[i]!] = value;
  for (const [given, value] of Object.entries(options)) {
    // PyTorch's `T_max` may be written `TMax` as well as `tMax`.
    const name = given in defaults ? given : given.charAt(0).toLowerCase() + given.slice(1);
    if (!(name in defaults)) {
      const near = nearestName(name, names);
      throw new ShardbookError({
        code: 'SB_OPTIM_ARGUMENT',
        message: `Cannot call "${callee}": it has no option "${name}"`,
        help: near === undefined ? `Its options are ${names.join(', ')}` : `Did you mean "${near}"?`,
      });
    }
    if (names.indexOf(name) < positional.length) {
      throw new ShardbookError({
        code: 'SB_OPTIM_ARGUMENT',
        message: `Cannot call "${callee}": "${name}" is given twice, by position and by name`,
      });
    }
    if (value !== undefined) bound[name] = value;
  }
  return bound as D;
}

/** A plain object, not a tensor, list or function. */
function isOptions(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** Throws unless `ok`: an option of an optimizer or scheduler is out of its range. */
export function checkOption(ok: boolean, callee: string, name: string, value: unknown, wanted: string): void {
  if (ok) return;
  throw new ShardbookError({
    code: 'SB_OPTIM_OPTION',
    message: `Cannot create "${callee}": "${name}" is ${JSON.stringify(value) ?? String(value)}, it must be ${wanted}`,
  });
}

/** `weightDecay` as PyTorch spells it in a state dict: `weight_decay`. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
}

/** The reverse of `snakeCase`. */
export function camelCase(name: string): string {
  return name.replace(/(?!^)_([a-z])/g, (_, c: string) => c.toUpperCase());
}
