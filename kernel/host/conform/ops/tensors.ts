/** ops_numerics: numbers, indexing, layout, scopes. */
import { callIn, dtypeName, dtypeNamed, member, method, type TensorLike } from '../access.js';
import { resolve } from '../resolve.js';
import { makeTensor, numberIn } from '../values.js';
import { fill, indexEntry, indexTensor } from './core.js';
import { op, rawOp } from './registry.js';

op('nm.float', 's', (a) => numberIn(a.get('s')));
op('nm.index', 'x key', (a) => indexTensor(a.get('x'), a.get('key')));
op('nm.index_put', 'x key value', (a) => {
  const [x, key] = [a.get<TensorLike>('x'), a.get<unknown[]>('key')];
  method(x, 'set', key.map(indexEntry), a.get('value'));
  return x;
});

op('nm.layout', 'x', (a) => {
  const x = a.get<TensorLike>('x');
  const strides = readStrides(x);
  const empty = x.shape.includes(0);
  return {
    shape: [...x.shape],
    stride: x.shape.map((size, dim) => (size === 1 || empty ? null : strides[dim])),
    offset: read(x, 'storageOffset'),
    contiguous: read(x, 'isContiguous'),
  };
});

/** A property, or what a method without arguments returns. */
function read(target: unknown, name: string): unknown {
  const value = member(target, name);
  return typeof value === 'function' ? value.call(target) : value;
}

function readStrides(x: TensorLike): readonly number[] {
  return (member(x, 'strides') ?? read(x, 'stride')) as readonly number[];
}

/** Storages without bytes all have the address null. */
op('nm.shares_storage', 'a b', (a) => {
  const [x, y] = [storageOf(a.get('a')), storageOf(a.get('b'))];
  return x === y || (member(x, 'nbytes') === 0 && member(y, 'nbytes') === 0);
});

function storageOf(x: unknown): unknown {
  return member(x, 'storage') === undefined ? read(x, 'untypedStorage') : read(x, 'storage');
}

op('nm.same', 'a b', (a) => a.get('a') === a.get('b'));
op('nm.info', 'x', (a) => {
  const x = a.get<TensorLike>('x');
  return {
    dtype: dtypeName(x.dtype),
    shape: [...x.shape],
    requires_grad: x.requiresGrad,
    is_leaf: read(x, 'isLeaf'),
  };
});
op('nm.fill_like', 'x seed scale', (a) => {
  const x = a.get<TensorLike>('x');
  return method(fill(x.shape, a.number('seed'), a.number('scale', 1)), 'to', x.dtype);
});

op('nm.finfo', 'name', (a) => {
  const dtype = dtypeNamed(a.get('name'));
  if (!dtypeName(dtype).includes('float')) {
    const info = callIn('torch', 'iinfo', dtype);
    return { bits: member(info, 'bits'), max: String(member(info, 'max')), min: String(member(info, 'min')) };
  }
  const info = callIn('torch', 'finfo', dtype);
  const value = (name: string) => makeTensor([Number(member(info, name))], [], 'float64');
  return {
    bits: member(info, 'bits'),
    max: value('max'),
    min: value('min'),
    eps: value('eps'),
    tiny: value('tiny'),
    smallest_subnormal: value('smallestSubnormal'),
  };
});

type ScopeSpec = string | { autocast: string };

/** Runs `body` inside the scopes, the first outermost. */
function inScopes(scopes: readonly ScopeSpec[], body: () => unknown): unknown {
  const [first, ...rest] = scopes;
  if (first === undefined) return body();
  const inner = () => inScopes(rest, body);
  if (typeof first !== 'string')
    return callIn('torch', 'autocast', 'cpu', { dtype: dtypeNamed(first.autocast) }, inner);
  switch (first) {
    case 'no_grad':
      return callIn('torch', 'noGrad', inner);
    case 'enable_grad':
      return callIn('torch', 'enableGrad', inner);
    case 'inference_mode':
      return callIn('torch', 'inferenceMode', inner);
    case 'fork_rng':
      return callIn('torch', 'forkRng', inner);
    case 'no_autocast':
      return callIn('torch', 'autocast', 'cpu', { enabled: false }, inner);
    default:
      throw new Error(`"${first}" is no scope`);
  }
}

rawOp('nm.scope', (machine, [scope, name, ...args], kwargs) => {
  const scopes = (Array.isArray(scope) ? scope : [scope]) as ScopeSpec[];
  return inScopes(scopes, () => resolve(String(name))(machine, args, kwargs));
});
