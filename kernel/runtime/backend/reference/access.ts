/**
 * Moving operands between storage and the four arrays computations run in: float32 (also for the small floats), float64,
 * int32 (also for the small integers and bool) and int64. Contiguous operands of those dtypes are used in place.
 */
import {
  type DTypeName,
  decodeTable,
  encoder,
  isFloat,
  isSmallFloat,
  numelOf,
  type TypedArray,
  toInt64,
} from '../../base/index.js';
import type { Nd } from '../backend.js';

export type Floats = Float32Array | Float64Array;
export type Numbers = Floats | Int32Array;
export type Compute = Numbers | BigInt64Array;

export function isContiguous(x: Nd): boolean {
  let expected = 1;
  for (let d = x.shape.length - 1; d >= 0; d--) {
    const n = x.shape[d]!;
    if (n === 0) return true;
    if (n !== 1 && x.strides[d] !== expected) return false;
    expected *= n;
  }
  return true;
}

/** Calls `row(position, offset)` for every innermost row: its flat position and its offset in storage. */
function forRows(x: Nd, row: (position: number, offset: number) => void): { length: number; stride: number } {
  const rank = x.shape.length;
  if (rank === 0) {
    row(0, x.offset);
    return { length: 1, stride: 1 };
  }
  const length = x.shape[rank - 1]!;
  const stride = x.strides[rank - 1]!;
  const total = numelOf(x.shape);
  if (total === 0) return { length, stride };
  const index = new Array<number>(rank - 1).fill(0);
  let offset = x.offset;
  for (let position = 0; position < total; position += length) {
    row(position, offset);
    for (let d = rank - 2; d >= 0; d--) {
      offset += x.strides[d]!;
      if (++index[d]! < x.shape[d]!) break;
      offset -= x.strides[d]! * x.shape[d]!;
      index[d] = 0;
    }
  }
  return { length, stride };
}

/** Storage offset of every element in order. */
export function offsetsOf(x: Nd): Int32Array {
  const out = new Int32Array(numelOf(x.shape));
  const rank = x.shape.length;
  const length = rank === 0 ? 1 : x.shape[rank - 1]!;
  const stride = rank === 0 ? 1 : x.strides[rank - 1]!;
  forRows(x, (position, offset) => {
    for (let i = 0; i < length; i++) out[position + i] = offset + i * stride;
  });
  return out;
}

/** Contiguous rows at least this long are copied as blocks; of float32 they must be longer, because its loop is compiled well. */
const BLOCK_MIN = 24;
const BLOCK_MIN_F32 = 192;

/**
 * Short rows of float32, as attention has when it takes heads apart. A loop of its own: it sees one kind of array only, and a block
 * copy costs two objects and two calls.
 */
function copyShortRows(x: Nd, data: Float32Array, out: Float32Array, length: number): void {
  const rank = x.shape.length;
  const index = new Int32Array(rank);
  let from = x.offset;
  for (let to = 0; to < out.length; ) {
    for (let i = 0; i < length; i++) out[to + i] = data[from + i]!;
    to += length;
    for (let d = rank - 2; d >= 0; d--) {
      const stride = x.strides[d]!;
      const size = x.shape[d]!;
      from += stride;
      if (++index[d]! < size) break;
      from -= stride * size;
      index[d] = 0;
    }
  }
}

/** The elements of x in order; `out` has room for them and no more. */
function copyRows<T extends TypedArray>(x: Nd, data: T, out: T): void {
  const rank = x.shape.length;
  const length = rank === 0 ? 1 : x.shape[rank - 1]!;
  const stride = rank === 0 ? 1 : x.strides[rank - 1]!;
  if (stride === 1 && length > 1 && length < BLOCK_MIN_F32) {
    if (data instanceof Float32Array && out instanceof Float32Array) {
      copyShortRows(x, data, out, length);
      return;
    }
  }
  if (stride === 1 && length >= BLOCK_MIN) {
    const to = out as Float32Array;
    const from = data as Float32Array;
    forRows(x, (position, offset) => to.set(from.subarray(offset, offset + length), position));
    return;
  }
  forRows(x, (position, offset) => {
    for (let i = 0, o = offset; i < length; i++, o += stride) out[position + i] = data[o]!;
  });
}

