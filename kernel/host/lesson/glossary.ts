/** The words of a course: headings of `glossary.md` with the text below them, and the roles in lessons that name them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { escapeHtml } from '../../runtime/base/index.js';

export const GLOSSARY_FILE = 'glossary.md';
/** By the word in lower case: its definition as one line of plain text. */
export type Glossary = ReadonlyMap<string, string>;

export interface TermRole {
  /** What the reader sees. */
  readonly shown: string;
  /** The word of the glossary. */
  readonly term: string;
  /** Position in the text, and length of the role. */
  readonly index: number;
  readonly length: number;
}

const HEADING = /^##\s+(.+?)\s*$/;
const ROLE = /\{term\}`([^`<]*?)(?:\s*<([^`>]+)>)?`/g;

/** The glossary of a folder of lessons; empty where there is none. */
export function loadGlossary(root: string): Glossary {
  const file = join(root, GLOSSARY_FILE);
  return existsSync(file) ? parseGlossary(readFileSync(file, 'utf8')) : new Map();
}

export function parseGlossary(text: string): Glossary {
  const words = new Map<string, string>();
  let current: string | undefined;
  for (const line of text.split(/\r?\n/)) {
    const heading = HEADING.exec(line);
    if (heading !== null) {
      current = heading[1]!.replace(/`/g, '').toLowerCase();
      words.set(current, '');
    } else if (current !== undefined && line.trim() !== '') {
      words.set(current, `${words.get(current)!} ${plainLine(line)}`.trim());
    }
  }
  return words;
}

/** The roles `{term}` of a text, but for those in listings. */
export function termRoles(text: string): TermRole[] {
  const hidden = text.replace(/^(`{3,}|~{3,})[\s\S]*?^\1/gm, (listing) => ' '.repeat(listing.length));
  return [...hidden.matchAll(ROLE)].map((match) => ({
    shown: match[1]!,
    term: (match[2] ?? match[1]!).trim().toLowerCase(),
    index: match.index,
    length: match[0].length,
  }));
}

/** Roles as abbreviations, whose definition every front end shows. */
export function plainTerms(text: string, glossary: Glossary): string {
  let out = '';
  let at = 0;
  for (const { shown, term, index, length } of termRoles(text)) {
    const definition = glossary.get(term);
    out += text.slice(at, index);
    out += definition === undefined ? shown : `<abbr title="${escapeHtml(definition)}">${shown}</abbr>`;
    at = index + length;
  }
  return out + text.slice(at);
}

function plainLine(line: string): string {
  return line
    .replace(ROLE, '$1')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/[`*_]/g, '')
    .trim();
}
