/** Comments that say which items of the curriculum a passage covers: `<!-- covers: 0.1 ask-1 fix-2; 0.2 idea-1 -->`. */
import { lessonProblem } from './problem.js';
import type { CoverageMark } from './types.js';

const COMMENT = /<!--\s*covers:?\s([\s\S]*?)-->/g;
const ITEM = /^(ask|fix|idea)-([1-9]\d*)$/;

/** The marks below the first `skipped` lines. */
export function readMarks(text: string, skipped: number, file: string): CoverageMark[] {
  const from = text.split('\n').slice(0, skipped).join('\n').length;
  const marks: CoverageMark[] = [];
  for (const comment of text.slice(from).matchAll(COMMENT)) {
    const line = text.slice(0, from + comment.index).split('\n').length;
    for (const part of comment[1]!.split(';')) {
      const [id, ...items] = part.trim().split(/[\s,]+/);
      if (id === undefined || id === '' || items.length === 0)
        throw lessonProblem(
          file,
          line,
          'a mark that covers nothing',
          'Write <!-- covers: 0.1 ask-1 fix-2 -->',
        );
      for (const item of items) {
        const match = ITEM.exec(item);
        if (match === null)
          throw lessonProblem(file, line, `a mark of "${item}", wanted ask-N, fix-N or idea-N`);
        marks.push({ id, kind: match[1] as CoverageMark['kind'], number: Number(match[2]), line });
      }
    }
  }
  return marks;
}
