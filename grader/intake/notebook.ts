/**
 * The cells of an exercise in a notebook. A cell belongs to an exercise by its first line, `// exercise: ID` or
 * `// exercise: ID/PART` (`// given: ID/PART` for what was handed out), by its tag `exercise:ID`, by its metadata
 * (`shardbook.exercise`) or by its id `exercise-ID`. The starter says which parts there are and in which order.
 */
import type { Exercise } from '../exercise.js';
import { CheckFailure } from '../verdict.js';
import { refused } from './compile.js';

export interface Cell {
  /** Its number in the notebook, from 1. */
  readonly number: number;
  readonly source: string;
  /** `ID` or `ID/PART`, when metadata say so. */
  readonly label: string | undefined;
}

export interface Place {
  readonly file: string;
  readonly line: number;
}

export interface Assembled {
  readonly text: string;
  readonly notes: readonly string[];
  readonly place: (line: number) => Place;
}

interface Part {
  readonly name: string;
  readonly text: string;
  readonly given: boolean;
}

const MOST_CELLS = 2000;
const DEEPEST = 1000;
const MARKER = /^\s*\/\/\s*(exercise|given):\s*([\w-]+(?:\/[\w-]+)?)\s*$/;

/** Code cells of an .ipynb; anything but nbformat 4 is refused. */
export function notebookCells(text: string): Cell[] {
  if (isDeep(text)) throw refused('The notebook is nested too deeply');
  let notebook: unknown;
  try {
    notebook = JSON.parse(text);
  } catch {
    throw refused('The notebook is not JSON');
  }
  const cells = field(notebook, 'cells');
  if (field(notebook, 'nbformat') !== 4 || !Array.isArray(cells))
    throw refused('The file is not a notebook of nbformat 4');
  requireFew(cells.length);
  return cells.flatMap((cell: unknown, i) => {
    if (field(cell, 'cell_type') !== 'code') return [];
    const raw = field(cell, 'source');
    const source = Array.isArray(raw) ? raw.filter((line) => typeof line === 'string').join('') : raw;
    if (typeof source !== 'string') throw refused(`Cell ${i + 1} of the notebook has no text`);
    return [{ number: i + 1, source, label: labelOf(cell) }];
  });
}

/** Parsing millions of levels takes seconds in which the grader does nothing else. */
function isDeep(text: string): boolean {
  let depth = 0;
  let inText = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') inText = !inText;
    else if (inText) i += character === '\\' ? 1 : 0;
    else if (character === '[' || character === '{') depth++;
    else if (character === ']' || character === '}') depth--;
    if (depth > DEEPEST) return true;
  }
  return false;
}

/**
 * Code cells of a MyST document: ```{code-cell} ... ``` with options as `:tags: [a, b]` or between two lines `---`. What stands in a
 * code block that only shows something is no cell.
 */
export function mystCells(text: string): Cell[] {
  const cells: Cell[] = [];
  const lines = text.split(/\r?\n/);
  /** Directives that are open: they may hold cells. */
  const open: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, fence, rest = ''] = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,}|:{3,})(.*)$/s.exec(lines[i]!) ?? [];
    if (fence === undefined) continue;
    const info = rest.trim();
    if (open.length > 0 && ends(open[open.length - 1]!, lines[i]!)) {
      open.pop();
      continue;
    }
    const isCell = info.startsWith('{code-cell}');
    if (!isCell && (fence.startsWith(':') || info.startsWith('{'))) {
      open.push(fence);
      continue;
    }
    let end = i + 1;
    while (end < lines.length && !ends(fence, lines[end]!)) end++;
    if (isCell && end === lines.length) throw refused('A code cell does not end', i + 1);
    if (isCell) {
      const { label, start } = optionsOf(lines, i + 1, end);
      cells.push({ number: cells.length + 1, source: lines.slice(start, end).join('\n'), label });
      requireFew(cells.length);
    }
    i = end;
  }
  return cells;
}

/** Whether a line ends what `fence` began: as many of its characters, or more. */
function ends(fence: string, line: string): boolean {
  const text = line.trim();
  return text.length >= fence.length && text === fence[0]!.repeat(text.length);
}

