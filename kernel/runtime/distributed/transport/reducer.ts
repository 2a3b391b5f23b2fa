/**
 * Reductions of what lies in the arena, by WASM kernels that work on it directly. The order is that of the sources, and every
 * step is rounded to the dtype, so the bits are those of the plain loops in group/reduce-op.ts.
 */
import type { DTypeName } from '../../base/index.js';
import { reduceKernels } from './generated/reduce.js';

export type SharedKind = 'sum' | 'avg' | 'product' | 'min' | 'max' | 'band' | 'bor' | 'bxor' | 'premulSum';

type Binary = (op: number, out: number, a: number, b: number, n: number) => void;
type Divide = (out: number, n: number, divisor: number) => void;
type Kernels = Record<string, Binary & Divide>;

const NUMERIC: Partial<Record<SharedKind, number>> = { sum: 0, avg: 0, product: 1, min: 2, max: 3 };
const BITWISE: Partial<Record<SharedKind, number>> = { band: 0, bor: 1, bxor: 2 };
/** A bool is a byte of 0 or 1. */
const BOOL: Partial<Record<SharedKind, SharedKind>> = {
  sum: 'bor',
  max: 'bor',
  product: 'band',
  min: 'band',
};
const DIVIDE: Partial<Record<DTypeName, string>> = {
  float32: 'divide32',
  float64: 'divide64',
  bfloat16: 'divideBfloat16',
  float16: 'divideFloat16',
};
const ITEM: Partial<Record<DTypeName, number>> = {
  float64: 8,
  int64: 8,
  float32: 4,
  int32: 4,
  bfloat16: 2,
  float16: 2,
  int16: 2,
  int8: 1,
  uint8: 1,
};
/** All sources of a block are added while it is in the cache nearest to the core. */
const BLOCK_BYTES = 8 * 1024;

const instances = new WeakMap<WebAssembly.Memory, Kernels>();

/** False, with nothing done, where there is no kernel. */
export function reduceInto(
  memory: WebAssembly.Memory,
  out: Uint8Array,
  sources: readonly Uint8Array[],
  dtype: DTypeName,
  given: SharedKind,
): boolean {
  const kind = dtype === 'bool' ? (BOOL[given] ?? given) : given;
  const bitwise = BITWISE[kind];
  const code = bitwise ?? NUMERIC[kind];
  const item = bitwise === undefined ? ITEM[dtype] : 1;
  if (code === undefined || item === undefined) return false;
  if (kind === 'avg' && DIVIDE[dtype] === undefined) return false;
  if (sources.length === 1) {
    out.set(sources[0]!);
    return true;
  }
  const kernels = kernelsOf(memory);
  const combine: Binary = kernels[bitwise === undefined ? dtype : 'bits']!;
  const [first, second] = [sources[0]!.byteOffset, sources[1]!.byteOffset];
  for (let at = 0; at < out.length; at += BLOCK_BYTES) {
    const n = Math.min(BLOCK_BYTES, out.length - at) / item;
    const to = out.byteOffset + at;
    combine(code, to, first + at, second + at, n);
    for (let k = 2; k < sources.length; k++) combine(code, to, to, sources[k]!.byteOffset + at, n);
    if (kind === 'avg') kernels[DIVIDE[dtype]!]!(to, n, sources.length);
  }
  return true;
}

function kernelsOf(memory: WebAssembly.Memory): Kernels {
  let kernels = instances.get(memory);
  if (kernels === undefined) {
    const text = atob(reduceKernels);
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
    kernels = instance.exports as unknown as Kernels;
    instances.set(memory, kernels);
  }
  return kernels;
}