/** The elements in order, raw storage bits; the storage itself where it is contiguous. */
export function raw(x: Nd): TypedArray {
  const n = numelOf(x.shape);
  if (isContiguous(x)) return x.data.subarray(x.offset, x.offset + n);
  const out = new (x.data.constructor as new (n: number) => TypedArray)(n);
  copyRows(x, x.data, out);
  return out;
}

function writeRaw(values: TypedArray, out: Nd): void {
  const n = numelOf(out.shape);
  if (n === 0) return;
  if (isContiguous(out)) {
    (out.data as Float32Array).set(values as Float32Array, out.offset);
    return;
  }
  const rank = out.shape.length;
  const length = rank === 0 ? 1 : out.shape[rank - 1]!;
  const stride = rank === 0 ? 1 : out.strides[rank - 1]!;
  const data = out.data as Float32Array;
  const from = values as Float32Array;
  if (stride === 1 && length >= BLOCK_MIN) {
    forRows(out, (position, offset) => data.set(from.subarray(position, position + length), offset));
    return;
  }
  forRows(out, (position, offset) => {
    for (let i = 0, o = offset; i < length; i++, o += stride) data[o] = from[position + i]!;
  });
}

export function floats(x: Nd): Floats {
  const values = raw(x);
  if (values instanceof Float32Array || values instanceof Float64Array) return values;
  if (isSmallFloat(x.dtype)) {
    const table = decodeTable(x.dtype);
    const out = new Float32Array(values.length);
    for (let i = 0; i < out.length; i++) out[i] = table[values[i] as number]!;
    return out;
  }
  const out = new Float64Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = Number(values[i]);
  return out;
}

export function doubles(x: Nd): Float64Array {
  const f = floats(x);
  return f instanceof Float64Array ? f : Float64Array.from(f);
}

export function ints(x: Nd): Int32Array {
  const values = raw(x);
  if (values instanceof Int32Array) return values;
  const out = new Int32Array(values.length);
  if (values instanceof BigInt64Array) for (let i = 0; i < out.length; i++) out[i] = Number(values[i]);
  else out.set(values as Int8Array);
  return out;
}

/** Indices as numbers, whatever integer dtype they have. */
export function indices(x: Nd): Int32Array {
  return ints(x);
}

export function bigs(x: Nd): BigInt64Array {
  const values = raw(x);
  if (values instanceof BigInt64Array) return values;
  const out = new BigInt64Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = BigInt(values[i] as number);
  return out;
}

export type Kind = 'f32' | 'f64' | 'i32' | 'i64';

export function kindOf(dtype: DTypeName): Kind {
  if (dtype === 'float64') return 'f64';
  if (isFloat(dtype)) return 'f32';
  return dtype === 'int64' ? 'i64' : 'i32';
}

export function load(x: Nd): Compute {
  const kind = kindOf(x.dtype);
  if (kind === 'i64') return bigs(x);
  if (kind === 'i32') return ints(x);
  return floats(x);
}

export function scratch(kind: Kind, n: number): Compute {
  if (kind === 'f32') return new Float32Array(n);
  if (kind === 'f64') return new Float64Array(n);
  if (kind === 'i64') return new BigInt64Array(n);
  return new Int32Array(n);
}

/** Where results for `out` are written: its storage when that has the computing dtype, else an array that `store` converts. */
export function target(out: Nd): Compute {
  const n = numelOf(out.shape);
  const d = out.dtype;
  if ((d === 'float32' || d === 'float64' || d === 'int32' || d === 'int64') && isContiguous(out)) {
    return out.data.subarray(out.offset, out.offset + n) as Compute;
  }
  return scratch(kindOf(d), n);
}

/** Writes results into `out`, converting; nothing to do when they were computed in place. */
export function store(values: Compute | Uint8Array, out: Nd): void {
  if (
    values.buffer === out.data.buffer &&
    values.byteOffset === out.data.byteOffset + out.offset * out.data.BYTES_PER_ELEMENT &&
    isContiguous(out)
  ) {
    return;
  }
  writeRaw(encode(values, out.dtype), out);
}

