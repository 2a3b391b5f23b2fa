import {
  callIn,
  dtypeName,
  dtypeNamed,
  isTensor,
  kindOf,
  member,
  method,
  type TensorLike,
} from './access.js';
import { FloatLiteral, isJsonObject, type Json, type JsonObject, plainNumber } from './json.js';

/** Dtypes whose literals are decimals. */
const FLOATING = new Set(['float64', 'float32', 'float16', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2']);
const WORDS: Readonly<Record<string, number>> = { nan: Number.NaN, inf: Infinity, '-inf': -Infinity };

/** A Python tuple: a list that indexing and a few signatures tell from a list. */
export class TupleValue extends Array<unknown> {}

/** What values refer to: bound names, the rank, its world and scratch folder. */
export interface Scope {
  rank: number;
  world: number;
  scratch: string;
  env: Map<string, unknown>;
}

/** The runtime value of an argument. Whole floats stay `FloatLiteral` until an operation takes them. */
export function valueIn(arg: Json, scope: Scope): unknown {
  if (typeof arg === 'string') return arg.startsWith('$') ? bound(arg.slice(1), scope) : arg;
  if (Array.isArray(arg)) return arg.map((entry) => valueIn(entry, scope));
  if (!isJsonObject(arg)) return arg;
  if ('by_rank' in arg) return valueIn((arg['by_rank'] as Json[])[scope.rank] ?? null, scope);
  if ('t' in arg && 's' in arg && 'd' in arg) return tensorIn(arg);
  const keys = Object.keys(arg);
  if (keys.length === 1) {
    if ('dtype' in arg) return dtypeNamed(String(arg['dtype']));
    if ('placements' in arg) return (arg['placements'] as Json[]).map((text) => placementIn(String(text)));
    if ('tuple' in arg)
      return TupleValue.from((arg['tuple'] as Json[]).map((entry) => valueIn(entry, scope)));
  }
  return Object.fromEntries(keys.map((key) => [key, valueIn(arg[key]!, scope)]));
}

function bound(name: string, scope: Scope): unknown {
  if (name === 'rank') return scope.rank;
  if (name === 'world') return scope.world;
  if (name === 'scratch') return scope.scratch;
  if (!scope.env.has(name)) throw new Error(`"$${name}" is not bound`);
  return scope.env.get(name);
}

function tensorIn(literal: JsonObject): TensorLike {
  const name = String(literal['t']);
  const data = literal['d'] as Json[];
  const shape = (literal['s'] as Json[]).map(Number);
  return makeTensor(
    data.map((v) => scalarIn(v, name)),
    shape,
    name,
  );
}

function scalarIn(value: Json, dtype: string): number | bigint | boolean {
  if (typeof value === 'boolean' || typeof value === 'bigint') return value;
  if (typeof value === 'string') {
    if (value in WORDS) return WORDS[value]!;
    return FLOATING.has(dtype) ? Number(value) : BigInt(value);
  }
  return Number(value);
}

/** A tensor of flat row-major data. Low-precision floats go through float32, as the recorder's literals do. */
export function makeTensor(
  data: readonly (number | bigint | boolean)[] | Float32Array,
  shape: readonly number[],
  dtype: string,
): TensorLike {
  const base = FLOATING.has(dtype) && dtype !== 'float64' ? 'float32' : dtype;
  const flat = callIn('torch', 'tensor', Array.from(data as ArrayLike<number>), { dtype: dtypeNamed(base) });
  const shaped = method(flat, 'reshape', shape) as TensorLike;
  return base === dtype ? shaped : (method(shaped, 'to', dtypeNamed(dtype)) as TensorLike);
}

/** The JSON form of an observed value. */
export function valueOut(value: unknown): Json {
  if (isTensor(value)) return isDistributed(value) ? dtensorOut(value) : tensorOut(value);
  if (value === undefined || value === null) return null;
  switch (typeof value) {
    case 'boolean':
    case 'string':
      return value;
    case 'number':
      return numberOut(value);
    case 'bigint':
      return integerOut(value);
  }
  if (value instanceof FloatLiteral) return value;
  if (Array.isArray(value) || value instanceof Set) return Array.from(value, valueOut);
  if (value instanceof Map) {
    return Object.fromEntries(Array.from(value, ([key, entry]) => [String(key), valueOut(entry)]));
  }
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>, valueOut);
  if (isDtype(value)) return dtypeName(value);
  if (isPlainObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, valueOut(entry)]));
  }
  // Named results such as {values, indices} of a class of their own, and iterables such as a shape.
  if (Symbol.iterator in (value as object)) return Array.from(value as Iterable<unknown>, valueOut);
  throw new Error(`a ${kindOf(value)} cannot be observed`);
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const proto: unknown = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

