/** Values, indexing and small conversions: the first part of the recorder's spmd_ops. */
import {
  callIn,
  camelCase,
  dtypeNamed,
  isModule,
  isTensor,
  lookUp,
  member,
  method,
  type TensorLike,
} from '../access.js';
import { hashFill, hashInts } from '../hash.js';
import { isPlainObject, makeTensor, TupleValue } from '../values.js';
import { op, rawOp } from './registry.js';

export function fill(shape: readonly number[], seed: number, scale = 1, dtype = 'float32'): TensorLike {
  return makeTensor(hashFill(shape, seed, scale), shape, dtype);
}

export function fillInts(shape: readonly number[], seed: number, low: number, high: number): TensorLike {
  return makeTensor(hashInts(shape, seed, low, high), shape, 'int64');
}

export function noGrad<T>(run: () => T): T {
  return callIn('torch', 'noGrad', run) as T;
}

/** The whole value of a distributed tensor, any other tensor as it is. */
export function fullTensor(tensor: TensorLike): TensorLike {
  return typeof member(tensor, 'fullTensor') === 'function' && member(tensor, 'placements') !== undefined
    ? (method(tensor, 'fullTensor') as TensorLike)
    : tensor;
}

export function toNumber(tensor: unknown): number {
  return isTensor(tensor) ? Number(method(tensor, 'item')) : Number(tensor);
}

rawOp('value', (_, [value]) => value);
op('fill', 'shape seed scale dtype', (a) =>
  fill(a.get('shape'), a.number('seed'), a.number('scale', 1), a.get('dtype', 'float32')),
);
op('fill_ints', 'shape seed low high', (a) =>
  fillInts(a.get('shape'), a.number('seed'), a.number('low'), a.number('high')),
);
op('attr', 'obj path', (a) => a.get<string>('path').split('.').reduce(attribute, a.get<unknown>('obj')));

function attribute(target: unknown, name: string): unknown {
  if (name === '__class__') return (target as object).constructor;
  if (name === '__name__') return member(target, 'name');
  // A device is its type here.
  if (name === 'type' && typeof target === 'string') return target;
  if (/^\d+$/.test(name) && !(isModule(target) && Object.hasOwn(target as object, name)))
    return entryOf(target, Number(name));
  const key = [name, camelCase(name)].find((k) => member(target, k) !== undefined) ?? camelCase(name);
  const value = member(target, key);
  // What is a property in PyTorch may be a method without arguments in ours.
  if (typeof value === 'function' && !isModule(value)) return value.call(target);
  if (value === undefined && !(typeof target === 'object' && target !== null && key in target)) {
    throw new Error(`it has no attribute "${name}"`);
  }
  return value;
}

/** `obj[key]` of Python for lists, dictionaries, module lists and tensors. */
function entryOf(target: unknown, key: unknown): unknown {
  if (isTensor(target)) return indexTensor(target, key instanceof TupleValue ? [...key] : [key]);
  if (typeof key === 'number') {
    if (Array.isArray(target)) return target.at(checkedIndex(key, target.length));
    if (typeof member(target, 'at') === 'function') return method(target, 'at', key);
    if (typeof target === 'object' && target !== null && Symbol.iterator in target) {
      const all = Array.from(target as Iterable<unknown>);
      return all.at(checkedIndex(key, all.length));
    }
    const values = Object.values(target as object);
    if (!(String(key) in (target as object))) return values.at(checkedIndex(key, values.length));
  }
  if (target instanceof Map) return target.get(key);
  const value = member(target, String(key)) ?? member(target, camelCase(String(key)));
  if (value === undefined) throw new Error(`there is no entry ${JSON.stringify(key)}`);
  return value;
}

function checkedIndex(index: number, length: number): number {
  if (index >= length || index < -length)
    throw new Error(`index ${index} is out of range of ${length} entries`);
  return index;
}

/** PyTorch's `x[...]`, whose entries the runtime takes as arguments of `get`. */
export function indexTensor(target: TensorLike, key: readonly unknown[]): unknown {
  return method(target, 'get', ...key.map(indexEntry));
}

export function indexEntry(entry: unknown): unknown {
  if (isPlainObject(entry) && 'slice' in entry) {
    const [start, stop, step] = entry['slice'] as (number | null | undefined)[];
    return callIn('torch', 'slice', start ?? null, stop ?? null, step ?? null);
  }
  return entry;
}

op('index', 'obj key', (a) => entryOf(a.get('obj'), a.get('key')));
op('len', 'obj', (a) => lengthOf(a.get('obj')));

function lengthOf(target: unknown): unknown {
  if (isTensor(target)) {
    if (target.shape.length === 0) throw new Error('a tensor without dimensions has no length');
    return target.shape[0];
  }
  if (typeof target === 'string' || Array.isArray(target)) return target.length;
  if (isModule(target)) return Array.from(target as Iterable<unknown>).length;
  if (target instanceof Map || target instanceof Set) return target.size;
  if (typeof target === 'object' && target !== null && Symbol.iterator in target)
    return Array.from(target as Iterable<unknown>).length;
  return Object.keys(target as object).length;
}

op('to_dtype', 't name', (a) => method(a.get('t'), 'to', dtypeNamed(a.get('name'))));
op('leaf', 't', (a) => method(method(method(a.get('t'), 'detach'), 'clone'), 'requiresGrad_', true));
op('grad', 't', (a) => a.get<TensorLike>('t').grad);
op('backward', 't gradient', (a) => {
  if (a.has('gradient')) method(a.get('t'), 'backward', a.get('gradient'));
  else method(a.get('t'), 'backward');
});
op('no_grad_copy', 'dst src', (a) => noGrad(() => void method(a.get('dst'), 'copy_', a.get('src'))));
op('deepcopy', 'obj', (a) => deepCopy(a.get('obj')));

function deepCopy(value: unknown): unknown {
  const copy = lookUp('nn', 'deepCopy') ?? lookUp('nn', 'deepcopy') ?? lookUp('torch', 'deepCopy');
  if (isModule(value) && typeof copy === 'function') return copy(value);
  if (isModule(value)) return method(value, 'clone');
  if (isTensor(value)) {
    const made = method(method(value, 'detach'), 'clone');
    return value.requiresGrad ? method(made, 'requiresGrad_', true) : made;
  }
  if (Array.isArray(value)) return value.map(deepCopy);
  if (isPlainObject(value))
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, deepCopy(v)]));
  return value;
}

op('summary', 't', (a) => {
  const tensor = fullTensor(a.get('t'));
  const flat = method(method(method(tensor, 'detach'), 'to', dtypeNamed('float64')), 'reshape', [-1]);
  const values = method(flat, 'tolist') as number[];
  return {
    shape: [...tensor.shape],
    sum: toNumber(method(flat, 'sum')),
    abs: toNumber(method(method(flat, 'abs'), 'sum')),
    first: values.slice(0, 4),
    last: values.slice(-4),
  };
});
