/** The texts that front ends and kernel talk of: cells under names made of their code, and the learner's files. */
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { DebugTarget, RunCell } from '../session/index.js';
import { murmur2 } from './murmur2.js';

export const HASH_SEED = 0xc70f6907;
export const SUFFIX = '.ts';

export class Sources {
  /** Beginning of the names of cells. Nothing is written there. */
  readonly prefix = join(tmpdir(), `shardbook_${process.pid}_`);
  readonly #target: DebugTarget;
  readonly #dumped = new Map<string, string>();

  constructor(target: DebugTarget) {
    this.#target = target;
  }

  /** Keeps the text of a cell that has not run yet, or no longer is kept by the session. */
  keep(code: string): string {
    const path = this.#pathOfCode(code);
    this.#dumped.set(path, code);
    return path;
  }

  pathOf({ file, source }: RunCell): string {
    return file ?? this.#pathOfCode(source);
  }

  /** The cells, or the file, that ran from this text, oldest first. */
  scriptsOf(path: string): RunCell[] {
    return this.#target.cells().filter((cell) => this.pathOf(cell) === path);
  }

  textOf(path: string): string | undefined {
    return this.#dumped.get(path) ?? this.scriptsOf(path).at(-1)?.source;
  }

  list(): string[] {
    return [...new Set([...this.#dumped.keys(), ...this.modules().map(({ path }) => path)])];
  }

  /** The learner's files that cells have imported. */
  modules(): { id: string; name: string; path: string }[] {
    return this.#target
      .cells()
      .flatMap(({ file }) => (file === undefined ? [] : [{ id: file, name: basename(file), path: file }]));
  }

  #pathOfCode(code: string): string {
    return `${this.prefix}${murmur2(code, HASH_SEED)}${SUFFIX}`;
  }
}
