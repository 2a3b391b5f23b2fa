/** The files that an exercise is written in. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { nearestName, ShardbookError } from 'shardbook';
import { parse } from 'yaml';

/** A text as its author sees it: without a byte order mark, and with the line ends that everything here looks for. */
export function readText(file: string): string {
  return readFileSync(file, 'utf8')
    .replace(/^\ufeff/, '')
    .replace(/\r\n?/g, '\n');
}

/** Names of exercises, checks and mutants: they stand in paths, reports and `fails`. */
export const NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;
export const NAME_WANTED = 'a name is small letters, digits and single hyphens';

/** Refuses a key that nobody reads: `visiblity: hidden` would show a hidden check to everybody. */
export function unknownKey(values: object, known: readonly string[]): string | undefined {
  const key = Object.keys(values).find((name) => !known.includes(name));
  if (key === undefined) return undefined;
  const near = nearestName(key, known);
  return `there is no key "${key}"${near === undefined ? '' : `, did you mean "${near}"`}`;
}

/** The mapping in `file` of the exercise `id`; throws `SB_EXERCISE_INVALID`. */
export function readMapping(
  file: string,
  id: string,
  wanted = 'a mapping of keys to values',
): Record<string, unknown> {
  let value: unknown;
  try {
    value = parse(readText(file));
  } catch (error) {
    throw invalidFile(file, id, (error as Error).message.split('\n')[0]!);
  }
  if (isMapping(value)) return value;
  throw invalidFile(file, id, `${wanted} is wanted`);
}

export function invalidFile(file: string, id: string, problem: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_EXERCISE_INVALID',
    message: `Cannot read ${basename(file)} of "${id}": ${problem}`,
  });
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
