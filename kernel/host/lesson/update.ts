/** Rewrites the {output} blocks of a lesson with what its cells put out. */
import type { CodeCell } from './types.js';

export interface OutputUpdate {
  readonly cell: CodeCell;
  /** What the cell put out. */
  readonly text: string;
}

/** The text of the lesson with new outputs; cells without an {output} block get one below them. */
export function updateOutputs(text: string, updates: readonly OutputUpdate[]): string {
  const lines = text.split('\n');
  // From the end, so that the lines of those above stay where they are.
  for (const { cell, text: got } of [...updates].sort((a, b) => b.cell.line - a.cell.line)) {
    const shown = got
      .trimEnd()
      .split('\n')
      .map((line) => line.trimEnd());
    if (cell.output !== undefined) {
      const old = cell.output.text === '' ? 0 : cell.output.text.split('\n').length;
      lines.splice(cell.output.line - 1, old, ...shown);
      refence(lines, cell.output.line - 1, shown);
      continue;
    }
    const end = cell.line - 1 + cell.source.split('\n').length;
    const fence = fenceFor(shown);
    lines.splice(end + 1, 0, '', `${fence}{output}`, ...shown, fence);
  }
  return lines.join('\n');
}

/** A fence longer than any that the output holds. */
function fenceFor(shown: readonly string[]): string {
  const longest = Math.max(2, ...shown.map((line) => /^`+/.exec(line.trim())?.[0].length ?? 0));
  return '`'.repeat(longest + 1);
}

/** Lengthens the fences around the body that begins at line `at` (from 0) where the new body needs it. */
function refence(lines: string[], at: number, shown: readonly string[]): void {
  const fence = fenceFor(shown);
  let open = at - 1;
  while (!/^`{3,}\{output\}/.test(lines[open]!)) open--;
  const old = /^`+/.exec(lines[open]!)![0];
  if (old.length >= fence.length) return;
  lines[open] = lines[open]!.replace(/^`+/, fence);
  lines[at + shown.length] = fence;
}
