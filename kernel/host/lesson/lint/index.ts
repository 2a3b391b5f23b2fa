/** A strict reading of lessons: everything that can be said without running them. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { nearestName } from '../../../runtime/index.js';
import { coverageOf, isComplete } from '../coverage.js';
import { type CurriculumEntry, itemsOf, loadCurriculum } from '../curriculum.js';
import { formatLesson } from '../format.js';
import { loadGlossary } from '../glossary.js';
import { type Manifest, type ManifestLesson, manifestLessons } from '../manifest.js';
import { type CheckRecord, RECORD_FILE, readRecord, twinsHash } from '../pytorch/record.js';
import { codeCells, type Lesson } from '../types.js';
import type { LintProblem } from './problem.js';
import { lintReferences, loadSources, type ReferenceContext } from './references.js';
import { lintCells, lintShape } from './shape.js';

/** Problems of the lessons `ids` (default all), and of what the whole folder must hold. */
export function lintLessons(manifest: Manifest, ids: readonly string[] = []): LintProblem[] {
  const entries = manifestLessons(manifest);
  const lessons = entries.flatMap(({ lesson }) => (lesson === undefined ? [] : [lesson]));
  const curriculum = loadCurriculum(manifest.root);
  const { sources, problems } = loadSources(manifest.root);
  const context: ReferenceContext = {
    root: manifest.root,
    glossary: loadGlossary(manifest.root),
    sources,
    exercises: exercisesBeside(manifest.root),
  };
  const record = readRecord(manifest.root);
  for (const entry of entries) {
    if (ids.length > 0 && !ids.includes(entry.id)) continue;
    problems.push(...lintOne(entry, context));
    if (entry.lesson !== undefined && record !== undefined)
      problems.push(...lintRecord(entry.lesson, record));
    if (entry.lesson !== undefined && curriculum.length > 0)
      problems.push(
        ...lintMarks(entry.lesson, curriculum),
        ...lintCovered(entry.lesson, curriculum, lessons),
      );
  }
  if (ids.length === 0) problems.push(...lintUncovered(curriculum, lessons));
  return problems;
}

function lintOne(entry: ManifestLesson, context: ReferenceContext): LintProblem[] {
  if (entry.lesson === undefined) {
    const message = entry.problem?.message ?? 'cannot be read';
    const placed = /^Cannot read the lesson at (.*?):(\d+): ([\s\S]*)$/.exec(message);
    if (!placed) return [{ file: entry.file, line: 1, rule: 'readable', message }];
    const [, file, line, problem] = placed as unknown as [string, string, string, string];
    return [{ file, line: Number(line), rule: 'readable', message: problem }];
  }
  const text = readFileSync(entry.path, 'utf8');
  const layout =
    formatLesson(text) === text
      ? []
      : [
          {
            file: entry.lesson.file,
            line: 1,
            rule: 'layout',
            message: `not laid out: shardbook lesson fmt ${entry.id}`,
          },
        ];
  return [
    ...lintShape(entry.lesson),
    ...lintCells(entry.lesson),
    ...lintReferences(entry.lesson, entry.path, context),
    ...layout,
  ];
}

/** Where a comparison with PyTorch is kept, it is of these twins, and they passed. */
function lintRecord(lesson: Lesson, record: CheckRecord): LintProblem[] {
  if (!codeCells(lesson).some(({ twin }) => twin !== undefined)) return [];
  const own = record[lesson.id];
  const message =
    own === undefined
      ? 'its twins were not run'
      : own.hash !== twinsHash(lesson)
        ? 'its twins or their outputs have changed since they were run'
        : own.passed < own.twins
          ? `${own.twins - own.passed} of its twins did not pass`
          : undefined;
  if (message === undefined) return [];
  const help = `shardbook lesson check --pytorch --record ${lesson.id}`;
  return [{ file: lesson.file, line: 1, rule: 'pytorch', message: `${RECORD_FILE}: ${message} (${help})` }];
}

/** Ids and marks name what the curriculum has, and marks only what the front matter covers. */
function lintMarks(lesson: Lesson, curriculum: readonly CurriculumEntry[]): LintProblem[] {
  const problems: LintProblem[] = [];
  const ids = curriculum.map(({ id }) => id);
  const unknown = (id: string): string => {
    const near = nearestName(id, ids);
    return `the curriculum has no "${id}"${near === undefined ? '' : `, did you mean "${near}"`}`;
  };
  for (const id of lesson.covers)
    if (!ids.includes(id))
      problems.push({ file: lesson.file, line: 1, rule: 'covers', message: unknown(id) });
  for (const { id, kind, number, line } of lesson.marks) {
    const entry = curriculum.find((candidate) => candidate.id === id);
    const item = `${kind}-${number}`;
    const message =
      entry === undefined
        ? unknown(id)
        : !lesson.covers.includes(id)
          ? `a mark of "${id}", which the front matter does not cover`
          : !itemsOf(entry).includes(item)
            ? `"${id}" has no ${item}`
            : kind === 'idea' && !isRunBelow(lesson, line)
              ? `${item} of "${id}" is marked where no checked cell follows`
              : undefined;
    if (message !== undefined) problems.push({ file: lesson.file, line, rule: 'covers', message });
  }
  return problems;
}

/** Whether a cell whose output is stated, a task or an exercise follows the text in which line `line` stands. */
function isRunBelow(lesson: Lesson, line: number): boolean {
  const next = lesson.cells.find(
    (cell) => cell.line > line && (cell.kind === 'code' || cell.kind === 'task' || cell.kind === 'exercise'),
  );
  return next !== undefined && (next.kind !== 'code' || next.output !== undefined);
}

function lintCovered(
  lesson: Lesson,
  curriculum: readonly CurriculumEntry[],
  lessons: readonly Lesson[],
): LintProblem[] {
  const own = curriculum.filter(({ id }) => lesson.covers.includes(id));
  return coverageOf(own, lessons).entries.flatMap((entry) => {
    const say = (message: string): LintProblem => ({ file: lesson.file, line: 1, rule: 'coverage', message });
    const others = entry.lessons.filter((id) => id !== lesson.id);
    return [
      ...(others.length > 0 ? [say(`"${entry.id}" is covered by "${others[0]}", too`)] : []),
      ...entry.items
        .filter(({ where, left }) => where.length === 0 && left === undefined)
        .map(({ item, text }) => say(`${item} of "${entry.id}" is not marked: ${text}`)),
    ];
  });
}

function lintUncovered(curriculum: readonly CurriculumEntry[], lessons: readonly Lesson[]): LintProblem[] {
  return coverageOf(curriculum, lessons)
    .entries.filter((entry) => !isComplete(entry) && entry.lessons.length === 0)
    .map(({ id, title }) => {
      const { file, line } = curriculum.find((entry) => entry.id === id)!;
      return { file, line, rule: 'coverage', message: `no lesson covers "${id}" (${title})` };
    });
}

/** The exercises of the project that the lessons are part of. */
function exercisesBeside(root: string): string[] | undefined {
  const folder = join(root, '..', 'exercises');
  if (!existsSync(folder)) return undefined;
  return readdirSync(folder).filter((name) => statSync(join(folder, name)).isDirectory());
}
