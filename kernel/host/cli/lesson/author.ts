/** `shardbook lesson lint`, `fmt` and `coverage`: what authors ask of lessons without running them. */
import { readFileSync, writeFileSync } from 'node:fs';
import {
  type Coverage,
  countItems,
  coverageOf,
  formatLesson,
  type ItemKind,
  isComplete,
  lintLessons,
  loadCurriculum,
  type Manifest,
  type ManifestLesson,
  manifestLessons,
  shownPath,
} from '../../lesson/index.js';

export function lint(manifest: Manifest, ids: readonly string[]): number {
  const problems = lintLessons(manifest, ids);
  for (const { file, line, rule, message } of problems)
    process.stdout.write(`${shownPath(file)}:${line}: ${message} (${rule})\n`);
  const files = new Set(problems.map(({ file }) => file));
  const all = ids.length === 0 ? manifestLessons(manifest).length : ids.length;
  process.stdout.write(
    problems.length === 0
      ? `${all} passed, 0 failed\n`
      : `${problems.length} problems in ${files.size} files\n${Math.max(0, all - files.size)} passed, ${files.size} failed\n`,
  );
  return problems.length === 0 ? 0 : 1;
}

/** Lays lessons out; with `check` it only says which are not. */
export function format(entries: readonly ManifestLesson[], check: boolean): number {
  let changed = 0;
  for (const { path } of entries) {
    const text = readFileSync(path, 'utf8');
    const laidOut = formatLesson(text);
    if (laidOut === text) continue;
    changed++;
    if (!check) writeFileSync(path, laidOut);
    process.stdout.write(`${check ? 'not laid out' : 'laid out'}: ${shownPath(path)}\n`);
  }
  process.stdout.write(
    `${entries.length - changed} as they should be, ${changed} ${check ? 'not' : 'changed'}\n`,
  );
  return check && changed > 0 ? 1 : 0;
}

export function coverage(manifest: Manifest, json: string | undefined): number {
  const curriculum = loadCurriculum(manifest.root);
  const lessons = manifestLessons(manifest).flatMap(({ lesson }) => (lesson === undefined ? [] : [lesson]));
  const result = coverageOf(curriculum, lessons);
  if (json === '-') process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  else {
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(result, null, 2)}\n`);
    printTable(result);
  }
  return result.entries.every(isComplete) ? 0 : 1;
}

function printTable({ entries }: Coverage): void {
  const kinds: ItemKind[] = ['ask', 'fix', 'idea'];
  const rows = entries.map((entry) => [
    entry.id,
    ...kinds.map((kind) => {
      const { done, left, all } = countItems(entry, kind);
      return all === 0 ? '-' : `${done}/${all}${left > 0 ? ` (${left} left out)` : ''}`;
    }),
    entry.lessons.join(', ') || 'no lesson',
    isComplete(entry) ? '' : 'incomplete',
  ]);
  const head = ['id', 'asks', 'fixes', 'ideas', 'lesson', ''];
  const width = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (row: readonly string[]): string =>
    `${row
      .map((text, column) => text.padEnd(width[column]!))
      .join('  ')
      .trimEnd()}\n`;
  process.stdout.write(line(head));
  for (const row of rows) process.stdout.write(line(row));
  for (const entry of entries) {
    for (const { item, text, where, left } of entry.items) {
      if (where.length > 0) continue;
      process.stdout.write(
        left === undefined
          ? `missing: ${entry.id} ${item}: ${text}\n`
          : `left out: ${entry.id} ${item}: ${left}\n`,
      );
    }
  }
  const sum = (kind: ItemKind): string => {
    const counts = entries.map((entry) => countItems(entry, kind));
    return `${counts.reduce((n, { done }) => n + done, 0)} of ${counts.reduce((n, { all }) => n + all, 0)}`;
  };
  const complete = entries.filter(isComplete).length;
  process.stdout.write(
    `${complete} of ${entries.length} entries complete; asks ${sum('ask')}, fixes ${sum('fix')}, ideas ${sum('idea')}\n`,
  );
}
