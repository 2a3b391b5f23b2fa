/**
 * Tensors to bytes and back, in row-major order. Done on the memory itself, not with tensor operations: what a submission
 * changes about those does not change what is read here.
 */
import type { WireDType, WireTensor } from '../../../../grader/wire.js';
import { ShardbookError, Tensor, torch } from '../../../runtime/index.js';

const DTYPES: readonly string[] = [
  'float32',
  'float64',
  'float16',
  'bfloat16',
  'int64',
  'int32',
  'uint8',
  'bool',
] satisfies WireDType[];

export function isTensor(value: unknown): value is Tensor {
  return value instanceof Tensor;
}

export function tensorHeader(tensor: Tensor): WireTensor {
  const dtype = tensor.dtype.name;
  if (!DTYPES.includes(dtype)) {
    throw new ShardbookError({
      code: 'SB_GRADER_DTYPE',
      message: `Cannot hand over ${tensor.describe()}: wanted one of ${DTYPES.join(', ')}`,
    });
  }
  return { dtype: dtype as WireDType, shape: [...tensor.shape] };
}

export function makeTensor(header: WireTensor, bytes: Uint8Array): Tensor {
  const options = { dtype: torch[header.dtype] };
  const { shape } = header;
  // The last axis outermost and a gap behind each element: no two axes can be joined without a copy.
  const tensor = header.strided
    ? torch
        .empty([...shape].reverse().concat(2), options)
        .select(-1, 0)
        .permute([...shape.keys()].reverse())
    : torch.empty([...shape], options);
  writeTensor(tensor, bytes);
  return tensor;
}

/** The bytes of a tensor, in its own memory where they lie there one after the other: to be read, not to be kept. */
export function tensorBytes(tensor: Tensor): Uint8Array {
  const item = tensor.dtype.itemsize;
  const memory = new Uint8Array(tensor.storage.buffer);
  if (isDense(tensor))
    return memory.subarray(tensor.storageOffset * item, (tensor.storageOffset + tensor.numel()) * item);
  const bytes = new Uint8Array(tensor.numel() * item);
  forEachElement(tensor, (index, place) => {
    bytes.set(memory.subarray(place * item, (place + 1) * item), index * item);
  });
  return bytes;
}

/** Fills `tensor` with `bytes`; there must be as many as it has. */
export function writeTensor(tensor: Tensor, bytes: Uint8Array): void {
  const item = tensor.dtype.itemsize;
  const memory = new Uint8Array(tensor.storage.buffer);
  // An empty view may begin behind the end of its memory.
  if (tensor.numel() === 0) return;
  if (isDense(tensor)) memory.set(bytes.subarray(0, tensor.numel() * item), tensor.storageOffset * item);
  else
    forEachElement(tensor, (index, place) => {
      memory.set(bytes.subarray(index * item, (index + 1) * item), place * item);
    });
  tensor.versionCounter.value++;
}

/** Turns every bit of `tensor`. */
export function overwriteTensor(tensor: Tensor): void {
  writeTensor(
    tensor,
    tensorBytes(tensor).map((byte) => ~byte),
  );
}

function isDense({ shape, strides }: Tensor): boolean {
  let step = 1;
  for (let dim = shape.length - 1; dim >= 0; dim--) {
    if (shape[dim] !== 1 && strides[dim] !== step) return false;
    step *= shape[dim]!;
  }
  return true;
}

/** Calls `visit` with each element's number in row-major order and its place in the storage, in elements. */
function forEachElement(tensor: Tensor, visit: (index: number, place: number) => void): void {
  const { shape, strides } = tensor;
  const at = shape.map(() => 0);
  let place = tensor.storageOffset;
  const count = tensor.numel();
  for (let index = 0; index < count; index++) {
    visit(index, place);
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      place += strides[dim]!;
      if (++at[dim]! < shape[dim]!) break;
      place -= at[dim]! * strides[dim]!;
      at[dim] = 0;
    }
  }
}
