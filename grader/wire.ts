/**
 * What the grader and a rank process say to each other, over two pipes. A frame is two lengths (u32 little-endian), a JSON
 * header and raw bytes. This file is the whole of what a rank process knows of the grader: no expectation, no seed, no
 * check is reachable from it.
 */
export type WireDType = 'float32' | 'float64' | 'float16' | 'bfloat16' | 'int64' | 'int32' | 'uint8' | 'bool';

export interface WireTensor {
  readonly dtype: WireDType;
  readonly shape: readonly number[];
  /** To a rank only: its elements do not lie one after the other there, as in a view. */
  readonly strided?: boolean;
}

/** A value in a header; tensors stand in the body and here by their number. */
export type WireValue =
  | null
  | boolean
  | number
  | string
  | { undefined: true }
  /** NaN, Infinity, -Infinity, -0. */
  | { number: string }
  | { tensor: number }
  | { list: WireValue[] }
  | { entries: [string, WireValue][] }
  /** What cannot be handed over, in words: "a function". */
  | { other: string };

/** How a call reaches other ranks: over `comm`, over `dist`, or not at all. */
export type CommKind = 'links' | 'dist' | 'none';

/** One side of a collective. */
export interface WireCollective {
  readonly op: string;
  readonly group: string;
  /** Global ranks in group order. */
  readonly ranks: number[];
  readonly seq: number;
  readonly tensors: WireTensor[];
  readonly detail?: string;
  readonly root?: number;
  /** An instrument exchanges what it measured. */
  readonly quiet?: boolean;
}

/** A question to the store that the ranks share; `wait` is answered when all keys are there. */
export interface WireStoreCall {
  readonly op:
    | 'set'
    | 'add'
    | 'append'
    | 'check'
    | 'compareSet'
    | 'delete'
    | 'push'
    | 'length'
    | 'shift'
    | 'keys'
    | 'read'
    | 'wait';
  readonly keys: string[];
  readonly values?: string[];
  readonly amount?: number;
  /** After which a `wait` fails; without it nobody gives up. */
  readonly timeoutMs?: number;
}

/** Where what was handed in lies as it was, below the folder with what it is compiled to. */
export const SOURCES = 'source';

/** Where a rank puts the runtime for the module that submissions import it from, as long as that is loaded. */
export const RUNTIME_KEY = 'shardbook runtime';

/** From the grader to a rank. */
export type Request =
  /** `runtime`: the module that a submission imports as 'shardbook', see `RUNTIME_KEY`. */
  | { type: 'load'; url: string; exports: string[]; runtime: string; harness?: string }
  /** Run an exported function (of the harness, with the submission as first argument) on `args`; `run` comes back in every answer. */
  | {
      type: 'run';
      run: number;
      rank: number;
      worldSize: number;
      call: string;
      harness: boolean;
      comm: CommKind;
      /** Say when the arguments are there and wait for `go`; leave no garbage lying about from then on. */
      memory?: boolean;
      args: WireValue[];
      tensors: WireTensor[];
    }
  | { type: 'go'; run: number }
  /** Operation `handle` is complete; the body holds a received tensor, or all members' parts of a collective. */
  | {
      type: 'complete';
      run: number;
      handle: number;
      error?: string;
      help?: string;
      /** Of the error, where it is one that programs know. */
      code?: string;
      from?: number;
      parts?: number[];
      /** What the store answers. */
      value?: string | number | boolean | string[] | null;
      /** Sends that are complete as well. */
      sent?: number[];
    };

/** From a rank to the grader. */
export type Answer =
  /** Nothing of a submission is loaded yet. */
  | { type: 'ready' }
  | { type: 'loaded' }
  | { type: 'load-failed'; failure: Failure }
  | { type: 'send'; run: number; handle: number; peer: number; tensor: WireTensor; tag?: string }
  /** A peer of -1 stands for any. */
  | { type: 'recv'; run: number; handle: number; peer: number; tensor: WireTensor; tag?: string }
  | { type: 'collective'; run: number; handle: number; call: WireCollective }
  | { type: 'store'; run: number; handle: number; call: WireStoreCall }
  /** The rank does nothing more before `handle` is complete. */
  | { type: 'wait'; run: number; handle: number }
  /** Body: the bytes of the value's tensors, then those of the arguments' tensors as they are after the call. */
  | {
      type: 'returned';
      run: number;
      value: WireValue;
      tensors: WireTensor[];
      inputs: WireTensor[];
      aliased: boolean;
      /** A tensor has the memory of one that was returned before. */
      again?: boolean;
    }
  /** The arguments are there; from here on memory counts. */
  | { type: 'measure'; run: number }
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

export const ITEM_BYTES: Record<WireDType, number> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  uint8: 1,
  bool: 1,
};
export const PREFIX_BYTES = 8;
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true });
const LARGEST_HEADER = 1 << 20;
export const LARGEST_BODY = 1 << 26;
const MOST_AXES = 64;

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

