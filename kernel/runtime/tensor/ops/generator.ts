/** Generators of random numbers: the class, the one that draws take when they are given none, and what `torch` does to it. */
import { runThen } from '../../base/index.js';
import { uint8 } from '../dtype.js';
import { opError } from '../errors.js';
import { alloc, contiguous } from '../kernels/common.js';
import { entropySeed, RandomStream, STATE_BYTES } from '../random/index.js';
import { Tensor } from '../tensor.js';

/** PyTorch's CPU generator: a stream of random numbers of its own. */
export class Generator {
  readonly device = 'cpu';
  readonly #stream: RandomStream;

  constructor(seed?: number | bigint) {
    this.#stream = seed === undefined ? new RandomStream() : new RandomStream(seed);
  }

  /** The words below; for fills. */
  get stream(): RandomStream {
    return this.#stream;
  }

  /** Starts the stream of `seed`; any 64-bit integer, of which the low 32 bits decide the numbers. */
  manualSeed(seed: number | bigint): this {
    this.#stream.reseed(seed);
    return this;
  }

  /** The seed last set. */
  initialSeed(): number | bigint {
    return this.#stream.currentSeed;
  }

  /** Seeds from the platform's entropy and returns that seed. */
  seed(): number {
    const seed = entropySeed();
    this.#stream.reseed(seed);
    return seed;
  }

  /** The state as a byte tensor, in PyTorch's layout. */
  getState(): Tensor {
    const state = alloc([STATE_BYTES], uint8, 'cpu');
    (state.storage.as(uint8) as Uint8Array).set(this.#stream.saveBytes());
    return state;
  }

  /** Goes on as the generator whose state was taken. */
  setState(state: Tensor): this {
    if (!(state instanceof Tensor) || state.dtype !== uint8 || state.isMeta) {
      throw opError(
        'setState',
        state instanceof Tensor ? [state] : [],
        'the state must be a byte tensor',
        'pass what getState() or getRngState() returned',
      );
    }
    const bytes = contiguous(state);
    const all = bytes.storage.as(uint8) as Uint8Array;
    this.#stream.loadBytes(all.slice(bytes.storageOffset, bytes.storageOffset + bytes.numel()));
    return this;
  }

  /** Another generator that goes on with the same numbers. */
  clone(): Generator {
    const copy = new Generator();
    copy.#stream.copyFrom(this.#stream);
    return copy;
  }

  /** PyTorch's name of `clone`. */
  cloneState(): Generator {
    return this.clone();
  }
}

/** What draws take their numbers from when no generator is given; every rank has its own. */
export const defaultGenerator = new Generator();

/** Seeds the default generator of this rank. */
export function manualSeed(seed: number | bigint): Generator {
  return defaultGenerator.manualSeed(seed);
}

/** Seeds the default generator from the platform's entropy; returns the seed. */
export function seed(): number {
  return defaultGenerator.seed();
}

/** The seed of the default generator. */
export function initialSeed(): number | bigint {
  return defaultGenerator.initialSeed();
}

/** State of the default generator. */
export function getRngState(): Tensor {
  return defaultGenerator.getState();
}

/** Puts a state of the default generator back. */
export function setRngState(state: Tensor): void {
  defaultGenerator.setState(state);
}

/** Runs `body`; afterwards the default generator is as if it had not run. A promise is waited for. */
export function forkRng<R>(body: () => R): R {
  const saved = defaultGenerator.stream.saveBytes();
  const restore = (): void => defaultGenerator.stream.loadBytes(saved);
  return runThen(body, restore);
}
