/** What the server shows of lessons and exercises: read anew each time, so that an author sees what was just written. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Exercise, Report } from '../../../grader/index.js';
import { makeFolder } from '../folders/index.js';
import {
  findLesson,
  type Glossary,
  type Lesson,
  lessonToNotebook,
  loadGlossary,
  loadManifest,
  type Manifest,
  manifestLessons,
  type Notebook,
  type NotebookCell,
} from '../lesson/index.js';
import type {
  CheckResult,
  CurriculumView,
  ExerciseProvider,
  LessonProvider,
  LessonView,
} from '../server/index.js';
import { packageRoot } from './paths.js';

/** Loaded when the first page asks: the server itself starts without it. */
const grader = () => import('../../../grader/index.js');

/** The lessons of `folder`, with the exercises below `exercises` that belong to them. */
export function lessonsIn(folder: string, exercises: string): LessonProvider {
  // Ready before the browser asks.
  setTimeout(() => void grader().catch(() => {}), 0);
  const open = (): { manifest: Manifest } | { problem: string } => {
    try {
      return { manifest: loadManifest(folder) };
    } catch (error) {
      return { problem: error instanceof Error ? error.message : String(error) };
    }
  };
  return {
    async curriculum(): Promise<CurriculumView> {
      const found = open();
      if ('problem' in found) return { layers: [], problems: [found.problem] };
      const tasks = await readExercises(exercises);
      const glossary = loadGlossary(folder);
      const problems = manifestLessons(found.manifest).flatMap(({ problem }) =>
        problem === undefined ? [] : [problem.message],
      );
      const layers = found.manifest.layers.map(({ layer, title, lessons }) => ({
        id: String(layer),
        title: title.replace(/^Layer \d+:\s*/i, '').replace(/^./, (first) => first.toUpperCase()),
        summary: '',
        lessons: lessons.flatMap(({ lesson }) => {
          if (lesson === undefined) return [];
          const { id, minutes, world, teaches, requires } = lesson;
          const counted = countedCells(notebookOf(lesson, tasks, glossary));
          return [
            { id, title: lesson.title, layer: String(layer), minutes, world, teaches, requires, ...counted },
          ];
        }),
      }));
      return { layers, problems };
    },
    async notebook(id: string): Promise<unknown | undefined> {
      const found = open();
      if ('problem' in found) return undefined;
      if (!manifestLessons(found.manifest).some((entry) => entry.id === id)) return undefined;
      const { lesson, problem } = findLesson(found.manifest, id);
      if (lesson === undefined) throw problem;
      return notebookOf(lesson, await readExercises(exercises), loadGlossary(folder));
    },
  };
}

interface Task {
  exercise: Exercise;
  text: string;
}

/** Exercises that cannot be read are the author's trouble (`shardbook exercise check`), not the learner's. */
async function readExercises(root: string): Promise<Task[]> {
  const { listExercises, loadExercise } = await grader();
  const folder = join(root, 'exercises');
  return listExercises(folder).flatMap((name) => {
    try {
      const exercise = loadExercise(join(folder, name));
      const task = join(exercise.folder, 'task.md');
      return [
        { exercise, text: existsSync(task) ? readFileSync(task, 'utf8').trim() : `# ${exercise.title}` },
      ];
    } catch {
      return [];
    }
  });
}

/** The lesson's notebook: starters in its exercise cells, and behind the last cell the exercises it does not place itself. */
function notebookOf(lesson: Lesson, tasks: readonly Task[], glossary: Glossary): Notebook {
  const notebook = lessonToNotebook(lesson, glossary);
  const placed = new Set<string>();
  notebook.cells = notebook.cells.flatMap((cell) => {
    const found = tasks.find(({ exercise }) => exercise.id === exerciseOf(cell));
    if (found === undefined) return [cell];
    placed.add(found.exercise.id);
    return exerciseCells(found, cell.id);
  });
  for (const task of tasks) {
    const { id, lesson: of } = task.exercise;
    if (of === lesson.id && !placed.has(id))
      notebook.cells.push(...exerciseCells(task, `exercise-${id}`.slice(0, 64)));
  }
  return notebook;
}

