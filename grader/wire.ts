/**
 * What the grader and a rank process say to each other, over two pipes. A frame is two lengths (u32 little-endian), a JSON
 * header and raw bytes. This file is the whole of what a rank process knows of the grader: no expectation, no seed, no
 * check is reachable from it.
 */
export type WireDType = 'float32' | 'float64' | 'int64';

export interface WireTensor {
  readonly dtype: WireDType;
  readonly shape: readonly number[];
}

/** From the grader to a rank. */
export type Request =
  | { type: 'load'; url: string; export: string }
  /** Run the exported function on the tensors in the body; `run` comes back in every answer. */
  | { type: 'run'; run: number; rank: number; worldSize: number; inputs: WireTensor[] }
  /** Operation `handle` is complete; the body holds the bytes of a received tensor. */
  | { type: 'complete'; run: number; handle: number; error?: string; help?: string };

/** From a rank to the grader. */
export type Answer =
  | { type: 'ready' }
  | { type: 'loaded' }
  | { type: 'load-failed'; failure: Failure }
  | { type: 'send'; run: number; handle: number; peer: number; tensor: WireTensor }
  | { type: 'recv'; run: number; handle: number; peer: number; tensor: WireTensor }
  /** The rank does nothing more before `handle` is complete. */
  | { type: 'wait'; run: number; handle: number }
  /** Body: the outputs' bytes, then the inputs' bytes as they are after the call. */
  | { type: 'returned'; run: number; outputs: WireTensor[]; inputs: WireTensor[]; aliased: boolean }
  /** The function returned, but not tensors. */
  | { type: 'returned-other'; run: number; what: string }
  | { type: 'threw'; run: number; failure: Failure }
  | { type: 'never-settled'; run: number };

export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
}

export interface Frame<T> {
  readonly header: T;
  readonly body: Uint8Array;
}

export const ITEM_BYTES: Record<WireDType, number> = { float32: 4, float64: 8, int64: 8 };
export const PREFIX_BYTES = 8;
const LARGEST_HEADER = 1 << 16;
const LARGEST_BODY = 1 << 26;

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

export function byteCount(tensor: WireTensor): number {
  return elementCount(tensor.shape) * ITEM_BYTES[tensor.dtype];
}

/** `f32[3, 4]`, as tensors are written in messages. */
export function describeTensor({ dtype, shape }: WireTensor): string {
  return `${dtype.replace('float', 'f').replace('int', 'i')}[${shape.join(', ')}]`;
}

export function encodeFrame(header: Request | Answer, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const frame = new Uint8Array(PREFIX_BYTES + text.length + body.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, text.length, true);
  view.setUint32(4, body.length, true);
  frame.set(text, PREFIX_BYTES);
  frame.set(body, PREFIX_BYTES + text.length);
  return frame;
}

/** Lengths of the two parts; throws when they are beyond what either side may say. */
export function frameLengths(prefix: Uint8Array): { header: number; body: number } {
  const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES);
  const header = view.getUint32(0, true);
  const body = view.getUint32(4, true);
  if (header === 0 || header > LARGEST_HEADER || body > LARGEST_BODY) {
    throw new Error(`a frame of ${header} + ${body} bytes`);
  }
  return { header, body };
}

export function decodeHeader<T>(bytes: Uint8Array): T {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as T;
}

/** Collects chunks of a stream and hands out whole frames. */
export class FrameReader<T> {
  private pending = new Uint8Array(0);

  push(chunk: Uint8Array): Frame<T>[] {
    const joined = new Uint8Array(this.pending.length + chunk.length);
    joined.set(this.pending);
    joined.set(chunk, this.pending.length);
    const frames: Frame<T>[] = [];
    let offset = 0;
    while (joined.length - offset >= PREFIX_BYTES) {
      const { header, body } = frameLengths(joined.subarray(offset));
      const start = offset + PREFIX_BYTES;
      const end = start + header + body;
      if (joined.length < end) break;
      frames.push({
        header: decodeHeader<T>(joined.subarray(start, start + header)),
        body: joined.slice(start + header, end),
      });
      offset = end;
    }
    this.pending = joined.slice(offset);
    return frames;
  }
}
