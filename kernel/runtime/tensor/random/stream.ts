/**
 * The Mersenne Twister as PyTorch's CPU generator runs it: the same words, the same byte layout of a saved state.
 */
import { renewWords, ShardbookError, TWISTER_WORDS, temper } from '../../base/index.js';
import { getBackend } from '../state.js';

/** What PyTorch's `get_state` of a CPU generator weighs. */
export const STATE_BYTES = 5056;
/** The seed of a generator that nobody seeded. */
const DEFAULT_SEED = 67280421310721;

const MASK64 = (1n << 64n) - 1n;
const TWO_POW_53 = 2 ** 53;

/** A stream of random words with its seed and cached normal; distributions draw from it in a fixed order. */
export class RandomStream {
  readonly #state = new Uint32Array(TWISTER_WORDS);
  /** The same words as V8 computes with them fastest. */
  readonly #signed = new Int32Array(this.#state.buffer);
  #position = TWISTER_WORDS;
  /** False until the first block is made: PyTorch saves such a state with `left` 1. */
  #started = false;
  #seed = 0n;
  /** The second half of a Box-Muller pair (standard normal), kept for the next draw one by one. */
  cachedNormal: number | undefined;

  constructor(seed: number | bigint = DEFAULT_SEED) {
    this.reseed(seed);
  }

  /** Starts the stream of `seed` anew. Any integer of 64 bits; only the low 32 decide the numbers. */
  reseed(seed: number | bigint): void {
    if (typeof seed === 'number' && !Number.isInteger(seed)) {
      throw new ShardbookError({
        code: 'SB_RANDOM_SEED',
        message: `Cannot seed a generator: the seed is ${seed}, it must be an integer`,
      });
    }
    const wide = BigInt(seed);
    if (wide < -(1n << 63n) || wide > MASK64) {
      throw new ShardbookError({
        code: 'SB_RANDOM_SEED',
        message: `Cannot seed a generator: ${wide} does not fit in 64 bits`,
        help: 'Seeds go from -2^63 to 2^64 - 1; only the low 32 bits decide the numbers',
      });
    }
    this.#seed = wide & MASK64;
    const x = this.#state;
    x[0] = Number(this.#seed & 0xffffffffn);
    for (let j = 1; j < TWISTER_WORDS; j++) {
      const previous = x[j - 1]!;
      x[j] = Math.imul(1812433253, previous ^ (previous >>> 30)) + j;
    }
    this.#position = TWISTER_WORDS;
    this.#started = false;
    this.cachedNormal = undefined;
  }

  /** The seed last given; a bigint where a number could not hold it. */
  get currentSeed(): number | bigint {
    return this.#seed <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(this.#seed) : this.#seed;
  }

  /** The next 32-bit word. */
  u32(): number {
    if (this.#position >= TWISTER_WORDS) {
      renewWords(this.#signed);
      this.#position = 0;
      this.#started = true;
    }
    return temper(this.#signed[this.#position++]!) >>> 0;
  }

  /** Two words as one 64-bit integer, the first is the high half. */
  u64(): bigint {
    const high = this.u32();
    return (BigInt(high) << 32n) | BigInt(this.u32());
  }

  /** A float32 in [0, 1) of 24 bits, from one word. */
  u24(): number {
    return (this.u32() & 0xffffff) / 0x1000000;
  }

  /** Fills `out` with what as many calls of `u24` give. */
  fill24(out: Float32Array): void {
    if (out.length === 0) return;
    this.#position = getBackend().uniforms(this.#signed, this.#position, out);
    this.#started = true;
  }

  /** A double in [0, 1) of 53 bits, from two words. */
  u53(): number {
    const high = this.u32() & 0x1fffff;
    return (high * 0x100000000 + this.u32()) / TWO_POW_53;
  }

  /** The state in PyTorch's own byte layout (words are widened to 64 bits there), little endian. */
  saveBytes(): Uint8Array {
    const bytes = new Uint8Array(STATE_BYTES);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, this.#seed, true);
    // `left` counts down to the renewal; a fresh state is about to renew.
    view.setInt32(8, this.#started ? TWISTER_WORDS - this.#position + 1 : 1, true);
    view.setInt32(12, 1, true);
    view.setBigUint64(16, BigInt(this.#started ? this.#position : 0), true);
    for (let j = 0; j < TWISTER_WORDS; j++) view.setUint32(24 + 8 * j, this.#state[j]!, true);
    if (this.cachedNormal !== undefined) {
      view.setFloat64(24 + 8 * TWISTER_WORDS + 8, this.cachedNormal, true);
      view.setInt32(24 + 8 * TWISTER_WORDS + 24, 1, true);
    }
    return bytes;
  }

  /** Puts back what `saveBytes` (or PyTorch) saved; anything else is an error and changes nothing. */
  loadBytes(bytes: Uint8Array): void {
    if (bytes.length !== STATE_BYTES) {
      throw new ShardbookError({
        code: 'SB_RANDOM_STATE',
        message: `Cannot set the generator state: it has ${bytes.length} bytes, a state has ${STATE_BYTES}`,
        help: 'Pass what getRngState() or generator.getState() returned',
      });
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const left = view.getInt32(8, true);
    const position = Number(view.getBigUint64(16, true));
    if (view.getInt32(12, true) !== 1 || left < 1 || left > TWISTER_WORDS + 1 || position > TWISTER_WORDS) {
      throw new ShardbookError({
        code: 'SB_RANDOM_STATE',
        message: 'Cannot set the generator state: the bytes are not a Mersenne Twister state',
        help: 'Pass what getRngState() or generator.getState() returned',
      });
    }
    this.#seed = view.getBigUint64(0, true);
    for (let j = 0; j < TWISTER_WORDS; j++) this.#state[j] = view.getUint32(24 + 8 * j, true);
    this.#started = position !== 0 || left !== 1;
    this.#position = this.#started ? position : TWISTER_WORDS;
    const cached = view.getInt32(24 + 8 * TWISTER_WORDS + 24, true) !== 0;
    this.cachedNormal = cached ? view.getFloat64(24 + 8 * TWISTER_WORDS + 8, true) : undefined;
  }

  /** Makes this stream go on exactly as `other` will. */
  copyFrom(other: RandomStream): void {
    this.loadBytes(other.saveBytes());
  }
}

/** 53 bits from the platform's entropy, as PyTorch's `seed()` takes. */
export function entropySeed(): number {
  const words = crypto.getRandomValues(new Uint32Array(2));
  return (words[0]! & 0x1fffff) * 0x100000000 + words[1]!;
}