/** What to do, and the cell to do it in. */
function exerciseCells({ exercise, text }: Task, cellId: string): NotebookCell[] {
  return [
    { cell_type: 'markdown', id: `task-${exercise.id}`.slice(0, 64), metadata: {}, source: demoted(text) },
    {
      cell_type: 'code',
      id: cellId,
      metadata: { tags: ['raises-exception'], shardbook: { exercise: exercise.id } },
      source: exercise.starter.trimEnd(),
      execution_count: null,
      outputs: [],
    },
  ];
}

/** A task is a page of its own; in a lesson its headings stand one level lower. */
function demoted(markdown: string): string {
  let fenced = false;
  return markdown
    .split('\n')
    .map((line) => {
      if (/^\s*(```|~~~)/.test(line)) fenced = !fenced;
      return !fenced && /^#{1,5} /.test(line) ? `#${line}` : line;
    })
    .join('\n');
}

/** What progress is counted by. */
function countedCells({
  cells,
}: Notebook): Pick<LessonView, 'cells' | 'predictions' | 'questions' | 'exercises'> {
  const code = cells.filter(
    (cell) => cell.cell_type === 'code' && exerciseOf(cell) === undefined && taskOf(cell) === undefined,
  );
  return {
    cells: code.map(({ id }) => id),
    predictions: code.filter((cell) => own(cell)['predict'] !== undefined).map(({ id }) => id),
    questions: cells.filter((cell) => own(cell)['question'] !== undefined).map(({ id }) => id),
    exercises: cells.flatMap((cell) => exerciseOf(cell) ?? taskOf(cell) ?? []),
  };
}

function own(cell: NotebookCell): Record<string, unknown> {
  return (cell.metadata['shardbook'] ?? {}) as Record<string, unknown>;
}

/** The name under which a task's check is kept. */
function taskOf(cell: NotebookCell): string | undefined {
  const name = (own(cell)['task'] as { name?: unknown } | undefined)?.name;
  return typeof name === 'string' ? `task-${name}` : undefined;
}

function exerciseOf(cell: NotebookCell): string | undefined {
  const id = own(cell)['exercise'];
  return typeof id === 'string' ? id : undefined;
}

/** The grader's public side for the learner's work in `workspace`. */
export function exercisesIn(root: string, workspace: string, version: string): ExerciseProvider {
  /** One at a time: each starts as many processes as its largest world has ranks. */
  let turn: Promise<unknown> = Promise.resolve();
  const load = async (id: string): Promise<Exercise> => {
    const { loadExercise } = await grader();
    return loadExercise(join(root, 'exercises', id));
  };
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work, work);
    turn = result.catch(() => {});
    return result;
  };
  return {
    async lessonOf(id) {
      if (!existsSync(join(root, 'exercises', id))) return undefined;
      return (await load(id)).lesson ?? '';
    },
    check: (id, source) =>
      inTurn(async () => {
        const exercise = await load(id);
        const { checkWork } = await grader();
        // Not the file of `shardbook exercise start`: what was written there is not the page's to change.
        const folder = join(workspace, 'exercises', id);
        makeFolder(folder);
        const file = join(folder, `${id}.notebook.ts`);
        writeFileSync(file, source);
        const { report, hintsLeft } = await checkWork({
          exercise,
          workspace,
          packageRoot: packageRoot(),
          version,
          file,
        });
        return checkResult(report, hintsLeft);
      }),
    async hint(id) {
      const { nextHint } = await grader();
      return nextHint(await load(id), workspace);
    },
    async solution(id, reveal) {
      const { solutionText } = await grader();
      return solutionText(await load(id), workspace, reveal);
    },
  };
}

function checkResult(report: Report, hintsLeft: number): CheckResult {
  const { verdict, score, feedback, checks, types, notes, prints, milliseconds } = report;
  return {
    verdict,
    score,
    ...(feedback === undefined ? {} : { feedback }),
    checks: checks.map(({ visibility: _visibility, milliseconds: _milliseconds, ...check }) => check),
    types,
    notes,
    prints,
    milliseconds,
    hintsLeft,
  };
}
