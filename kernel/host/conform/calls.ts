import { camelCase, construct } from './access.js';
import { FloatLiteral } from './json.js';
import { signatureOf } from './signatures.js';
import { plainDeep, TupleValue } from './values.js';

/** Other spellings that PyTorch accepts for a parameter. */
const ALIASES: Readonly<Record<string, string>> = {
  axis: 'dim',
  axes: 'dims',
  keepdims: 'keepdim',
  self: 'input',
  x: 'input',
  x1: 'input',
  x2: 'other',
};

/**
 * Arguments as PyTorch takes them, turned into ours: positional ones, then one options object in camelCase.
 * `op` is the name as a step gives it; the receiver of a method is the first argument.
 */
export function normalise(
  op: string,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
): unknown[] {
  const [scalars, keywords] = floatScalars(op, args, kwargs);
  return special(op, scalars, keywords) ?? bySignature(op, scalars, keywords);
}

function bySignature(op: string, args: unknown[], kwargs: Record<string, unknown>): unknown[] {
  const signature = signatureOf(op);
  if (!signature) return withOptions([...args], camelKeys(kwargs));
  const { positional, optional, variadic } = signature;
  const out: unknown[] = [];
  const options: Record<string, unknown> = {};
  const fixed = variadic ? positional.length - 1 : positional.length;
  args.forEach((arg, i) => {
    if (i < fixed) out[i] = arg;
    else if (!variadic) {
      const name = optional[i - fixed];
      if (name === undefined) out.push(arg);
      else if (arg !== null || !name.startsWith('_')) options[name] = arg;
    }
  });
  if (variadic && args.length > fixed) {
    const rest = args.slice(fixed);
    // PyTorch takes sizes one by one or as a list, but tensors (einsum, meshgrid) one by one as we do.
    if (rest.length === 1 && Array.isArray(rest[0]))
      out.push(isSizes(rest[0]) ? Array.from(rest[0]) : rest[0]);
    else if (isSizes(rest) && !takesMany(op)) out.push(rest);
    else out.push(...rest);
  }
  for (const [key, value] of Object.entries(kwargs)) {
    const name = positional.includes(key) || optional.includes(key) ? key : (ALIASES[key] ?? key);
    const at = positional.indexOf(name);
    if (at >= 0) out[at] = value;
    else options[name] = value;
  }
  return withOptions(Array.from(out), camelKeys(options));
}

function isSizes(values: readonly unknown[]): boolean {
  return values.every((v) => typeof v === 'number' || v instanceof FloatLiteral);
}

/** Variadic operations whose rest are not sizes. */
function takesMany(op: string): boolean {
  return /einsum|meshgrid|broadcast_tensors|broadcast_shapes/.test(op);
}

function withOptions(args: unknown[], options: Record<string, unknown>): unknown[] {
  while (args.length > 0 && args.at(-1) === undefined) args.pop();
  return Object.keys(options).length > 0 ? [...args, options] : args;
}

function camelKeys(kwargs: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(kwargs)
      .filter(([key]) => !key.startsWith('_'))
      .map(([key, value]) => [camelCase(key), value]),
  );
}

// ---------------------------------------------------------------- forms that depend on the types of the arguments
function special(op: string, args: unknown[], kwargs: Record<string, unknown>): unknown[] | undefined {
  const name = op.replace(/^torch\.|^\./, '');
  switch (name) {
    case 'std':
    case 'var':
    case 'std_mean':
    case 'var_mean':
      // The old form std(x, unbiased).
      if (typeof args[1] === 'boolean')
        return bySignature(op, [args[0]], { ...kwargs, correction: args[1] ? 1 : 0 });
      return undefined;
    case 'randint':
      // randint(high, size) has no low.
      if (Array.isArray(args[1])) return bySignature(op, [0, ...args], kwargs);
      if (args.length === 1 && 'size' in kwargs && !('high' in kwargs))
        return bySignature(op, [0, ...args], kwargs);
      return undefined;
    case 'randint_like':
      if (args.length === 2 && !('high' in kwargs)) return bySignature(op, [args[0], 0, args[1]], kwargs);
      return undefined;
    case 'arange':
      if (args.length === 1 && 'end' in kwargs) return undefined;
      if (args.length === 0 && 'end' in kwargs && !('start' in kwargs)) return bySignature(op, [0], kwargs);
      return undefined;
    case 'random_':
      // random_(to) has no from.
      if (args.length === 2 && !('to' in kwargs)) return bySignature(op, [args[0], 0, args[1]], kwargs);
      return undefined;
    case 'view':
      if (args.length === 2 && !Array.isArray(args[1]) && typeof args[1] !== 'number') return args;
      if ('dtype' in kwargs) return [args[0], kwargs['dtype']];
      return undefined;
    case 'to': {
      // to(device, dtype) against to(dtype).
      if (typeof args[1] === 'string' && typeof args[2] !== 'boolean' && args[2] !== undefined) {
        return bySignature(op, [args[0]], { ...kwargs, device: args[1], dtype: args[2] });
      }
      return undefined;
    }
    default:
      return undefined;
  }
}

// ---------------------------------------------------------------- whole floats
/** Operations that ask of a number whether it is a float. */
const KIND_MATTERS = new Set(
  (
    'tensor full arange new_tensor range as_tensor ' +
    'add sub subtract rsub mul multiply div divide true_divide floor_divide remainder fmod pow float_power where clamp clip ' +
    'bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift bitwise_and_ bitwise_or_ bitwise_xor_ ' +
    'eq ne lt le gt ge maximum minimum result_type add_ sub_ mul_ div_ pow_ remainder_ fmod_ floor_divide_ clamp_ xlogy atan2 searchsorted bucketize isin'
  ).split(' '),
);

/**
 * JavaScript has one number type, so `2.0` must say that it is a float where PyTorch would look at its kind: such numbers
 * become the runtime's `Float`. Everywhere else they are plain numbers.
 */
function floatScalars(
  op: string,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
): [unknown[], Record<string, unknown>] {
  const name = op.replace(/^torch\.|^\./, '');
  const keep = KIND_MATTERS.has(name) && !op.startsWith('F.');
  const convert = keep ? floatsDeep : plainDeep;
  return [
    args.map(convert),
    Object.fromEntries(Object.entries(kwargs).map(([key, value]) => [key, convert(value)])),
  ];
}

function floatsDeep(value: unknown): unknown {
  if (value instanceof FloatLiteral) return construct('torch', 'Float', value.value);
  if (Array.isArray(value) && !(value instanceof TupleValue)) return value.map(floatsDeep);
  return plainDeep(value);
}
