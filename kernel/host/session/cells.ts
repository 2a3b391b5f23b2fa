/** Cells that ran and files that they import, for a debugger: their texts, and their places as places of the scripts they became. */
import type { CellProgram, SideFile } from './compiler/index.js';
import { type Decoded, decode, lookUp } from './rank/source-map.js';
import type { RunCell } from './types.js';

/** The compiler puts one line before a cell. */
const PREFIX_LINES = 1;
/** Breakpoints can be set in so many cells. */
const CELLS_KEPT = 256;

export class RunCells {
  readonly #cells = new Map<string, RunCell>();
  readonly #files = new Map<string, RunCell>();
  readonly #listeners = new Set<(cell: RunCell) => Promise<void>>();

  list(): readonly RunCell[] {
    return [...this.#files.values(), ...this.#cells.values()];
  }

  clear(): void {
    this.#cells.clear();
    this.#files.clear();
  }

  /** Called with each cell, and each file that it imports, before it runs. */
  onCell(listener: (cell: RunCell) => Promise<void>): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async add({ name, maps }: CellProgram, source: string, files: readonly SideFile[]): Promise<void> {
    const fresh = files.flatMap(({ path: script, original }) => {
      if (original === undefined) return [];
      const file = runCell({ name: script, source: original.text, file: original.path }, [original.map], 0);
      this.#files.set(script, file);
      return [file];
    });
    const cell = runCell({ name, source }, maps, PREFIX_LINES);
    this.#cells.set(name, cell);
    if (this.#cells.size > CELLS_KEPT) this.#cells.delete(this.#cells.keys().next().value!);
    for (const each of [...fresh, cell]) for (const listener of this.#listeners) await listener(each);
  }
}

function runCell(
  about: Pick<RunCell, 'name' | 'source' | 'file'>,
  maps: readonly string[],
  prefixLines: number,
): RunCell {
  let decoded: Decoded[] | undefined;
  const places = (): Decoded[] => {
    decoded ??= maps.map(decode);
    return decoded;
  };
  const original = (line: number, column: number): { line: number; column: number } | undefined => {
    let at: { line: number; column: number } | undefined = { line: line - 1, column: column - 1 };
    for (const map of places().toReversed()) at = at && lookUp(map, at.line, at.column);
    if (!at || at.line < prefixLines) return undefined;
    return { line: at.line + 1 - prefixLines, column: at.column + 1 };
  };
  return {
    ...about,
    original,
    generated(wanted) {
      let best: { line: number; column: number; at: number } | undefined;
      for (const [index, segments] of (places().at(-1) ?? []).entries()) {
        for (const [column] of segments) {
          const at = original(index + 1, column + 1)?.line;
          // A line without code of its own stops at the next that has some.
          if (at === undefined || at < wanted || (best !== undefined && at >= best.at)) continue;
          best = { line: index + 1, column: column + 1, at };
        }
      }
      return best;
    },
  };
}
