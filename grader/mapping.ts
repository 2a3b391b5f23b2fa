/** The YAML files that an exercise is written in. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { ShardbookError } from 'shardbook';
import { parse } from 'yaml';

/** The mapping in `file` of the exercise `id`; throws `SB_EXERCISE_INVALID`. */
export function readMapping(
  file: string,
  id: string,
  wanted = 'a mapping of keys to values',
): Record<string, unknown> {
  let value: unknown;
  try {
    value = parse(readFileSync(file, 'utf8'));
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
