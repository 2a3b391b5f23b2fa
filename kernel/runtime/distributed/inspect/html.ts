/**
 * Static HTML with inline styles: no script, no class, no colour that assumes a light or a dark page (filled cells bring their
 * own text colour, all else inherits). Tables keep their meaning when a notebook's sanitiser takes the rest away.
 */
import { escapeHtml } from '../../base/index.js';

/** Markup that needs no more escaping. */
export class Markup {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text;
  }
}

export type Content = Markup | string | number | readonly Content[] | null;

function flat(content: Content): string {
  if (content === null) return '';
  if (content instanceof Markup) return content.text;
  if (typeof content === 'string' || typeof content === 'number') return escapeHtml(String(content));
  return content.map(flat).join('');
}

export interface Attributes {
  readonly [name: string]: string | number | undefined;
}

/** `el('td', { style: 'padding:2px' }, 'text')`; texts and attribute values are escaped. */
export function el(tag: string, attributes: Attributes, ...content: Content[]): Markup {
  const parts = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}="${escapeHtml(String(value))}"`);
  return new Markup(`<${tag}${parts.join('')}>${flat(content)}</${tag}>`);
}

/** Backgrounds on which dark text reads well, on any page. */
const FILLS = [
  '#a8c7fa',
  '#ffcc8a',
  '#a5dba9',
  '#f2b3d4',
  '#cdb9f5',
  '#9fdde0',
  '#e6d27a',
  '#f4aba4',
] as const;
const INK = '#1a1a1a';
export const LINE = '#8a8a8a';

/** The style of the `index`-th colour. */
export function fill(index: number): string {
  return `background-color:${FILLS[index % FILLS.length]!};color:${INK};`;
}

const CELL = `border:1px solid ${LINE};padding:4px 6px;text-align:center;vertical-align:middle;`;

export function table(caption: Content, rows: readonly Markup[], style = ''): Markup {
  return el(
    'table',
    { style: `border-collapse:collapse;margin:4px 0;color:inherit;${style}` },
    el('caption', { style: 'text-align:left;padding:2px 0;caption-side:top;' }, caption),
    el('tbody', {}, rows),
  );
}

export const row = (...cells: Markup[]): Markup => el('tr', {}, cells);

export function head(content: Content, scope: 'col' | 'row' = 'col'): Markup {
  return el('th', { scope, style: `${CELL}font-weight:600;` }, content);
}

export function cell(content: Content, style = '', title?: string): Markup {
  return el('td', { style: CELL + style, title }, content);
}

export const bold = (content: Content): Markup => el('b', {}, content);
export const code = (content: Content): Markup => el('code', {}, content);
export const line = (content: Content): Markup => el('div', {}, content);

/** The frame of every picture: what it shows in one sentence, then the picture. */
export function figure(title: string, ...content: Content[]): string {
  return el('div', { role: 'group', 'aria-label': title, title, style: 'overflow-x:auto;' }, content).text;
}

/** A grid of header, rows of texts: for reports. Numbers are right-aligned by the caller's `styles`. */
export function textTable(
  caption: Content,
  headers: readonly string[],
  rows: readonly (readonly Content[])[],
): Markup {
  return table(caption, [
    row(...headers.map((text) => head(text))),
    ...rows.map((cells) =>
      row(...cells.map((content, i) => (i === 0 ? head(content, 'row') : cell(content, 'text-align:left;')))),
    ),
  ]);
}
