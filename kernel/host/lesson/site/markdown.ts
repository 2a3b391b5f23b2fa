/** Lesson Markdown as HTML: formulas, highlighted listings, headings with names, words, admonitions, links between pages. */
import hljs from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import json from 'highlight.js/lib/languages/json';
import python from 'highlight.js/lib/languages/python';
import typescript from 'highlight.js/lib/languages/typescript';
import yaml from 'highlight.js/lib/languages/yaml';
import MarkdownIt from 'markdown-it';
import { escapeHtml } from '../../../runtime/base/index.js';
import { ADMONITIONS, admonitionTitle } from '../admonitions.js';
import { type Glossary, termRoles } from '../glossary.js';
import { formulaHtml, formulasOf } from '../lint/formulas.js';
import { anchorOf } from '../lint/prose.js';

for (const [name, language] of Object.entries({ bash, json, python, typescript, yaml }))
  hljs.registerLanguage(name, language);

/** What a page's Markdown is drawn with. */
export interface MarkdownContext {
  readonly glossary: Glossary;
  /** Address of the glossary's page from this one; undefined without one. */
  readonly glossaryPage: string | undefined;
}

/** A listing with its words coloured. */
export function codeHtml(source: string, language: string): string {
  const known = hljs.getLanguage(language) !== undefined;
  const body = known ? hljs.highlight(source, { language }).value : escapeHtml(source);
  return `<pre class="code"><code>${body}</code></pre>\n`;
}

export function markdownHtml(text: string, context: MarkdownContext): string {
  const kept: string[] = [];
  const keep = (html: string): string => `\u0001${kept.push(html) - 1}\u0002`;
  const prepared = replaceFormulas(replaceTerms(text, context, keep), keep);
  const html = parser(context).render(prepared);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: marks that no text holds
  return html.replace(/\u0001(\d+)\u0002/g, (_mark: string, index: string) => kept[Number(index)]!);
}

function parser(context: MarkdownContext): ReturnType<typeof MarkdownIt> {
  const markdown = new MarkdownIt({ html: true });
  const { rules } = markdown.renderer;
  rules['heading_open'] = (tokens, index, _options, _env, self) => {
    tokens[index]!.attrSet('id', anchorOf(tokens[index + 1]!.content));
    return self.renderToken(tokens, index, _options);
  };
  rules['link_open'] = (tokens, index, options, _env, self) => {
    const token = tokens[index]!;
    const href = String(token.attrGet('href') ?? '');
    if (/^https?:/.test(href)) token.attrSet('rel', 'noopener');
    else token.attrSet('href', href.replace(/\.md(?=#|$)/, '.html'));
    return self.renderToken(tokens, index, options);
  };
  rules['fence'] = (tokens, index) => {
    const { info, content } = tokens[index]!;
    const directive = /^\{([a-z]+)\}\s*(.*)$/.exec(info.trim());
    const kind = ADMONITIONS.find((name) => name === directive?.[1]);
    if (kind === undefined) return codeHtml(content.replace(/\n$/, ''), info.trim().split(/\s+/)[0] ?? '');
    const title = escapeHtml(admonitionTitle(kind, directive![2]!));
    return `<aside class="${kind}"><p class="aside-title">${title}</p>\n${markdownHtml(content, context)}</aside>\n`;
  };
  return markdown;
}

function replaceFormulas(text: string, keep: (html: string) => string): string {
  let out = '';
  let at = 0;
  for (const formula of formulasOf({ text, line: 1 })) {
    out += text.slice(at, formula.index) + keep(formulaHtml(formula));
    at = formula.index + formula.length;
  }
  return out + text.slice(at);
}

function replaceTerms(text: string, context: MarkdownContext, keep: (html: string) => string): string {
  let out = '';
  let at = 0;
  for (const { shown, term, index, length } of termRoles(text)) {
    const definition = context.glossary.get(term);
    const word = escapeHtml(shown);
    const html =
      definition === undefined || context.glossaryPage === undefined
        ? word
        : `<a class="term" href="${context.glossaryPage}#${anchorOf(term)}" title="${escapeHtml(definition)}">${word}</a>`;
    out += text.slice(at, index) + keep(html);
    at = index + length;
  }
  return out + text.slice(at);
}
