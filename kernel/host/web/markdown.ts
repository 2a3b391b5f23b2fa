/** Markdown cells: markdown-it, as lessons are parsed with, plus MyST's admonitions and highlighted code blocks. */
import type { EditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { IRenderMime } from '@jupyterlab/rendermime';
import MarkdownIt from 'markdown-it';
import { ADMONITIONS, admonitionTitle } from '../lesson/admonitions.js';

export function createMarkdownParser(languages: EditorLanguageRegistry): IRenderMime.IMarkdownParser {
  // The output is sanitised by rendermime before it enters the page.
  const parser = new MarkdownIt({ html: true, linkify: false });
  const heading = parser.renderer.rules.heading_open;
  parser.renderer.rules.heading_open = (tokens, index, options, env, self) => {
    const title = tokens[index + 1]?.content ?? '';
    tokens[index]!.attrSet('id', title.replace(/ /g, '-'));
    return heading ? heading(tokens, index, options, env, self) : self.renderToken(tokens, index, options);
  };
  const render = async (source: string): Promise<string> => {
    const parts: string[] = [];
    for (const block of splitAdmonitions(source)) {
      if (typeof block === 'string') parts.push(await highlight(parser.render(block), languages));
      else parts.push(await drawAdmonition(block, render, parser));
    }
    return parts.join('');
  };
  return { render };
}

type Parser = ReturnType<typeof MarkdownIt>;

interface Admonition {
  kind: string;
  title: string;
  body: string;
}

/** A notebook may come from elsewhere: all of MyST's kinds, where lessons have those that they need. */
const KINDS = new Set<string>([...ADMONITIONS, 'attention', 'danger', 'error', 'seealso', 'admonition']);

/** `:::{kind} title` (or with backticks) up to the same fence; other text stays as it is. */
function splitAdmonitions(source: string): (string | Admonition)[] {
  const blocks: (string | Admonition)[] = [];
  const plain: string[] = [];
  const flush = () => {
    if (plain.length > 0) blocks.push(plain.splice(0).join('\n'));
  };
  const lines = source.split('\n');
  for (let index = 0; index < lines.length; index++) {
    const open = /^(:{3,}|`{3,})\{(\w+)\}\s*(.*)$/.exec(lines[index]!);
    const end =
      open === null || !KINDS.has(open[2]!)
        ? -1
        : lines.findIndex((line, at) => at > index && line.trim() === open[1]);
    if (open === null || end === -1) {
      plain.push(lines[index]!);
      continue;
    }
    flush();
    // Options (`:class: x`) are for other renderers.
    const body = lines.slice(index + 1, end).filter((line) => !/^:[a-z-]+:/.test(line));
    blocks.push({ kind: open[2]!, title: open[3]!, body: body.join('\n') });
    index = end;
  }
  flush();
  return blocks;
}

async function drawAdmonition(
  block: Admonition,
  render: (source: string) => Promise<string>,
  parser: Parser,
): Promise<string> {
  const title = parser.renderInline(admonitionTitle(block.kind, block.title));
  const head = `<p class="sb-admonition-title">${title}</p>`;
  return `<div class="sb-admonition sb-admonition-${block.kind}">${head}${await render(block.body)}</div>`;
}

/** Colours `<pre><code class="language-x">` with the editor's own highlighter. */
async function highlight(html: string, languages: EditorLanguageRegistry): Promise<string> {
  if (!html.includes('class="language-')) return html;
  const template = document.createElement('template');
  template.innerHTML = html;
  for (const code of template.content.querySelectorAll<HTMLElement>('pre > code[class^="language-"]')) {
    const name = code.className.slice('language-'.length);
    const language = await languages.getLanguage(name === 'ts' ? 'typescript' : name);
    if (language === null) continue;
    const text = code.textContent ?? '';
    const coloured = document.createElement('div');
    await languages.highlight(text, language, coloured);
    code.replaceChildren(...coloured.childNodes);
  }
  return template.innerHTML;
}
