/** The fenced blocks of a MyST text that mean something to a lesson: their names, options, bodies and lines. */
import MarkdownIt from 'markdown-it';
import { nearestName } from '../../runtime/index.js';
import { ADMONITIONS } from './admonitions.js';
import { lessonProblem } from './problem.js';

/** Fences that MyST knows and that stay text in a notebook; anything else in braces is a typing error. */
const TEXT_DIRECTIVES = [
  ...ADMONITIONS,
  'admonition',
  'dropdown',
  'figure',
  'image',
  'math',
  'mermaid',
  'glossary',
];
const CELL_DIRECTIVES = ['code-cell', 'output', 'predict', 'exercise', 'question', 'task', 'pytorch'];
const DIRECTIVE = /^\{([^}]*)\}\s*(.*)$/;
/** Elements whose hints and explanations are folded away; below their text these would stand in the open. */
const ANSWERED = ['predict', 'question', 'task'];
const OPTION = /^:([A-Za-z-]+):\s*(.*)$/;

export interface FenceOption {
  readonly name: string;
  readonly value: string;
  /** 1-based line of the file. */
  readonly line: number;
}

export interface Fence {
  readonly name: string;
  readonly argument: string;
  readonly options: readonly FenceOption[];
  /** Body without option lines. */
  readonly body: string;
  /** The block as it stands in the file. */
  readonly myst: string;
  /** 1-based lines: of the opening fence, of the first body line, and the line after the closing fence. */
  readonly line: number;
  readonly bodyLine: number;
  readonly nextLine: number;
}

/** The directives below the first `skipped` lines that make cells; throws for unknown and unclosed ones. */
export function readFences(lines: readonly string[], skipped: number, file: string): Fence[] {
  const tokens = new MarkdownIt().parse(lines.slice(skipped).join('\n'), {});
  const fences: Fence[] = [];
  for (const token of tokens) {
    if (token.type !== 'fence' || token.map === null) continue;
    const line = skipped + token.map[0] + 1;
    const nextLine = skipped + token.map[1] + 1;
    const directive = DIRECTIVE.exec(token.info.trim());
    // markdown-it closes an open fence at the end of the file without a word: everything below would be code.
    const closed = (lines[nextLine - 2] ?? '').trim().startsWith(token.markup) && nextLine - 1 > line;
    if (!closed)
      throw lessonProblem(
        file,
        line,
        'the block that begins here is never closed',
        `Close it with ${token.markup}`,
      );
    if (directive === null) continue;
    const name = directive[1]!.trim();
    if (!CELL_DIRECTIVES.includes(name)) {
      if (TEXT_DIRECTIVES.includes(name)) continue;
      const near = nearestName(name, [...CELL_DIRECTIVES, ...TEXT_DIRECTIVES]);
      throw lessonProblem(file, line, `unknown directive "{${name}}"`, near && `Did you mean "{${near}}"?`);
    }
    if (token.level > 0)
      throw lessonProblem(
        file,
        line,
        `"{${name}}" stands inside a list or a quotation`,
        'Move it to the left margin',
      );
    const options = readOptions(token.content, line);
    const body = token.content.split('\n').slice(options.length).join('\n').replace(/\n$/, '');
    const bodyLine = line + 1 + options.length;
    const myst = lines.slice(line - 1, nextLine - 1).join('\n');
    fences.push({ name, argument: directive[2]!.trim(), options, body, myst, line, bodyLine, nextLine });
  }
  return fences;
}

function readOptions(content: string, fenceLine: number): FenceOption[] {
  const options: FenceOption[] = [];
  for (const text of content.split('\n')) {
    const option = OPTION.exec(text);
    if (option === null) break;
    options.push({
      name: option[1]!,
      value: option[2]!.trim(),
      line: fenceLine + options.length + 1,
    });
  }
  return options;
}

/** The option `name`, which may stand once. */
export function optionOf(fence: Fence, name: string): FenceOption | undefined {
  return fence.options.find((option) => option.name === name);
}

/** Refuses options that the directive does not take, and second ones of those that are not in `repeatable`. */
export function refuseOptions(
  fence: Fence,
  known: readonly string[],
  file: string,
  repeatable: readonly string[] = [],
): void {
  const seen = new Set<string>();
  for (const { name, line } of fence.options) {
    if (!known.includes(name)) {
      const taken =
        known.length === 0 ? 'It takes none' : `It takes ${known.map((k) => `:${k}:`).join(', ')}`;
      throw lessonProblem(file, line, `unknown option ":${name}:" of "{${fence.name}}"`, taken);
    }
    if (seen.has(name) && !repeatable.includes(name))
      throw lessonProblem(file, line, `a second ":${name}:" in "{${fence.name}}"`);
    seen.add(name);
  }
  if (!ANSWERED.includes(fence.name)) return;
  const lines = fence.body.split('\n');
  const inner = lines.findIndex((line) => line.startsWith('```'));
  for (const [index, line] of lines.slice(0, inner < 0 ? undefined : inner).entries()) {
    const name = OPTION.exec(line)?.[1];
    if (name === undefined || !known.includes(name)) continue;
    throw lessonProblem(
      file,
      fence.bodyLine + index,
      `":${name}:" of "{${fence.name}}" stands below text, and would be shown as text`,
      'Put options first, one per line',
    );
  }
}
