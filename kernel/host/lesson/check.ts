/** Runs a lesson's cells in a fresh session, in order, and compares what they put out with what the lesson says. */
import type { CellOutput, SessionApi } from '../session/index.js';
import { compareOutput } from './compare.js';
import { type ShownOutput, shownOutputs } from './outputs.js';
import { type CodeCell, type Lesson, RAISES_EXCEPTION, type TaskCell } from './types.js';

/** What a check needs of a session. */
export type LessonSession = Pick<SessionApi, 'execute' | 'interrupt' | 'shutdown'>;

export interface CellProblem {
  /** Line of the lesson file. */
  readonly line: number;
  readonly message: string;
  /** Lines that begin with "-" (expected), "+" (got) or " " (same). */
  readonly diff: readonly string[];
  /** The cell did what it had to, but put out something else than is stated. */
  readonly isOutput?: boolean;
}

export interface CellCheck {
  readonly cell: CodeCell | TaskCell;
  readonly problem: CellProblem | undefined;
  /** What a code cell put out. */
  readonly run?: CellRun;
  readonly milliseconds: number;
}

export interface CheckLessonOptions {
  readonly start: (world: number) => Promise<LessonSession>;
  readonly cellSeconds?: number;
  readonly onCell?: (check: CellCheck) => void;
}

/** Enough for the first cell on a busy machine, which waits for the compiler as well. */
const CELL_SECONDS = 180;

export async function checkLesson(lesson: Lesson, options: CheckLessonOptions): Promise<CellCheck[]> {
  const session = await options.start(lesson.world);
  const seconds = options.cellSeconds ?? CELL_SECONDS;
  try {
    const checks: CellCheck[] = [];
    for (const cell of lesson.cells) {
      if (cell.kind !== 'code' && cell.kind !== 'task') continue;
      const started = performance.now();
      let judged: Pick<CellCheck, 'problem' | 'run'>;
      if (cell.kind === 'task') judged = { problem: await checkTask(session, cell, seconds) };
      else {
        const run = await runCell(session, cell.source, seconds);
        judged = { problem: judgeCell(cell, run), run };
      }
      const check = { cell, ...judged, milliseconds: performance.now() - started };
      checks.push(check);
      options.onCell?.(check);
    }
    return checks;
  } finally {
    await session.shutdown();
  }
}

/** The check refuses the starter and takes the solution. */
async function checkTask(
  session: LessonSession,
  task: TaskCell,
  seconds: number,
): Promise<CellProblem | undefined> {
  const problem = (line: number, message: string, run: CellRun): CellProblem => ({
    line,
    message: run.timedOut ? 'the task did not end in time and was interrupted' : message,
    diff: gotLines(run.text),
  });
  const started = await runCell(session, task.starter, seconds);
  const refused = started.failed ? started : await runCell(session, task.check, seconds);
  if (refused.timedOut || !refused.failed)
    return problem(task.checkLine, `the check of task "${task.name}" takes the starter`, refused);
  const solved = await runCell(session, task.solution, seconds);
  if (solved.failed || solved.timedOut)
    return problem(task.solutionLine, `the solution of task "${task.name}" failed`, solved);
  const taken = await runCell(session, task.check, seconds);
  if (taken.failed || taken.timedOut)
    return problem(task.checkLine, `the check of task "${task.name}" refuses the solution`, taken);
  return undefined;
}

/** The outputs of every code cell, without judging them. */
export async function runLesson(
  lesson: Lesson,
  options: Pick<CheckLessonOptions, 'start' | 'cellSeconds'>,
): Promise<Map<number, readonly CellOutput[]>> {
  const session = await options.start(lesson.world);
  try {
    const outputs = new Map<number, readonly CellOutput[]>();
    for (const cell of lesson.cells) {
      if (cell.kind !== 'code') continue;
      outputs.set(
        cell.index,
        (await runCell(session, cell.source, options.cellSeconds ?? CELL_SECONDS)).outputs,
      );
    }
    return outputs;
  } finally {
    await session.shutdown();
  }
}

export interface CellRun {
  readonly text: string;
  readonly outputs: readonly CellOutput[];
  readonly failed: boolean;
  readonly timedOut: boolean;
}

async function runCell(session: LessonSession, source: string, seconds: number): Promise<CellRun> {
  const outputs: CellOutput[] = [];
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    void session.interrupt();
  }, seconds * 1000);
  try {
    const { status, error } = await session.execute(source, {
      onOutput: (output) => outputs.push(output),
    });
    const shown = outputs.some(({ type }) => type === 'error');
    if (error !== undefined && !shown) outputs.push({ type: 'error', ...error, ranks: [] });
    return { text: outputText(outputs), outputs, failed: status === 'error', timedOut };
  } finally {
    clearTimeout(timer);
  }
}

/** What a cell must do, against what it did. */
function judgeCell(cell: CodeCell, run: CellRun): CellProblem | undefined {
  const mustFail = cell.tags.includes(RAISES_EXCEPTION);
  const got = gotLines(run.text);
  if (run.timedOut)
    return { line: cell.line, message: 'the cell did not end in time and was interrupted', diff: got };
  if (run.failed && !mustFail) return { line: cell.line, message: 'the cell failed', diff: got };
  if (!run.failed && mustFail) {
    return { line: cell.line, message: `the cell ran, but it is tagged ${RAISES_EXCEPTION}`, diff: got };
  }
  if (cell.output === undefined) return undefined;
  const { text, line, tolerance } = cell.output;
  const mismatch = compareOutput(text, run.text, tolerance);
  if (mismatch === undefined) return undefined;
  return {
    line: line + mismatch.expectedLine,
    message: 'the output differs from what the lesson says',
    diff: mismatch.diff,
    isOutput: true,
  };
}

function gotLines(text: string): string[] {
  return text
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `+ ${line}`);
}

/** The outputs of a cell as the text that an `{output}` block describes. */
export function outputText(outputs: readonly CellOutput[]): string {
  return shownOutputs(outputs).map(shownText).join('');
}

function shownText(output: ShownOutput): string {
  if (output.type === 'text') return output.text;
  if (output.type === 'error') return `${output.traceback}\n`;
  const plain = output.data['text/plain'];
  return `${typeof plain === 'string' ? plain : Object.keys(output.data).join(', ')}\n`;
}
