/** Memory of tensors: one garbage-collected buffer that views share. A meta storage has a size and no bytes. */
import { ShardbookError, type TypedArray, typedView } from '../base/index.js';
import type { DType } from './dtype.js';
import { memory } from './memory.js';
import { keepMemory, takeMemory, takeZeros } from './pool.js';

/** Stands where the memory of a recycled storage was. */
const GONE = new ArrayBuffer(0);

let nextId = 0;

export class Storage {
  readonly id = ++nextId;
  #buffer: ArrayBufferLike | null;
  #bytes: number;
  #view: TypedArray | null = null;
  #viewType: DType | null = null;

  constructor(buffer: ArrayBufferLike | null, bytes = buffer?.byteLength ?? 0) {
    this.#buffer = buffer;
    this.#bytes = bytes;
  }

  /** The id of the youngest storage: what is made later has a larger one. */
  static get latestId(): number {
    return nextId;
  }

  static allocate(bytes: number): Storage {
    return new Storage(takeZeros(bytes));
  }

  /** With whatever is in the memory: for results of which every element is written. */
  static uninitialized(bytes: number): Storage {
    return new Storage(takeMemory(bytes));
  }

  static meta(bytes: number): Storage {
    return new Storage(null, bytes);
  }

  /** A storage over an existing typed array of exactly `dtype`'s representation; no copy where it spans its buffer. */
  static of(data: TypedArray, dtype: DType): Storage {
    const spans = data.byteOffset === 0 && data.byteLength === data.buffer.byteLength;
    const own = spans ? data : data.slice();
    const storage = new Storage(own.buffer);
    storage.#view = own;
    storage.#viewType = dtype;
    return storage;
  }

  get nbytes(): number {
    return this.#bytes;
  }

  get isMeta(): boolean {
    return this.#buffer === null;
  }

  get buffer(): ArrayBufferLike {
    if (!this.#buffer) {
      throw new ShardbookError({
        code: 'SB_META',
        message: 'Cannot use the data of a tensor: it is not allocated',
        help: 'a meta tensor has a shape only; a parameter whose .data was set to a DTensor wants to be a new nn.Parameter around it',
      });
    }
    if (this.#buffer === GONE)
      throw new Error('Internal error (please report): memory was used after it was recycled');
    return this.#buffer;
  }

  /** The whole storage as elements of `dtype`. */
  as(dtype: DType): TypedArray {
    if (this.#view && this.#viewType === dtype) return this.#view;
    this.#view = typedView(dtype.name, this.buffer);
    this.#viewType = dtype;
    return this.#view;
  }

  /** Changes the size in place, keeping the bytes that fit: FSDP frees and refills parameters this way. */
  resize(bytes: number): void {
    if (bytes === this.#bytes) return;
    if (this.#buffer) {
      const next = new ArrayBuffer(bytes);
      new Uint8Array(next).set(new Uint8Array(this.#buffer).subarray(0, Math.min(bytes, this.#bytes)));
      this.#buffer = next;
    }
    const before = this.#bytes;
    this.#bytes = bytes;
    this.#view = null;
    this.#viewType = null;
    memory.listener?.resize(this, before);
  }

  /**
   * Gives the memory to whoever needs as much next. Only for who knows that no tensor over it will be used again; one that is
   * used all the same throws. The size stays: accounts of memory end where its holders let go.
   */
  recycle(): void {
    if (!this.#buffer || this.#buffer === GONE) return;
    keepMemory(this.#buffer);
    this.#buffer = GONE;
    this.#view = null;
    this.#viewType = null;
  }

  /** Lies in other memory from now on, and gives back what it had: memory that is freed and filled often need not be new each time. */
  exchange(buffer: ArrayBuffer): ArrayBufferLike {
    const own = this.buffer;
    const before = this.#bytes;
    this.#buffer = buffer;
    this.#bytes = buffer.byteLength;
    this.#view = null;
    this.#viewType = null;
    if (before !== this.#bytes) memory.listener?.resize(this, before);
    return own;
  }
}
