import { ShardbookError } from '../../runtime/index.js';

/** The error for a lesson file that cannot be read: names the file and the line, as editors and CI annotate them. */
export function lessonProblem(file: string, line: number, problem: string, help?: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_LESSON_INVALID',
    message: `Cannot read the lesson at ${file}:${line}: ${problem}`,
    ...(help === undefined ? {} : { help }),
  });
}
