/**
 * The lesson of a notebook: what `notebook.ts` made, after somebody worked on it in a front end. A notebook that was not
 * touched gives the lesson's own bytes; in one that was, edited text and code are taken and the rest stays.
 */
import { ShardbookError } from '../../runtime/index.js';
import { formatLesson } from './format.js';
import type { Glossary } from './glossary.js';
import { readable } from './notebook.js';

/** What an import reads of a notebook. */
export interface ImportedNotebook {
  readonly metadata?: { readonly shardbook?: { readonly myst?: unknown } };
  readonly cells: readonly {
    readonly cell_type: string;
    readonly source: string | readonly string[];
    readonly metadata?: { readonly shardbook?: unknown };
  }[];
}

/** Blocks that are data and not text. */
const ELEMENT = /^`{3,}\{(?:question|task|pytorch)\}/;

interface CellWords {
  readonly myst?: unknown;
  readonly prediction?: unknown;
  readonly task?: unknown;
  readonly exercise?: unknown;
}

export function notebookToLesson(notebook: ImportedNotebook, glossary: Glossary = new Map()): string {
  const front = notebook.metadata?.shardbook?.myst;
  if (typeof front !== 'string')
    throw new ShardbookError({
      code: 'SB_LESSON_IMPORT',
      message: 'Cannot import the notebook: it was not built from a lesson',
      help: 'Make one with "shardbook lesson new", build it with "shardbook lesson build", and work on that',
    });
  const blocks: { text: string; isPlain: boolean }[] = [];
  for (const [index, cell] of notebook.cells.entries()) {
    const source = typeof cell.source === 'string' ? cell.source : cell.source.join('');
    const words = (cell.metadata?.shardbook ?? {}) as CellWords;
    if (cell.cell_type === 'markdown') {
      if (words.prediction === true) continue;
      const starter = editedStarter(words, notebook.cells[index + 1]);
      const text = markdownBlock(source, words, glossary, starter);
      blocks.push({ text, isPlain: !ELEMENT.test(text) });
    } else if (cell.cell_type === 'code') {
      const text = codeBlock(source, words);
      if (text !== undefined) blocks.push({ text, isPlain: false });
    }
  }
  const body = blocks.map(({ text, isPlain }, index) =>
    isPlain && blocks[index - 1]?.isPlain === true ? `+++\n\n${text}` : text,
  );
  return formatLesson(`---\n${front}\n---\n\n${body.join('\n\n')}\n`);
}

/** The block as it was written, unless its text was edited since. */
function markdownBlock(
  source: string,
  { myst }: CellWords,
  glossary: Glossary,
  starter: { old: string; now: string } | undefined,
): string {
  if (typeof myst !== 'string') return source;
  // Elements are data: their text in the notebook is only a picture of it.
  if (ELEMENT.test(myst)) return starter === undefined ? myst : myst.replace(starter.old, () => starter.now);
  return readable(myst, glossary) === source ? myst : withTerms(source, glossary);
}

function codeBlock(source: string, words: CellWords): string | undefined {
  if (typeof words.task === 'object' && words.task !== null) return undefined;
  if (typeof words.exercise === 'string')
    return typeof words.myst === 'string' ? words.myst : `\`\`\`{exercise} ${words.exercise}\n\`\`\``;
  const { predict, options, output } = (words.myst ?? {}) as Record<string, unknown>;
  const longest = Math.max(2, ...source.split('\n').map((line) => /^`+/.exec(line)?.[0].length ?? 0));
  const fence = '`'.repeat(longest + 1);
  const head = typeof options === 'string' ? `${options}\n` : '';
  return [
    ...(typeof predict === 'string' ? [predict] : []),
    `${fence}{code-cell} typescript\n${head}${source}\n${fence}`,
    ...(typeof output === 'string' ? [output] : []),
  ].join('\n\n');
}

/** The starter of a task that was worked on, when the cell below the task's text is its code. */
function editedStarter(
  { task }: CellWords,
  below: ImportedNotebook['cells'][number] | undefined,
): { old: string; now: string } | undefined {
  if (typeof task !== 'string' || below === undefined) return undefined;
  const own = (below.metadata?.shardbook as CellWords | undefined)?.task as
    | { name?: unknown; starter?: unknown }
    | undefined;
  if (own?.name !== task || typeof own.starter !== 'string') return undefined;
  const now = typeof below.source === 'string' ? below.source : below.source.join('');
  return { old: `starter\n${own.starter}\n`, now: `starter\n${now}\n` };
}

/** Abbreviations as the words of the glossary that they stand for. */
function withTerms(text: string, glossary: Glossary): string {
  return text.replace(/<abbr title="[^"]*">([^<]*)<\/abbr>/g, (whole, shown: string) => {
    if (glossary.has(shown.toLowerCase())) return `{term}\`${shown}\``;
    const term = [...glossary.keys()].find(
      (word) => readable(`{term}\`${shown} <${word}>\``, glossary) === whole,
    );
    return term === undefined ? shown : `{term}\`${shown} <${term}>\``;
  });
}
