/**
 * Loads the program of a rank, which is one classic script with the whole runtime in it. A script, unlike a module, can be taken
 * as the engine has compiled it before: a process starts in half the time, and a grading starts one for each rank.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import type * as program from './grader-rank.js';

const filename = fileURLToPath(new URL('./grader-rank.cjs', import.meta.url));
const source = `(function (exports, require, module) {${readFileSync(filename, 'utf8')}\n})`;
const [, kept] = process.argv.slice(2);
const cachedData = kept === undefined ? undefined : readIfThere(new URL(kept, import.meta.url));
const script = new Script(source, { filename, ...(cachedData === undefined ? {} : { cachedData }) });

/** The script as it is compiled now, where it had to be. Of the time before it runs, when the flags are those of the start. */
export const code: Uint8Array | undefined =
  kept !== undefined && (cachedData === undefined || script.cachedDataRejected === true)
    ? script.createCachedData()
    : undefined;

const module: { exports: unknown } = { exports: {} };
(script.runInThisContext() as (...scope: unknown[]) => void)(
  module.exports,
  createRequire(import.meta.url),
  module,
);

export const { serve, shardbook } = module.exports as typeof program;

function readIfThere(file: URL): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}
