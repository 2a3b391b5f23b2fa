/** How far a lesson is, from what the curriculum counts and what the learner did. */
import type { LessonProgress, LessonView } from '../server/index.js';

export interface Share {
  done: number;
  of: number;
  /** 0 to 100. */
  percent: number;
  state: 'new' | 'started' | 'complete';
  /** "3 of 9 cells run, 1 of 2 outputs predicted". */
  text: string;
}

export function shareOf(lesson: LessonView, own: LessonProgress | undefined, opened: boolean): Share {
  const count = (ids: readonly string[], has: (id: string) => boolean) => ids.filter(has).length;
  const run = count(lesson.cells, (id) => own?.run[id] !== undefined);
  const predicted = count(lesson.predictions, (id) => own?.predicted[id] !== undefined);
  const passed = count(lesson.exercises, (id) => own?.checked[id]?.passed === true);
  const answered = count(lesson.questions, (id) => own?.answered[id]?.right === true);
  const done = run + predicted + answered + passed;
  const of =
    lesson.cells.length + lesson.predictions.length + lesson.questions.length + lesson.exercises.length;
  const parts = [`${run} of ${lesson.cells.length} cells run`];
  if (lesson.predictions.length > 0)
    parts.push(`${predicted} of ${lesson.predictions.length} outputs predicted`);
  if (lesson.questions.length > 0) parts.push(`${answered} of ${lesson.questions.length} questions answered`);
  if (lesson.exercises.length > 0)
    parts.push(
      `${passed} of ${lesson.exercises.length} ${lesson.exercises.length === 1 ? 'task' : 'tasks'} passed`,
    );
  const complete = of > 0 && done === of;
  return {
    done,
    of,
    percent: of === 0 ? 0 : Math.floor((100 * done) / of),
    state: complete ? 'complete' : opened || done > 0 ? 'started' : 'new',
    text: parts.join(', '),
  };
}
