/**
 * How far the learner is, in `WORKSPACE/progress.json`: which cells of a lesson ran, which outputs were predicted, which
 * questions were answered, which tasks and exercises were checked. Written whole, one change after the other; a file that cannot be read is put aside, never lost.
 */
import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { HttpError } from './http-error.js';
import { resolveInside } from './paths.js';

const PROGRESS_FILE = 'progress.json';
const FORMAT = 'shardbook.progress/1';
/** Beyond this it is no lesson. */
const MOST_CELLS = 1000;
const NAME = /^[A-Za-z0-9][\w-]{0,79}$/;

export interface Prediction {
  at: string;
  /** Said by the choices, or by the learner. */
  right?: boolean;
}

export interface CheckedExercise {
  at: string;
  verdict: string;
  earned: number;
  possible: number;
  /** It passed once, whatever came after. */
  passed: boolean;
}

export interface LessonProgress {
  first: string;
  last: string;
  /** Ids of cells that ran to their end without an error, or with the one they were to show. */
  run: Record<string, string>;
  predicted: Record<string, Prediction>;
  /** Questions, by their cells. */
  answered: Record<string, Prediction>;
  /** Exercises by their ids, tasks of the lesson as `task-NAME`. */
  checked: Record<string, CheckedExercise>;
}

export interface ProgressView {
  format: typeof FORMAT;
  lessons: Record<string, LessonProgress>;
}

/** What a front end may say. */
export interface ProgressChange {
  run?: string[];
  predicted?: { cell: string; right?: boolean };
  answered?: { cell: string; right: boolean };
  task?: { name: string; passed: boolean };
}

export class ProgressFile {
  #queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly root: string) {}

  /** All there is, and what is wrong with the file. */
  read(): Promise<{ progress: ProgressView; problem?: string }> {
    return this.#next(() => this.#read());
  }

  change(lesson: string, change: ProgressChange): Promise<LessonProgress> {
    return this.#edit(lesson, (own, now) => {
      for (const cell of change.run ?? []) own.run[cell] ??= now;
      const { predicted, answered, task } = change;
      if (predicted !== undefined)
        own.predicted[predicted.cell] = {
          at: own.predicted[predicted.cell]?.at ?? now,
          ...(predicted.right === undefined ? {} : { right: predicted.right }),
        };
      if (answered !== undefined) {
        const before = own.answered[answered.cell];
        // Answered once stays answered, whatever is tried later.
        own.answered[answered.cell] = { at: now, right: answered.right || before?.right === true };
      }
      if (task !== undefined) noteCheck(own, `task-${task.name}`, now, taskResult(task.passed));
    });
  }

  checked(lesson: string, exercise: string, result: CheckOutcome): Promise<LessonProgress> {
    return this.#edit(lesson, (own, at) => {
      noteCheck(own, exercise, at, result);
    });
  }

  /** A lesson that begins again: what was checked stays. */
  restart(lesson: string): Promise<LessonProgress> {
    return this.#edit(lesson, (own) => {
      own.run = {};
      own.predicted = {};
      own.answered = {};
    });
  }

  #edit(lesson: string, edit: (own: LessonProgress, now: string) => void): Promise<LessonProgress> {
    return this.#next(async () => {
      const { progress, readOnly } = await this.#read();
      const now = new Date().toISOString();
      const own = progress.lessons[lesson] ?? {
        first: now,
        last: now,
        run: {},
        predicted: {},
        answered: {},
        checked: {},
      };
      edit(own, now);
      if (
        Math.max(
          ...[own.run, own.predicted, own.answered, own.checked].map((part) => Object.keys(part).length),
        ) > MOST_CELLS
      )
        throw new HttpError(400, 'SB_BAD_BODY', `Cannot keep progress: more than ${MOST_CELLS} cells`);
      own.last = now;
      progress.lessons[lesson] = own;
      if (!readOnly) await this.#write(progress);
      return own;
    });
  }

  async #read(): Promise<{ progress: ProgressView; problem?: string; readOnly?: boolean }> {
    const file = await resolveInside(this.root, PROGRESS_FILE);
    const fresh: ProgressView = {
      format: FORMAT,
      lessons: Object.create(null) as Record<string, LessonProgress>,
    };
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch {
      return { progress: fresh };
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    const format = (value as { format?: unknown } | undefined)?.format;
    if (typeof format === 'string' && /^shardbook\.progress\/\d+$/.test(format) && format !== FORMAT) {
      const problem = `${PROGRESS_FILE} is of another version of Shardbook (${format}): progress is not kept`;
      return { progress: fresh, problem, readOnly: true };
    }
    const lessons = (value as { lessons?: unknown } | undefined)?.lessons;
    if (format === FORMAT && typeof lessons === 'object' && lessons !== null) {
      for (const [id, own] of Object.entries(lessons)) if (NAME.test(id)) fresh.lessons[id] = cleaned(own);
      return { progress: fresh };
    }
    const aside = `progress.unreadable-${Date.now()}.json`;
    await rename(file, await resolveInside(this.root, aside)).catch(() => {});
    return { progress: fresh, problem: `${PROGRESS_FILE} could not be read; it is kept as ${aside}` };
  }

  async #write(progress: ProgressView): Promise<void> {
    const file = await resolveInside(this.root, PROGRESS_FILE);
    const temporary = await resolveInside(this.root, `progress.${randomBytes(6).toString('hex')}.tmp`);
    try {
      await writeFile(temporary, `${JSON.stringify(progress, undefined, 1)}\n`);
      await rename(temporary, file);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work);
    this.#queue = result.catch(() => {});
    return result;
  }
}

