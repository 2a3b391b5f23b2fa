/** The result of the last comparison with PyTorch, kept beside the lessons, and whether it is still of these lessons. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeCells, type Lesson } from '../types.js';

export const RECORD_FILE = 'pytorch-check.json';
const FORMAT = 'shardbook.pytorch-check/1';

export interface LessonRecord {
  /** When it was compared: year, month, day. */
  readonly date: string;
  /** Version of PyTorch. */
  readonly torch: string;
  readonly twins: number;
  readonly compared: number;
  readonly passed: number;
  /** Of the twins and of the outputs they were compared with. */
  readonly hash: string;
}

export type CheckRecord = Readonly<Record<string, LessonRecord>>;

export function readRecord(root: string): CheckRecord | undefined {
  const file = join(root, RECORD_FILE);
  if (!existsSync(file)) return undefined;
  const { format, lessons } = JSON.parse(readFileSync(file, 'utf8')) as {
    format?: string;
    lessons?: CheckRecord;
  };
  return format === FORMAT ? lessons : undefined;
}

/** Adds the results to those that are there. */
export function writeRecord(root: string, results: CheckRecord): void {
  const lessons = Object.fromEntries(
    Object.entries({ ...readRecord(root), ...results }).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  writeFileSync(join(root, RECORD_FILE), `${JSON.stringify({ format: FORMAT, lessons }, null, 1)}\n`);
}

export function twinsHash(lesson: Lesson): string {
  const hash = createHash('sha256').update(`${lesson.world}`);
  for (const { twin, output } of codeCells(lesson)) {
    if (twin === undefined) continue;
    hash.update(JSON.stringify([twin.source, twin.compare, twin.tolerance, output?.text ?? '']));
  }
  return hash.digest('hex').slice(0, 16);
}
