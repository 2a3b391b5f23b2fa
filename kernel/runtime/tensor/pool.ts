/**
 * Memory that is known to be free before the garbage collector finds out: it is kept for the next tensor of that size. New memory
 * costs page faults and clearing, and much of it makes the collector run again and again.
 */

/** What is kept at most; beyond it memory is let go. */
const KEPT_BYTES_MAX = 512 * 1024 * 1024;
/** Smaller memory is not worth looking up. */
const POOLED_MIN = 1 << 16;

const kept = new Map<number, ArrayBuffer[]>();
let keptBytes = 0;

let fresh = (bytes: number): ArrayBuffer => new ArrayBuffer(bytes);

/** How memory is made that need not be cleared; set by the platform. */
export function useRawMemory(make: (bytes: number) => ArrayBuffer): void {
  fresh = make;
}

/** Memory of that size, with whatever is in it. */
export function takeMemory(bytes: number): ArrayBuffer {
  if (bytes < POOLED_MIN) return new ArrayBuffer(bytes);
  return reuse(bytes) ?? fresh(bytes);
}

/** Memory of zeros. */
export function takeZeros(bytes: number): ArrayBuffer {
  const buffer = bytes < POOLED_MIN ? undefined : reuse(bytes);
  if (buffer === undefined) return new ArrayBuffer(bytes);
  new Float64Array(buffer, 0, bytes >> 3).fill(0);
  if (bytes % 8 !== 0) new Uint8Array(buffer, bytes & ~7).fill(0);
  return buffer;
}

/** Nobody looks at this memory any more. */
export function keepMemory(buffer: ArrayBufferLike): void {
  const bytes = buffer.byteLength;
  if (bytes < POOLED_MIN || !(buffer instanceof ArrayBuffer) || keptBytes + bytes > KEPT_BYTES_MAX) return;
  keptBytes += bytes;
  const same = kept.get(bytes);
  if (same) same.push(buffer);
  else kept.set(bytes, [buffer]);
}

function reuse(bytes: number): ArrayBuffer | undefined {
  const buffer = kept.get(bytes)?.pop();
  if (buffer !== undefined) keptBytes -= bytes;
  return buffer;
}
