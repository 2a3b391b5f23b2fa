/** ops_numerics: bit patterns and quantisation of low-precision floats. */
import { callIn, dtypeNamed, method, type TensorLike } from '../access.js';
import { makeTensor } from '../values.js';
import { op } from './registry.js';

const INTEGER_OF_SIZE: Readonly<Record<number, string>> = { 1: 'uint8', 2: 'int16', 4: 'int32' };

function elementSize(tensor: unknown): number {
  return Number(method(tensor, 'elementSize'));
}

op('lp.bits', 't', (a) => {
  const t = a.get<TensorLike>('t');
  const size = elementSize(t);
  const raw = method(method(t, 'contiguous'), 'view', dtypeNamed(INTEGER_OF_SIZE[size]!));
  return callIn('torch', 'bitwiseAnd', method(raw, 'to', dtypeNamed('int64')), 2 ** (8 * size) - 1);
});
op('lp.from_bits', 'bits dtype', (a) => {
  const dtype = dtypeNamed(a.get('dtype'));
  const size = elementSize(callIn('torch', 'empty', [0], { dtype }));
  const half = 2 ** (8 * size - 1);
  const values = a.get<number[]>('bits').map((b) => (b >= half && size > 1 ? b - 2 * half : b));
  return method(makeTensor(values, [values.length], INTEGER_OF_SIZE[size]!), 'view', dtype);
});
op('lp.accumulate', 'values dtype start', (a) => {
  const dtype = dtypeNamed(a.get('dtype'));
  const values = method(a.get('values'), 'to', dtype) as TensorLike;
  let sum: unknown = callIn('torch', 'tensor', a.number('start', 0), { dtype });
  for (let i = 0; i < (values.shape[0] ?? 0); i++) sum = method(sum, 'add', method(values, 'select', 0, i));
  return sum;
});
op('lp.quantize', 'x dtype dim block', (a) => {
  const name = a.get<string>('dtype');
  const top = { float8_e4m3fn: 448, float8_e5m2: 57344, int8: 127 }[name];
  if (top === undefined) throw new Error(`"${name}" is no dtype to quantise to`);
  let x = a.get<TensorLike>('x');
  const shape = [...x.shape];
  if (a.has('block')) {
    const block = a.number('block');
    x = method(x, 'reshape', [...shape.slice(0, -1), Math.floor(shape.at(-1)! / block), block]) as TensorLike;
  }
  const dim = a.has('block') ? -1 : a.has('dim') ? a.number('dim') : undefined;
  const abs = method(x, 'abs');
  const amax = dim === undefined ? method(abs, 'amax') : method(abs, 'amax', dim, { keepdim: true });
  const scale = callIn(
    'torch',
    'where',
    method(amax, 'eq', 0),
    callIn('torch', 'onesLike', amax),
    method(amax, 'div', top),
  );
  let q = method(x, 'div', scale);
  if (name === 'int8') q = method(method(q, 'round'), 'clamp', -127, 127);
  q = method(method(q, 'to', dtypeNamed(name)), 'to', dtypeNamed('float32'));
  const back = method(q, 'mul', scale);
  return { scale, q: method(q, 'reshape', shape), back: method(back, 'reshape', shape) };
});
