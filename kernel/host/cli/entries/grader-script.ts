/**
 * Loads the program of a rank, which is one classic script with the whole runtime in it. A script, unlike a module, can be taken
 * as the engine has compiled it before: a process starts in half the time, and a grading starts one for each rank.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import type * as program from './grader-rank.js';

const require = createRequire(import.meta.url);
// As a module, `node:fs` would load all that it can hand on.
const { readFileSync } = require('node:fs') as typeof import('node:fs');

/** A function that multiplies and adds with one rounding: valid where the engine has relaxed SIMD switched on. */
const RELAXED = [
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0],
  ...[10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 133, 2, 11],
];
// The runtime does this when it is loaded. Compiled code is of use under the flags only that it was compiled with.
if (!WebAssembly.validate(new Uint8Array(RELAXED))) setFlagsFromString('--experimental-wasm-relaxed-simd');

const filename = fileURLToPath(new URL('./grader-rank.cjs', import.meta.url));
const source = `(function (exports, require, module) {${readFileSync(filename, 'utf8')}\n})`;
// A submission finds a program without arguments.
const [, kept] = process.argv.splice(2);
const cachedData = kept === undefined ? undefined : readIfThere(new URL(kept, import.meta.url));
const script = new Script(source, { filename, ...(cachedData === undefined ? {} : { cachedData }) });

/** What the engine has compiled of the script so far, where nothing usable was kept. */
export const compiled: (() => Uint8Array) | undefined =
  kept !== undefined && (cachedData === undefined || script.cachedDataRejected === true)
    ? () => script.createCachedData()
    : undefined;

const module: { exports: unknown } = { exports: {} };
(script.runInThisContext() as (...scope: unknown[]) => void)(module.exports, require, module);

export const { serve, shardbook } = module.exports as typeof program;

function readIfThere(file: URL): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}
