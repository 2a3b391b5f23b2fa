/** Errors of cells as text: which ranks, what, and the learner's own line. */
import { ShardbookError } from '../../runtime/index.js';
import type { CellDiagnostic } from './compiler/index.js';
import { groupEqual, rankLabel } from './fold.js';
import type { RankFailure } from './rank/index.js';
import type { CellError } from './types.js';

const RED = '\u001b[31m';
const BOLD = '\u001b[1m';
const DIM = '\u001b[2m';
const RESET = '\u001b[0m';

/** Texts of the cells, by name, for quoting lines. */
export type CellTexts = ReadonlyMap<string, string>;

/** Type errors (or warnings) with the line and a mark under the place. */
export function describeDiagnostics(
  diagnostics: readonly CellDiagnostic[],
  cell: string,
  texts: CellTexts,
): string[] {
  return diagnostics.map((d) => {
    const where = `${d.file ?? cell}:${d.line}:${d.column}`;
    const quote = d.file === undefined ? quoteLine(texts.get(cell), d.line, d.column, d.length) : [];
    const help = d.help === undefined ? [] : [`${DIM}  help: ${d.help}${RESET}`];
    return [`${BOLD}${where}${RESET} ${d.message} ${DIM}(TS${d.code})${RESET}`, ...quote, ...help].join('\n');
  });
}

export function diagnosticsError(
  diagnostics: readonly CellDiagnostic[],
  cell: string,
  texts: CellTexts,
): CellError {
  const syntax = diagnostics.some((d) => !d.forgivable);
  const first = diagnostics[0]!;
  const ename = syntax ? 'SyntaxError' : 'TypeScriptError';
  const more = diagnostics.length > 1 ? ` (and ${diagnostics.length - 1} more)` : '';
  const advised = diagnostics.some((d) => d.help !== undefined || /Did you mean/.test(d.message));
  const help =
    syntax || advised ? [] : [`${DIM}  help: "%check warnings" runs cells in spite of type errors${RESET}`];
  return {
    ename,
    evalue: `${first.file ?? cell}:${first.line}:${first.column} ${first.message.split('\n')[0]}${more}`,
    traceback: [...describeDiagnostics(diagnostics, cell, texts), ...help],
  };
}

/** Each distinct failure once, with its ranks; causes come before those who only waited for them. */
export function failuresError(
  failures: readonly { rank: number; value: RankFailure }[],
  worldSize: number,
  texts: CellTexts,
): CellError {
  const groups = groupEqual(failures).sort((a, b) => order(a.value) - order(b.value));
  const first = groups[0]!.value;
  const traceback = groups.flatMap(({ ranks, value }) => {
    const label = ranks.length === worldSize ? '' : `${BOLD}${rankLabel(ranks)}${RESET} `;
    return [...describeFailure(value, label, texts), ''];
  });
  traceback.pop();
  const others = groups.length > 1 ? ` (and ${groups.length - 1} more: see the traceback)` : '';
  const where = groups[0]!.ranks.length === worldSize ? '' : `${rankLabel(groups[0]!.ranks)} `;
  return { ename: first.name, evalue: `${where}${first.message}${others}`, traceback };
}

/** Failures that only follow from another rank's. */
const FOLLOWING = new Set(['SB_PEER_FAILED', 'SB_PEER_DEAD', 'SB_RANK_FAILED', 'SB_INTERRUPTED']);

function order(failure: RankFailure): number {
  return failure.code !== undefined && FOLLOWING.has(failure.code) ? 1 : 0;
}

function describeFailure(failure: RankFailure, label: string, texts: CellTexts): string[] {
  const code = failure.code === undefined ? '' : ` ${DIM}[${failure.code}]${RESET}`;
  const [firstLine, ...rest] = failure.message.split('\n');
  const lines = [`${label}${RED}${failure.name}${RESET}: ${firstLine}${code}`, ...rest];
  const { position } = failure;
  if (position)
    lines.push(...quoteLine(texts.get(position.cell), position.line, position.column, 1, position.cell));
  lines.push(...failure.frames.slice(0, 12).map((frame) => `    ${DIM}at${RESET} ${frame}`));
  if (failure.frames.length > 12) lines.push(`    ${DIM}(${failure.frames.length - 12} more)${RESET}`);
  if (failure.cause) {
    const [head, ...below] = describeFailure(failure.cause, '', texts);
    lines.push(`  caused by ${head}`, ...below.map((line) => `  ${line}`));
  }
  return lines;
}

function quoteLine(
  text: string | undefined,
  line: number,
  column: number,
  length: number,
  cell?: string,
): string[] {
  const quoted = text?.split('\n')[line - 1];
  if (quoted === undefined) return [];
  const gutter = `${line} | `;
  const marks = '^'.repeat(Math.max(1, Math.min(length, quoted.length - column + 1)));
  const name = cell === undefined ? [] : [`${DIM}  ${cell}${RESET}`];
  return [
    ...name,
    `  ${DIM}${gutter}${RESET}${quoted}`,
    `  ${' '.repeat(gutter.length + column - 1)}${RED}${marks}${RESET}`,
  ];
}

/** An error that is no rank's: a magic that can't be obeyed, a world that does not start. */
export function plainError(error: unknown): CellError {
  const coded = error instanceof ShardbookError;
  const name = error instanceof Error ? error.name : 'Error';
  const message = error instanceof Error ? error.message : String(error);
  const [first, ...rest] = message.split('\n');
  const code = coded ? ` ${DIM}[${error.code}]${RESET}` : '';
  const frames = coded || !(error instanceof Error) ? [] : (error.stack ?? '').split('\n').slice(1, 6);
  return {
    ename: name,
    evalue: message,
    traceback: [`${RED}${name}${RESET}: ${first}${code}`, ...rest, ...frames],
  };
}

/** A request to a rank that was not answered, as that rank's failure. */
export function requestFailure(error: unknown, status?: { state: string; reason?: string }): RankFailure {
  if (status?.state === 'dead') {
    return {
      name: 'RankDied',
      message: `the rank died while it ran the cell: ${status.reason ?? 'unknown reason'}`,
      code: 'SB_RANK_DEAD',
      frames: [],
    };
  }
  if (error instanceof ShardbookError) {
    const interrupted = error.code === 'SB_INTERRUPTED';
    return {
      name: interrupted ? 'Interrupted' : error.name,
      message: interrupted ? 'the cell was interrupted' : error.message,
      code: error.code,
      frames: [],
    };
  }
  const { name, message, code } = error as { name?: string; message?: string; code?: unknown };
  return {
    name: name ?? 'Error',
    message: message ?? String(error),
    ...(typeof code === 'string' ? { code } : {}),
    frames: [],
  };
}

/** A span of time as it is read. */
export function duration(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