/** The label among a cell's options, and the line after them. */
function optionsOf(
  lines: readonly string[],
  first: number,
  end: number,
): { label: string | undefined; start: number } {
  const isBlock = lines[first]?.trim() === '---';
  const option = isBlock ? /^()([\w-]+):(.*)$/s : /^(:)([\w-]+):(.*)$/s;
  const tags: string[] = [];
  let key = '';
  let at = isBlock ? first + 1 : first;
  for (; at < end && !(isBlock && lines[at]!.trim() === '---'); at++) {
    const [, , name, value] = option.exec(lines[at]!) ?? [];
    if (name === undefined && !isBlock) break;
    key = name ?? key;
    const text = value ?? lines[at]!.replace(/^\s*-\s/, '');
    if (['tags', 'name', 'label'].includes(key))
      tags.push(
        ...text
          .replace(/[[\]"']/g, '')
          .split(',')
          .map((tag) => tag.trim()),
      );
  }
  return { label: tagLabel(tags), start: isBlock && at < end ? at + 1 : at };
}

function requireFew(count: number): void {
  if (count > MOST_CELLS) throw refused(`The notebook has ${count} cells, at most ${MOST_CELLS} are taken`);
}

/** Puts the exercise's cells together in the order of the starter, and says what was not as handed out. */
export function assemble(cells: readonly Cell[], exercise: Exercise, notebook: string): Assembled {
  const parts = partsOf(exercise);
  const found = new Map<string, Cell[]>();
  for (const cell of cells) {
    const marker = MARKER.exec(cell.source.split('\n').find((line) => line.trim() !== '') ?? '');
    const label = marker?.[2] ?? cell.label;
    if (label === undefined || label.split('/')[0] !== exercise.id) continue;
    const list = found.get(label) ?? [];
    list.push(cell);
    found.set(label, list);
  }
  const notes: string[] = [];
  if (found.size === 0) {
    const byName = cells.filter(({ source }) =>
      exercise.exports.some((name) => new RegExp(`\\b(function\\*?|const|let)\\s+${name}\\b`).test(source)),
    );
    if (byName.length === 0)
      throw new CheckFailure('not-attempted', {
        message: `The notebook has no cell of the exercise "${exercise.id}"`,
      });
    notes.push(
      `No cell is marked with "// exercise: ${exercise.id}": cell ${byName.map(({ number }) => number).join(', ')} was taken because it defines ${exercise.exports.join(', ')}`,
    );
    found.set(exercise.id, byName);
  }
  const chosen: { name: string; text: string; cell: Cell | undefined }[] = [];
  const labelled = new Set([...found.values()].flat());
  // A notebook that keeps the exercise in one cell has all parts in it.
  const whole = found.get(exercise.id);
  for (const part of whole === undefined || parts.some(({ name }) => name === exercise.id)
    ? parts
    : [{ name: exercise.id, text: '', given: false }]) {
    const list = found.get(part.name) ?? [];
    const last = list.filter(({ source }) => source.trim() !== '').pop() ?? list[list.length - 1];
    const taken = latest(list);
    if (!part.given && taken.length < list.length)
      notes.push(
        `"${part.name}" stands in cells ${list.map(({ number }) => number).join(', ')}: ${taken.map(({ number }) => number).join(', ')} counts, which is the last one that is not empty and defines the same`,
      );
    if (part.given) {
      if (last === undefined) notes.push(`The given cell "${part.name}" is missing: it was put back`);
      else if (normal(last.source) !== normal(part.text))
        notes.push(`The given cell "${part.name}" was changed: it was put back`);
      chosen.push({ name: part.name, text: part.text, cell: undefined });
    } else if (last === undefined) {
      notes.push(`The cell "${part.name}" is missing: what was handed out stands for it`);
      chosen.push({ name: part.name, text: part.text, cell: undefined });
    } else
      for (const cell of taken)
        chosen.push({ name: part.name, text: withoutMagics(cell.source, cell.number, notes), cell });
  }
  const helpers = helpersOf(
    chosen.map(({ text }) => text),
    cells.filter((cell) => !labelled.has(cell)),
  );
  if (helpers.length > 0)
    notes.push(
      `Taken as well, since the exercise uses what they define: cell ${helpers.map(({ number }) => number).join(', ')}`,
    );
  chosen.unshift(
    ...helpers.map((cell) => ({
      name: exercise.id,
      text: withoutMagics(cell.source, cell.number, notes),
      cell,
    })),
  );
  if (chosen.every(({ cell }) => cell === undefined))
    throw new CheckFailure('not-attempted', {
      message: `The notebook has no cell of the exercise "${exercise.id}"`,
    });
  const numbers = chosen
    .slice(helpers.length)
    .flatMap(({ cell }) => (cell === undefined ? [] : [cell.number]));
  if (numbers.some((n, i) => i > 0 && n < numbers[i - 1]!))
    notes.push('The cells stand in another order than they were handed out in: they were put in order');
  const unknown = [...found.keys()].filter((name) => !chosen.some((part) => part.name === name));
  if (unknown.length > 0) notes.push(`Not a part of the exercise: ${few(unknown).map(cleanText).join(', ')}`);
  return { text: chosen.map(({ text }) => text).join('\n'), notes, place: placeIn(chosen, notebook) };
}

/** A part that stands in several cells: what a later cell defines again replaces the earlier cell, as it does in a notebook. */
function latest(cells: readonly Cell[]): Cell[] {
  const taken: Cell[] = [];
  const defined = new Set<string>();
  for (const cell of [...cells].reverse()) {
    const names = definedIn(cell.source);
    if (isBlank(cell.source) || names.some((name) => defined.has(name))) continue;
    for (const name of names) defined.add(name);
    taken.unshift(cell);
  }
  return taken.length > 0 ? taken : cells.slice(-1);
}

/**
 * Cells without a mark that only define something, and something that the exercise's cells speak of: functions, classes and types of the
 * learner's own. They run nothing, so that taking one too many does no harm.
 */
function helpersOf(texts: readonly string[], others: readonly Cell[]): Cell[] {
  const defined = new Set(texts.flatMap(definedIn));
  // What is defined twice is what was defined last.
  const definers = new Map<string, { cell: Cell; names: readonly string[] }>();
  let left = MOST_OF_HELPERS;
  for (const cell of [...others].reverse()) {
    left -= cell.source.length;
    if (left < 0) break;
    if (!onlyDefines(cell.source)) continue;
    const names = definedIn(cell.source);
    for (const name of names) if (!definers.has(name)) definers.set(name, { cell, names });
  }
  const helpers = new Set<Cell>();
  const spoken = texts.map(wordsOf);
  // Helpers may speak of others.
  for (const words of spoken)
    for (const word of words) {
      const definer = definers.get(word);
      if (definer === undefined || helpers.has(definer.cell)) continue;
      if (definer.names.some((name) => defined.has(name))) continue;
      for (const name of definer.names) defined.add(name);
      helpers.add(definer.cell);
      spoken.push(wordsOf(definer.cell.source));
    }
  return [...helpers].sort((one, other) => one.number - other.number);
}

/** Characters that are looked at. */
const MOST_OF_HELPERS = 256 * 1024;
const DEFINITION =
  /^(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:async\s+)?(?:abstract\s+)?(?:function|class|const|let|var|interface|type|enum)\b[\s*]*([\w$]+)/gm;
/** Lines at the margin of a cell that only defines: definitions, imports, comments and what ends them. A value is a function or a literal. */
const DEFINING =
  /^(?:\s|[})\]]|\/\/|\/?\*|import\b|(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:async\s+|abstract\s+)?(?:function|class|interface|type|enum)\b|(?:export\s+)?const\s+[\w$]+\s*(?::[^=]*)?=\s*(?:async\s+)?(?:function\b|\(|<|[\w$]+\s*=>|['"`\d[{-]))/;

function wordsOf(text: string): Set<string> {
  return new Set(text.match(/[\w$]+/g));
}

function definedIn(source: string): string[] {
  return [...source.matchAll(DEFINITION)].map(([, name]) => name!);
}

function onlyDefines(source: string): boolean {
  return source.split('\n').every((line) => line === '' || DEFINING.test(line));
}

function isBlank(source: string): boolean {
  return source.split('\n').every((line) => line.trim() === '' || MARKER.test(line));
}

/** Parts of the starter, at its markers; without markers it is one part. */
function partsOf(exercise: Exercise): Part[] {
  const parts: { name: string; given: boolean; lines: string[] }[] = [];
  const before: string[] = [];
  for (const line of exercise.starter.split('\n')) {
    const marker = MARKER.exec(line);
    if (marker !== null) parts.push({ name: marker[2]!, given: marker[1] === 'given', lines: [line] });
    else (parts[parts.length - 1]?.lines ?? before).push(line);
  }
  if (parts.length === 0) return [{ name: exercise.id, text: exercise.starter, given: false }];
  parts[0]!.lines.unshift(...before);
  return parts.map(({ name, given, lines }) => ({ name, given, text: lines.join('\n') }));
}

function placeIn(
  chosen: readonly { text: string; cell: Cell | undefined }[],
  notebook: string,
): (line: number) => Place {
  return (line) => {
    let first = 1;
    for (const { text, cell } of chosen) {
      const count = text.split('\n').length;
      if (line < first + count && cell !== undefined)
        return { file: `${notebook}, cell ${cell.number}`, line: line - first + 1 };
      if (line < first + count) break;
      first += count;
    }
    return { file: notebook, line };
  };
}

/** Lines such as `%world 4` speak to the notebook, not to the program. */
function withoutMagics(source: string, number: number, notes: string[]): string {
  const lines = source.split('\n');
  const magics = lines.filter((line) => /^%{1,2}\w/.test(line));
  if (magics.length > 0)
    notes.push(
      `Cell ${number}: ${few(magics)
        .map((line) => `"${line.slice(0, 40)}"`)
        .join(', ')} has no effect in grading`,
    );
  return lines.map((line) => (/^%{1,2}\w/.test(line) ? '' : line)).join('\n');
}

/** What notes name of something that may be long. */
function few<T>(items: readonly T[]): readonly T[] {
  return items.slice(0, 5);
}

export function cleanText(text: string): string {
  return text.slice(0, 80).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, '_');
}

function normal(source: string): string {
  return source
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !MARKER.test(line))
    .join('\n');
}

function labelOf(cell: unknown): string | undefined {
  const metadata = field(cell, 'metadata');
  const named = field(field(metadata, 'shardbook'), 'exercise');
  if (typeof named === 'string') return named;
  const tags = field(metadata, 'tags');
  const id = field(cell, 'id');
  return tagLabel([
    ...(Array.isArray(tags) ? tags : []),
    ...(typeof id === 'string' ? [id.replace(/^exercise-/, 'exercise:')] : []),
  ]);
}

function tagLabel(tags: readonly unknown[]): string | undefined {
  const tag = tags.find(
    (value): value is string => typeof value === 'string' && value.startsWith('exercise:'),
  );
  return tag?.slice('exercise:'.length);
}

/** An own property of something that may be anything. */
function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
