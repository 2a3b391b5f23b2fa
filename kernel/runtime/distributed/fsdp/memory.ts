/** Memory that FSDP frees and takes again in every step: the whole parameters and the flat buffers. */
import { type DType, keepMemory, Storage, Tensor, takeMemory } from '../../tensor/index.js';

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
