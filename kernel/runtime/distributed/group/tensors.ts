/** Tensors as bytes. What the group needs of a tensor is little, so it asks for no more. */
import { type DTypeName, ShardbookError } from '../../base/index.js';

/** The part of `Tensor` that moves. */
export interface CommTensor {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly storageOffset: number;
  readonly dtype: { readonly name: DTypeName; readonly short: string; readonly itemsize: number };
  readonly isMeta: boolean;
  readonly storage: { readonly buffer: ArrayBufferLike };
  readonly versionCounter: { value: number };
  numel(): number;
  isContiguous(): boolean;
}

/** `f32[3, 4]`, as errors write tensors. */
export function describeTensor(t: CommTensor): string {
  return `${t.dtype.short}[${t.shape.join(', ')}]`;
}

export function checkTensor(t: unknown, op: string): asserts t is CommTensor {
  const tensor = t as Partial<CommTensor> | null;
  if (
    typeof tensor !== 'object' ||
    tensor === null ||
    !Array.isArray(tensor.shape) ||
    tensor.dtype === undefined
  ) {
    throw new ShardbookError({
      code: 'SB_NOT_A_TENSOR',
      message: `Cannot run "${op}": wanted a tensor, got ${t === null ? 'null' : typeof t}`,
    });
  }
  if (tensor.isMeta) {
    throw new ShardbookError({
      code: 'SB_META_TENSOR',
      message: `Cannot run "${op}" on ${describeTensor(t as CommTensor)}: it is on the meta device and has no data`,
      help: 'give the tensor memory first, for example with toEmpty',
    });
  }
}

export function byteLength(t: CommTensor): number {
  return t.numel() * t.dtype.itemsize;
}

/** The tensor's elements in row-major order: its own memory if contiguous, otherwise a copy. */
export function readBytes(t: CommTensor): Uint8Array {
  if (t.isContiguous()) return ownBytes(t);
  const packed = new Uint8Array(byteLength(t));
  copyStrided(t, packed, 'pack');
  return packed;
}

export interface Destination {
  bytes: Uint8Array;
  /** To be called when the bytes have arrived. */
  commit(): void;
}

/** Memory to write the tensor's new elements to, in row-major order. `load`: it starts with the old ones. */
export function destination(t: CommTensor, load = false): Destination {
  const written = () => {
    t.versionCounter.value++;
  };
  if (t.isContiguous()) return { bytes: ownBytes(t), commit: written };
  const bytes = load ? readBytes(t) : new Uint8Array(byteLength(t));
  return {
    bytes,
    commit() {
      copyStrided(t, bytes, 'unpack');
      written();
    },
  };
}

function ownBytes(t: CommTensor): Uint8Array {
  const length = byteLength(t);
  // An empty view may begin behind the end of its storage.
  return length === 0
    ? new Uint8Array(0)
    : new Uint8Array(t.storage.buffer, t.storageOffset * t.dtype.itemsize, length);
}

/** Elements as units of their size: their meaning does not matter for moving them. */
function units(buffer: ArrayBufferLike, itemsize: number): Uint8Array | Uint16Array | Uint32Array {
  const n = Math.floor(buffer.byteLength / itemsize);
  if (itemsize === 4) return new Uint32Array(buffer, 0, n);
  return itemsize === 2 ? new Uint16Array(buffer, 0, n) : new Uint8Array(buffer, 0, n);
}

function copyStrided(t: CommTensor, packed: Uint8Array, direction: 'pack' | 'unpack'): void {
  const { itemsize } = t.dtype;
  if (itemsize === 8) {
    // A float64 copy would change the bits of signalling NaNs that an int64 may look like.
    copyUnits(t, asBig(t.storage.buffer), asBig(packed.buffer), direction);
  } else {
    copyUnits(
      t,
      units(t.storage.buffer, itemsize) as Uint8Array,
      units(packed.buffer, itemsize) as Uint8Array,
      direction,
    );
  }
}

function asBig(buffer: ArrayBufferLike): BigInt64Array {
  return new BigInt64Array(buffer, 0, Math.floor(buffer.byteLength / 8));
}

function copyUnits<T extends Uint8Array | BigInt64Array>(
  t: CommTensor,
  own: T,
  packed: T,
  direction: 'pack' | 'unpack',
): void {
  const { shape, strides } = t;
  const index = shape.map(() => 0);
  const n = t.numel();
  let at = t.storageOffset;
  for (let i = 0; i < n; i++) {
    if (direction === 'pack') packed[i] = own[at]!;
    else own[at] = packed[i]!;
    for (let d = shape.length - 1; d >= 0; d--) {
      index[d]!++;
      at += strides[d]!;
      if (index[d]! < shape[d]!) break;
      at -= strides[d]! * shape[d]!;
      index[d] = 0;
    }
  }
}
