/** The few things that differ between Node and a browser worker. This is the Node side. */
import { availableParallelism } from 'node:os';
import { deserialize, serialize, setFlagsFromString } from 'node:v8';

/** How many threads can run at once. */
export function coreCount(): number {
  return availableParallelism();
}

/** A copyable value as bytes (structured clone's types). */
export function encodeValue(value: unknown): Uint8Array {
  return serialize(value);
}

export function decodeValue(bytes: Uint8Array): unknown {
  return deserialize(bytes);
}

/** Environment variables: RANK, WORLD_SIZE and the like in scripts. */
export function environment(name: string): string | undefined {
  return process.env[name];
}

/**
 * Lets WebAssembly use fused multiply-add where the engine has it behind a flag: Node 20 does, later versions need nothing.
 * The flag holds for modules compiled from now on, in all threads.
 */
export function enableRelaxedSimd(): void {
  setFlagsFromString('--experimental-wasm-relaxed-simd');
}

/** Memory that need not be zeros. */
export function rawMemory(bytes: number): ArrayBuffer {
  return Buffer.allocUnsafeSlow(bytes).buffer as ArrayBuffer;
}

/** Blocks this thread. In steps, so that a thread that sleeps long can be interrupted. */
export function sleep(milliseconds: number): void {
  const nap = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + milliseconds;
  for (let left = milliseconds; left > 0; left = end - performance.now()) {
    Atomics.wait(nap, 0, 0, Math.min(left, 50));
  }
}

/** Ends this thread at once, as a crash would: nothing of it runs on. In a program of one thread that is the process. */
export function endThread(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(137);
}