/** Values in the storage representation of `dtype`. */
export function encode(values: Compute | Uint8Array, dtype: DTypeName): TypedArray {
  const n = values.length;
  if (isSmallFloat(dtype)) {
    const enc = encoder(dtype);
    const out = dtype === 'float16' || dtype === 'bfloat16' ? new Uint16Array(n) : new Uint8Array(n);
    if (values instanceof BigInt64Array) for (let i = 0; i < n; i++) out[i] = enc(Number(values[i]));
    else for (let i = 0; i < n; i++) out[i] = enc(values[i]!);
    return out;
  }
  switch (dtype) {
    case 'float64':
      return values instanceof Float64Array ? values : widen(values, new Float64Array(n));
    case 'float32':
      return values instanceof Float32Array ? values : widen(values, new Float32Array(n));
    case 'int64': {
      if (values instanceof BigInt64Array) return values;
      const out = new BigInt64Array(n);
      for (let i = 0; i < n; i++) out[i] = toInt64(values[i]!);
      return out;
    }
    case 'bool': {
      const out = new Uint8Array(n);
      if (values instanceof BigInt64Array) for (let i = 0; i < n; i++) out[i] = values[i] === 0n ? 0 : 1;
      else for (let i = 0; i < n; i++) out[i] = values[i] === 0 ? 0 : 1;
      return out;
    }
    default: {
      const out =
        dtype === 'int32'
          ? new Int32Array(n)
          : dtype === 'int16'
            ? new Int16Array(n)
            : dtype === 'int8'
              ? new Int8Array(n)
              : new Uint8Array(n);
      if (values instanceof BigInt64Array) {
        for (let i = 0; i < n; i++) out[i] = Number(BigInt.asIntN(32, values[i]!));
      } else if (dtype === 'int32' && !(values instanceof Int32Array)) {
        for (let i = 0; i < n; i++) {
          const v = Math.trunc(values[i]!);
          out[i] = v >= -2147483648 && v <= 2147483647 ? v : -2147483648;
        }
      } else {
        // Beyond int32 the conversion gives its lowest value, whose low bits are 0.
        const bounded = values instanceof Int32Array || values instanceof Uint8Array;
        for (let i = 0; i < n; i++) {
          const v = values[i]!;
          out[i] = bounded || (v > -2147483649 && v < 2147483648) ? v : 0;
        }
      }
      return out;
    }
  }
}

function widen<T extends Floats>(values: Compute | Uint8Array, out: T): T {
  if (values instanceof BigInt64Array) for (let i = 0; i < out.length; i++) out[i] = Number(values[i]);
  else out.set(values);
  return out;
}

/** out = x with a cast. */
export function copy(x: Nd, out: Nd): void {
  if (x.dtype === out.dtype) {
    if (x.data.buffer !== out.data.buffer && !isContiguous(x) && isContiguous(out)) {
      const n = numelOf(out.shape);
      if (n > 0)
        copyRows(x, x.data as Float32Array, out.data.subarray(out.offset, out.offset + n) as Float32Array);
      return;
    }
    // A copy between overlapping parts of one storage goes through a snapshot.
    const values = raw(x);
    writeRaw(x.data.buffer === out.data.buffer && !isContiguous(out) ? values.slice() : values, out);
    return;
  }
  store(load(x), out);
}

export function fill(value: number | bigint, out: Nd): void {
  const one = scratch(typeof value === 'bigint' ? 'i64' : 'f64', 1);
  one[0] = value;
  const bits = encode(one, out.dtype)[0] as number;
  const data = out.data as Float32Array;
  if (isContiguous(out)) {
    data.fill(bits, out.offset, out.offset + numelOf(out.shape));
    return;
  }
  const offsets = offsetsOf(out);
  for (let i = 0; i < offsets.length; i++) data[offsets[i]!] = bits;
}

/** x seen with dim moved last: [outer, n] rows in a contiguous copy (or the storage itself when already so). */
export function rowsAlong(x: Nd, dim: number): Nd {
  const order = x.shape.map((_, d) => d).filter((d) => d !== dim);
  order.push(dim);
  return { ...x, shape: order.map((d) => x.shape[d]!), strides: order.map((d) => x.strides[d]!) };
}