function isDtype(value: unknown): boolean {
  const name = member(value, 'name');
  return typeof name === 'string' && (FLOATING.has(name) || /^(u?int\d+|bool)$/.test(name));
}

function tensorOut(tensor: TensorLike): Json {
  const name = dtypeName(tensor.dtype);
  let flat = method(method(tensor, 'detach'), 'contiguous');
  if (FLOATING.has(name) && name !== 'float64' && name !== 'float32')
    flat = method(flat, 'to', dtypeNamed('float32'));
  const values = method(method(flat, 'reshape', [-1]), 'tolist') as unknown[];
  return { t: name, s: [...tensor.shape], d: values.map((v) => valueOut(v)) };
}

function numberOut(value: number): Json {
  if (Number.isNaN(value)) return 'nan';
  return Number.isFinite(value) ? value : value > 0 ? 'inf' : '-inf';
}

function integerOut(value: bigint): Json {
  const magnitude = value < 0n ? -value : value;
  return magnitude < 2n ** 53n ? Number(value) : value.toString();
}

// ---------------------------------------------------------------- distributed tensors
function isDistributed(value: TensorLike): boolean {
  return member(value, 'deviceMesh') !== undefined && member(value, 'placements') !== undefined;
}

function dtensorOut(tensor: TensorLike): Json {
  const placements = member(tensor, 'placements') as unknown[];
  return {
    dtensor: {
      shape: [...tensor.shape],
      placements: placements.map(placementOut),
      local: tensorOut(method(tensor, 'toLocal') as TensorLike),
    },
  };
}

/** `S(0)`, `_S(0,2)`, `R`, `P(sum)`. */
export function placementOut(placement: unknown): string {
  const [dim, split, op] = ['dim', 'splitFactor', 'reduceOp'].map((name) => member(placement, name));
  if (split !== undefined) return `_S(${String(dim)},${String(split)})`;
  if (dim !== undefined) return `S(${String(dim)})`;
  return op === undefined ? 'R' : `P(${String(op)})`;
}

export function placementIn(text: string): unknown {
  const match = /^(R|_S|S|P)(?:\((.*)\))?$/.exec(text);
  const inner = match?.[2] ?? '';
  switch (match?.[1]) {
    case 'R':
      return callIn('dist', 'Replicate');
    case 'S':
      return callIn('dist', 'Shard', Number(inner));
    case 'P':
      return callIn('dist', 'Partial', inner);
    case '_S': {
      const [dim, splitFactor] = inner.split(',').map(Number);
      return callIn('dist', 'StridedShard', dim, { splitFactor });
    }
    default:
      throw new Error(`"${text}" is no placement`);
  }
}

/** Every float literal inside becomes its number. */
export function plainDeep(value: unknown): unknown {
  if (value instanceof FloatLiteral) return value.value;
  if (value instanceof TupleValue) return TupleValue.from(value.map(plainDeep));
  if (Array.isArray(value)) return value.map(plainDeep);
  if (isPlainObject(value))
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plainDeep(v)]));
  return plainNumber(value);
}

/** The shape of nested lists is kept; used where a program gives numbers that JSON wrote as text. */
export function numberIn(value: unknown): number {
  const plain = plainNumber(value);
  return typeof plain === 'string' ? (WORDS[plain] ?? Number(plain)) : Number(plain);
}
