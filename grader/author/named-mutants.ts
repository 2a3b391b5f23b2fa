/**
 * The named mutants of an exercise: solutions with one mistake each, which its checks must fail. Most are a text of `mutants.yaml` that
 * says what is other than in a right solution, so that they follow when that changes; one that shares little with any is a file
 * of `mutants/`.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ShardbookError } from 'shardbook';
import { isMapping, NAME, NAME_WANTED, readMapping, readText, unknownKey } from '../mapping.js';

export interface NamedMutant {
  readonly name: string;
  readonly text: string;
  /** What it must come to; undefined where it does not say so. */
  readonly expected: Expected | undefined;
}

interface Expected {
  readonly verdict: string;
  readonly check: string;
  /** Words of the feedback. */
  readonly words: string | undefined;
  /** Only where the system counts the memory of a process. */
  readonly counted: boolean;
}

const MUTANTS_FILE = 'mutants.yaml';
/** How `fails` is written, and the first line of a file of `mutants/` after `// fails: `. */
export const EXPECTED_FORM = 'VERDICT in CHECK, "words of its feedback"';
const EXPECTED = /^([a-z-]+) in ([\w-]+)(?:, "([^"]+)")?( where memory is counted)?$/;
const FIRST_LINE = /^\/\/ fails: (.*)\n/;

interface Edit {
  readonly find: string;
  readonly replace: string;
}

/** All of `solutions/ID`, by name. Throws `SB_EXERCISE_INVALID` for one that cannot be made. */
export function namedMutants(solutions: string): NamedMutant[] {
  return [...edited(solutions), ...whole(join(solutions, 'mutants'))].sort((a, b) =>
    a.name < b.name ? -1 : 1,
  );
}

function whole(folder: string): NamedMutant[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((file) => {
      const text = readText(join(folder, file));
      return { name: basename(file, '.ts'), text, expected: readExpected(FIRST_LINE.exec(text)?.[1]) };
    });
}

function edited(solutions: string): NamedMutant[] {
  const file = join(solutions, MUTANTS_FILE);
  if (!existsSync(file)) return [];
  const id = basename(solutions);
  const entries = readMapping(file, id, 'a mapping of names to mutants');
  return Object.entries(entries).map(([name, entry]) => {
    const cannot = (problem: string): ShardbookError =>
      new ShardbookError({
        code: 'SB_EXERCISE_INVALID',
        message: `Cannot make the mutant "${name}" of "${id}": ${problem}`,
      });
    if (!NAME.test(name)) throw cannot(NAME_WANTED);
    if (existsSync(join(solutions, 'mutants', `${name}.ts`)))
      throw cannot('a file of mutants/ has that name');
    if (!isMapping(entry)) throw cannot('it is not a mapping with "fails" and "edits"');
    const { of = 'reference', fails, edits } = entry;
    const unknown = unknownKey(entry, ['of', 'fails', 'edits']);
    if (unknown !== undefined) throw cannot(unknown);
    if (!Array.isArray(edits) || edits.length === 0 || !edits.every(isEdit))
      throw cannot('"edits" is not a list of texts to "find" and to "replace" by');
    const base = join(solutions, `${String(of)}.ts`);
    if (!existsSync(base)) throw cannot(`there is no ${String(of)}.ts to begin from`);
    let text = readText(base);
    for (const [i, edit] of edits.entries()) {
      const unknown = unknownKey(edit, ['find', 'replace']);
      if (unknown !== undefined) throw cannot(`edit ${i + 1}: ${unknown}`);
      const places = placesOf(text, edit.find);
      const [place] = places;
      if (place === undefined || places.length > 1)
        throw cannot(
          `what edit ${i + 1} looks for is there ${places.length} times in ${String(of)}.ts, wanted once: ${JSON.stringify(edit.find.slice(0, 80))}`,
        );
      text = text.slice(0, place.from) + indented(edit.replace, place.indent) + text.slice(place.to);
    }
    return { name, text, expected: readExpected(fails) };
  });
}

/** Where a text stands. Its lines after the first are indented as far as the one in which it begins. */
function placesOf(text: string, find: string): { from: number; to: number; indent: string }[] {
  const places: { from: number; to: number; indent: string }[] = [];
  if (find === '') return places;
  const head = find.split('\n', 1)[0]!;
  for (let from = text.indexOf(head); from >= 0; from = text.indexOf(head, from + 1)) {
    const before = text.slice(text.lastIndexOf('\n', from - 1) + 1, from);
    const indent = before.trim() === '' ? before : '';
    const whole = indented(find, indent);
    if (text.startsWith(whole, from)) places.push({ from, to: from + whole.length, indent });
  }
  return places;
}

function indented(text: string, indent: string): string {
  return text.replace(/\n(?=[^\n])/g, `\n${indent}`);
}

function readExpected(fails: unknown): Expected | undefined {
  const match = typeof fails === 'string' ? EXPECTED.exec(fails) : null;
  if (match === null) return undefined;
  const [, verdict, check, words, counted] = match;
  return { verdict: verdict!, check: check!, words, counted: counted !== undefined };
}

function isEdit(value: unknown): value is Edit {
  return isMapping(value) && typeof value['find'] === 'string' && typeof value['replace'] === 'string';
}
