/** The text of a lesson as Markdown tokens, with the lines of the file: what links, pictures and formulas are read from. */
import MarkdownIt from 'markdown-it';
import type { Lesson } from '../types.js';

/** A piece of Markdown and the line of the file it begins on. */
export interface Passage {
  readonly text: string;
  readonly line: number;
}

export interface Link {
  readonly target: string;
  readonly line: number;
  readonly isImage: boolean;
  /** Text of the link, or alternative text of the picture. */
  readonly text: string;
}

/** All Markdown of a lesson that readers see. */
export function passages(lesson: Lesson): Passage[] {
  return lesson.cells.flatMap((cell): Passage[] => {
    switch (cell.kind) {
      case 'text':
        return [{ text: cell.text, line: cell.line }];
      case 'question':
        return [cell.question, cell.explain, ...cell.hints].map((text) => ({ text, line: cell.line }));
      case 'task':
        return [cell.text, ...cell.hints].map((text) => ({ text, line: cell.line }));
      case 'code':
        return cell.predict?.explain === undefined ? [] : [{ text: cell.predict.explain, line: cell.line }];
      default:
        return [];
    }
  });
}

/** Links and pictures of a passage. */
export function linksOf({ text, line }: Passage): Link[] {
  const links: Link[] = [];
  for (const block of new MarkdownIt({ html: true }).parse(text, {})) {
    if (block.type !== 'inline') continue;
    const at = line + (block.map?.[0] ?? 0);
    let open: { target: string; text: string } | undefined;
    for (const token of block.children ?? []) {
      if (token.type === 'link_open') open = { target: String(token.attrGet('href') ?? ''), text: '' };
      else if (token.type === 'link_close' && open !== undefined) {
        links.push({ ...open, line: at, isImage: false });
        open = undefined;
      } else if (token.type === 'image')
        links.push({
          target: String(token.attrGet('src') ?? ''),
          text: token.content,
          line: at,
          isImage: true,
        });
      else if (open !== undefined) open.text += token.content;
    }
  }
  return links;
}

/** The text without listings and inline code, line by line as it was. */
export function withoutCode(text: string): string {
  const blank = (part: string): string => part.replace(/[^\n]/g, ' ');
  return text.replace(/^(`{3,}|~{3,})[\s\S]*?^\1[ \t]*$/gm, blank).replace(/(`+)[^`][\s\S]*?\1/g, blank);
}

export interface Heading {
  readonly level: number;
  readonly text: string;
  readonly line: number;
}

export function headingsOf({ text, line }: Passage): Heading[] {
  const tokens = new MarkdownIt().parse(text, {});
  return tokens.flatMap((token, index) =>
    token.type === 'heading_open'
      ? [
          {
            level: Number(token.tag.slice(1)),
            text: tokens[index + 1]!.content,
            line: line + (token.map?.[0] ?? 0),
          },
        ]
      : [],
  );
}

/** The name that GitHub gives a heading in links. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[`*_]|\{term\}/g, '')
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-');
}