interface CheckOutcome {
  verdict: string;
  earned: number;
  possible: number;
}

function taskResult(passed: boolean): CheckOutcome {
  return { verdict: passed ? 'pass' : 'fail', earned: passed ? 1 : 0, possible: 1 };
}

/** Passed once stays passed. */
function noteCheck(own: LessonProgress, name: string, at: string, result: CheckOutcome): void {
  const passed = result.verdict === 'pass' || own.checked[name]?.passed === true;
  own.checked[name] = { at, ...result, passed };
}

/** A learner may have edited the file: what does not fit is left out. */
function cleaned(value: unknown): LessonProgress {
  const { first, last, run, predicted, answered, checked } = (value ?? {}) as Record<string, unknown>;
  const entries = <T>(part: unknown, fits: (value: unknown) => value is T): Record<string, T> =>
    Object.fromEntries(
      Object.entries(typeof part === 'object' && part !== null ? part : {}).filter(
        (entry): entry is [string, T] => NAME.test(entry[0]) && fits(entry[1]),
      ),
    );
  const isText = (value: unknown): value is string => typeof value === 'string';
  const has = (value: unknown, keys: Record<string, string>): boolean =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(keys).every(([key, type]) => typeof (value as Record<string, unknown>)[key] === type);
  return {
    first: isText(first) ? first : '',
    last: isText(last) ? last : '',
    run: entries(run, isText),
    predicted: entries(predicted, (v): v is Prediction => has(v, { at: 'string' })),
    answered: entries(answered, (v): v is Prediction => has(v, { at: 'string' })),
    checked: entries(checked, (v): v is CheckedExercise =>
      has(v, { at: 'string', verdict: 'string', earned: 'number', possible: 'number', passed: 'boolean' }),
    ),
  };
}

/** What a request says, or an error that says what is wrong with it. */
export function progressChange(body: Record<string, unknown>): ProgressChange {
  const change: ProgressChange = {};
  const { run, predicted, answered, task } = body;
  if (run !== undefined) {
    if (!Array.isArray(run) || run.length > MOST_CELLS || !run.every(isName))
      throw wrong('run', 'a list of cell ids');
    change.run = run;
  }
  if (predicted !== undefined) {
    const { cell, right } = (predicted ?? {}) as { cell?: unknown; right?: unknown };
    if (!isName(cell) || !(right === undefined || typeof right === 'boolean'))
      throw wrong('predicted', '{ cell, right? }');
    change.predicted = { cell, ...(right === undefined ? {} : { right }) };
  }
  if (answered !== undefined) {
    const { cell, right } = (answered ?? {}) as { cell?: unknown; right?: unknown };
    if (!isName(cell) || typeof right !== 'boolean') throw wrong('answered', '{ cell, right }');
    change.answered = { cell, right };
  }
  if (task !== undefined) {
    const { name, passed } = (task ?? {}) as { name?: unknown; passed?: unknown };
    if (!isName(name) || name.length > 70 || typeof passed !== 'boolean')
      throw wrong('task', '{ name, passed }');
    change.task = { name, passed };
  }
  return change;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value);
}

function wrong(key: string, wanted: string): HttpError {
  return new HttpError(400, 'SB_BAD_BODY', `Cannot keep progress: "${key}" is not ${wanted}`);
}
