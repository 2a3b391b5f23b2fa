/** Objects as bytes: what structured clone carries, and tensors anywhere inside (lists, plain objects, maps, sets). */
import type { DTypeName } from '../../base/index.js';
import { decodeValue, encodeValue } from '../../platform/index.js';
import { dtypes, Storage, Tensor } from '../../tensor/index.js';
import { badArgument } from './args.js';
import { describeTensor, readBytes } from './tensors.js';

/** Long and odd, so that no object of a user's has it by chance. */
const MARK = '\u0000shardbook:tensor';

const MARK_KIND = '\u0000shardbook:tensor kind';

/** How a tensor subclass travels: as plain data with plain tensors in it. */
export interface TensorKind {
  readonly name: string;
  is(t: Tensor): boolean;
  pack(t: Tensor): unknown;
  unpack(data: unknown): Tensor;
}

const kinds: TensorKind[] = [];

/** Lets objects with tensors of a subclass be sent. */
export function registerTensorKind(kind: TensorKind): void {
  kinds.push(kind);
}

interface PackedTensor {
  dtype: DTypeName;
  shape: number[];
  requiresGrad: boolean;
  bytes: Uint8Array;
}

export function encodeObject(value: unknown): Uint8Array {
  const tensors: PackedTensor[] = [];
  const indices = new Map<Tensor, number>();
  const seen = new Map<object, unknown>();
  const mark = (t: Tensor): object => {
    const kind = kinds.find((one) => one.is(t));
    if (kind) return { [MARK_KIND]: kind.name, data: replaced(kind.pack(t), mark) };
    let index = indices.get(t);
    if (index === undefined) {
      index = tensors.length;
      indices.set(t, index);
      tensors.push(packTensor(t));
    }
    return { [MARK]: index };
  };
  return encodeValue([replaced(value, mark, seen), tensors]);
}

export function decodeObject(bytes: Uint8Array): unknown {
  const [body, packed] = decodeValue(bytes) as [unknown, PackedTensor[]];
  if (packed.length === 0) return body;
  const tensors = packed.map(unpackTensor);
  const restored = (value: object): Tensor | undefined => {
    const record = value as Record<string, unknown>;
    const name = record[MARK_KIND];
    if (typeof name === 'string')
      return kinds.find((kind) => kind.name === name)?.unpack(walk(record['data'], restored, new Map()));
    const index = record[MARK];
    return typeof index === 'number' ? tensors[index] : undefined;
  };
  return walk(body, restored, new Map());
}

/** A copy of the containers that tensors are in; everything without tensors is passed through. */
function replaced(
  value: unknown,
  mark: (t: Tensor) => object,
  seen: Map<object, unknown> = new Map(),
): unknown {
  return holdsTensor(value, new Set())
    ? walk(value, (v) => (v instanceof Tensor ? mark(v) : undefined), seen)
    : value;
}

function holdsTensor(value: unknown, seen: Set<object>): boolean {
  if (typeof value !== 'object' || value === null || seen.has(value)) return false;
  if (value instanceof Tensor) return true;
  seen.add(value);
  if (value instanceof Map) return [...value].some(([k, v]) => holdsTensor(k, seen) || holdsTensor(v, seen));
  if (Array.isArray(value) || value instanceof Set) return [...value].some((v) => holdsTensor(v, seen));
  return isPlain(value) && Object.values(value).some((v) => holdsTensor(v, seen));
}

/** `seen` keeps cycles and shared parts as they are. */
function walk(value: unknown, swap: (v: object) => unknown, seen: Map<object, unknown>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const instead = swap(value);
  if (instead !== undefined) return instead;
  if (Array.isArray(value)) {
    const list: unknown[] = [];
    seen.set(value, list);
    for (const v of value) list.push(walk(v, swap, seen));
    return list;
  }
  if (value instanceof Map) {
    const map = new Map<unknown, unknown>();
    seen.set(value, map);
    for (const [k, v] of value) map.set(walk(k, swap, seen), walk(v, swap, seen));
    return map;
  }
  if (value instanceof Set) {
    const set = new Set<unknown>();
    seen.set(value, set);
    for (const v of value) set.add(walk(v, swap, seen));
    return set;
  }
  if (!isPlain(value)) return value;
  const object: Record<string, unknown> = {};
  seen.set(value, object);
  for (const [k, v] of Object.entries(value)) object[k] = walk(v, swap, seen);
  return object;
}

function isPlain(value: object): boolean {
  const proto: unknown = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

function packTensor(t: Tensor): PackedTensor {
  if (t.isMeta)
    throw badArgument('send objects', `${describeTensor(t)} is on the meta device and has no data`);
  return {
    dtype: t.dtype.name,
    shape: [...t.shape],
    requiresGrad: t.requiresGrad,
    bytes: readBytes(t).slice(),
  };
}

function unpackTensor({ dtype, shape, requiresGrad, bytes }: PackedTensor): Tensor {
  const own = bytes.slice();
  const t = new Tensor({ storage: new Storage(own.buffer), shape, dtype: dtypes[dtype] });
  if (requiresGrad) t.requiresGrad = true;
  return t;
}