export function byteCount(tensor: WireTensor): number {
  return elementCount(tensor.shape) * ITEM_BYTES[tensor.dtype];
}

/** Whether it is a tensor that may be counted and described; what a rank sends can be anything. */
export function isWireTensor(tensor: unknown): tensor is WireTensor {
  const { dtype, shape } = (tensor ?? {}) as Partial<WireTensor>;
  return (
    Object.hasOwn(ITEM_BYTES, String(dtype)) &&
    Array.isArray(shape) &&
    shape.length <= MOST_AXES &&
    shape.every((size) => Number.isSafeInteger(size) && size >= 0)
  );
}

/** `f32[3, 4]`, as tensors are written in messages. */
export function describeTensor({ dtype, shape }: WireTensor): string {
  return `${dtype.replace('bfloat', 'bf').replace('float', 'f').replace('uint', 'u').replace('int', 'i')}[${shape.join(', ')}]`;
}

export function encodeFrame(header: Request | Answer, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const prefix = encodePrefix(header, body.length, body.length);
  prefix.set(body, prefix.length - body.length);
  return prefix;
}

/** A frame up to its body of `length` bytes, with `room` behind it. */
export function encodePrefix(header: Request | Answer, length: number, room = 0): Uint8Array {
  const text = ENCODER.encode(JSON.stringify(header));
  const frame = new Uint8Array(PREFIX_BYTES + text.length + room);
  const view = new DataView(frame.buffer);
  view.setUint32(0, text.length, true);
  view.setUint32(4, length, true);
  frame.set(text, PREFIX_BYTES);
  return frame;
}

/** Lengths of the two parts; throws when they are beyond what either side may say. */
export function frameLengths(prefix: Uint8Array): { header: number; body: number } {
  const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES);
  const header = view.getUint32(0, true);
  const body = view.getUint32(4, true);
  if (header === 0 || header > LARGEST_HEADER || body > LARGEST_BODY) {
    throw new Error(
      `a frame of ${header} + ${body} bytes, at most ${LARGEST_HEADER} + ${LARGEST_BODY} are taken`,
    );
  }
  return { header, body };
}

export function decodeHeader<T>(bytes: Uint8Array): T {
  return JSON.parse(DECODER.decode(bytes)) as T;
}

/** Collects chunks of a stream and hands out whole frames. */
export class FrameReader<T> {
  /** Of all headers so far. */
  headerBytes = 0;
  private readonly chunks: Uint8Array[] = [];
  private length = 0;

  push(chunk: Uint8Array): Frame<T>[] {
    this.chunks.push(chunk);
    this.length += chunk.length;
    const frames: Frame<T>[] = [];
    for (;;) {
      const prefix = this.peek(PREFIX_BYTES);
      if (prefix === undefined) return frames;
      const { header, body } = frameLengths(prefix);
      const whole = this.peek(PREFIX_BYTES + header + body);
      if (whole === undefined) return frames;
      const start = PREFIX_BYTES + header;
      this.headerBytes += header;
      frames.push({
        header: decodeHeader<T>(whole.subarray(PREFIX_BYTES, start)),
        body: whole.slice(start, start + body),
      });
      this.drop(start + body);
    }
  }

  /** The first `size` bytes, joined only when they are all there: a large frame is copied once. */
  private peek(size: number): Uint8Array | undefined {
    if (this.length < size) return undefined;
    if (this.chunks[0]!.length < size) {
      const joined = new Uint8Array(this.length);
      let at = 0;
      for (const chunk of this.chunks) {
        joined.set(chunk, at);
        at += chunk.length;
      }
      this.chunks.splice(0, this.chunks.length, joined);
    }
    return this.chunks[0]!.subarray(0, size);
  }

  private drop(size: number): void {
    this.length -= size;
    const rest = this.chunks[0]!.subarray(size);
    if (rest.length > 0) this.chunks[0] = rest;
    else this.chunks.shift();
  }
}

/** What the compiling thread gets. */
export interface CompileRequest {
  readonly id: number;
  readonly files: readonly { readonly name: string; readonly text: string }[];
  /** Packages that may be imported, and where they are. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Names that a cell has without importing them; the package that they come from. */
  readonly preloaded?: { readonly names: readonly string[]; readonly from: string };
  /** Functions that a cell need not say `export` for. */
  readonly exports: readonly string[];
  /** `import()` of a computed name is refused: something of the runtime is not to be reached. */
  readonly closed?: boolean;
}

export type CompileAnswer =
  | { readonly id: number; readonly files: readonly { readonly name: string; readonly code: string }[] }
  | {
      readonly id: number;
      readonly refused: { readonly file: string; readonly message: string; readonly line?: number };
    };
