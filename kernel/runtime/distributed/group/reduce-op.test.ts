import { expect, test } from 'vitest';
import { type DTypeName, decodeTable, isFloat, isSmallFloat, itemSizes } from '../../base/index.js';
import { reduceInto } from '../transport/index.js';
import { ReduceOp, reduceBytes } from './reduce-op.js';

const PAGE = 65_536;
const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
const at = (page: number, bytes: number) => new Uint8Array(memory.buffer, page * PAGE, bytes);

/** All bit patterns are likely, and the special ones certain. */
function fill(bytes: Uint8Array, dtype: DTypeName, seed: number): void {
  let state = seed;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = dtype === 'bool' ? (state >>> 24) & 1 : state >>> 24;
  }
}

const ops = { ...ReduceOp } as Record<string, unknown>;
const dtypes: DTypeName[] = [
  ...([
    'float32',
    'float64',
    'bfloat16',
    'float16',
    'int64',
    'int32',
    'int16',
    'int8',
    'uint8',
    'bool',
  ] as const),
];
const cases = dtypes.flatMap((dtype) =>
  (['SUM', 'AVG', 'PRODUCT', 'MIN', 'MAX', 'BAND', 'BOR', 'BXOR'] as const)
    .filter((op) => (isFloat(dtype) ? !op.startsWith('B') : op !== 'AVG'))
    .map((op) => [dtype, op] as const),
);

test.each(cases)('reduceInto() of %s with %s gives the bits of the plain loops', (dtype, name) => {
  const op = ops[name] as ReduceOp;
  for (const elements of [1, 3, 7, 5000]) {
    const bytes = elements * itemSizes[dtype];
    const sources = [1, 2, 3].map((page) => at(page, bytes));
    sources.forEach((s, i) => void fill(s, dtype, 17 * elements + i));
    const expected = new Uint8Array(bytes);
    reduceBytes(
      expected,
      sources.map((s) => s.slice()),
      dtype,
      op,
    );
    const out = at(0, bytes);
    expect(reduceInto(memory, out, sources, dtype, op.kind)).toBe(true);
    const [got, wanted] = [out.slice(), expected].map((b) => withoutNan(b, dtype));
    expect(got).toEqual(wanted);
  }
});

/** Which bits a nan has is nobody's promise. */
function withoutNan(bytes: Uint8Array, dtype: DTypeName): unknown {
  if (dtype === 'float32') return [...new Float32Array(bytes.buffer)];
  if (dtype === 'float64') return [...new Float64Array(bytes.buffer)];
  if (!isSmallFloat(dtype)) return bytes;
  const decode = decodeTable(dtype);
  return [...new Uint16Array(bytes.buffer)].map((b) => (Number.isNaN(decode[b]) ? 'nan' : b));
}
