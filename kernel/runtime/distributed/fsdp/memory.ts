/**
 * Memory that FSDP frees and takes again in every step: the whole parameters and the flat buffers. It is kept for the next
 * group instead of being left to the garbage collector, which would have to clear as many bytes anew each time.
 */
import { type DType, Storage, Tensor } from '../../tensor/index.js';

/** What is kept at most; beyond it memory is let go. */
const KEPT_BYTES_MAX = 512 * 1024 * 1024;

const kept = new Map<number, ArrayBuffer[]>();
let keptBytes = 0;

/** Memory of that size, with whatever was in it. */
export function takeMemory(bytes: number): ArrayBuffer {
  const buffer = kept.get(bytes)?.pop();
  if (buffer === undefined) return new ArrayBuffer(bytes);
  keptBytes -= bytes;
  return buffer;
}

export function keepMemory(buffer: ArrayBufferLike): void {
  const bytes = buffer.byteLength;
  if (bytes === 0 || !(buffer instanceof ArrayBuffer) || keptBytes + bytes > KEPT_BYTES_MAX) return;
  keptBytes += bytes;
  const same = kept.get(bytes);
  if (same) same.push(buffer);
  else kept.set(bytes, [buffer]);
}

/** A flat tensor over such memory, to be given back with `freeStorage`. */
export function takeTensor(numel: number, dtype: DType): Tensor {
  const storage = new Storage(takeMemory(numel * dtype.itemsize));
  return new Tensor({ storage, shape: [numel], dtype });
}

/** Fills a freed storage again. */
export function fillStorage(storage: Storage, bytes: number): void {
  if (storage.nbytes !== bytes) keepMemory(storage.exchange(takeMemory(bytes)));
}

/** Empties a storage; tensors over it have no data until it is filled again. */
export function freeStorage(storage: Storage): void {
  if (storage.nbytes > 0) keepMemory(storage.exchange(new ArrayBuffer(0)));
}
