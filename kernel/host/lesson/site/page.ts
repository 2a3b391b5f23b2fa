/** The pages of a site: a frame around each, a lesson from its cells, the map. */
import { escapeHtml } from '../../../runtime/base/index.js';
import { answerText } from '../answers.js';
import type { Manifest } from '../manifest.js';
import type { CodeCell, Lesson, LessonCell, TaskCell } from '../types.js';
import { codeHtml, type MarkdownContext, markdownHtml } from './markdown.js';

export interface PageFrame {
  readonly title: string;
  /** Name of the course. */
  readonly course: string;
  /** Way from the page to the site's first folder: "" or "../". */
  readonly base: string;
  readonly body: string;
}

/** Nothing from another host, no script in the page: what lessons draw can use styles and pictures of their own. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:";

export function framed({ title, course, base, body }: PageFrame): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escapeHtml(title === course ? course : `${title} - ${course}`)}</title>
<link rel="stylesheet" href="${base}site.css">
<script src="${base}theme.js"></script>
<script src="${base}search.js" defer></script>
<script src="${base}site.js" defer data-base="${base}"></script>
</head>
<body>
<header>
<a class="home" href="${base}index.html">${escapeHtml(course)}</a>
<div class="search"><input type="search" placeholder="Search" aria-label="Search the lessons"><ul hidden></ul></div>
<button type="button" class="theme" aria-label="Colours: light or dark">◐</button>
</header>
${body}
</body>
</html>
`;
}

/** Where a lesson's page lies, from the first folder. */
export function pageOf(file: string): string {
  return file.replace(/\.md$/, '.html');
}

export interface LessonPage {
  readonly lesson: Lesson;
  readonly context: MarkdownContext;
  /** Outputs by code cell, as HTML; undefined where it was not run. */
  readonly outputs: ReadonlyMap<number, string> | undefined;
  readonly before: { title: string; href: string } | undefined;
  readonly after: { title: string; href: string } | undefined;
}

export function lessonBody({ lesson, context, outputs, before, after }: LessonPage): string {
  const cells = lesson.cells
    .map((cell, index) => cellHtml(cell, lesson.cells[index + 1], context, outputs))
    .join('\n');
  const link = (to: LessonPage['before'], word: string): string =>
    to === undefined ? '<span></span>' : `<a href="${to.href}">${word}: ${escapeHtml(to.title)}</a>`;
  return `<main class="lesson">
<p class="facts">Layer ${lesson.layer} · ${lesson.minutes} minutes · ${lesson.world} ranks${lesson.covers.length > 0 ? ` · ${lesson.covers.map(escapeHtml).join(', ')}` : ''}</p>
${cells}
<nav class="around">${link(before, 'Before')}${link(after, 'Next')}</nav>
</main>`;
}

export function mapBody(manifest: Manifest, extra: readonly { title: string; href: string }[]): string {
  const layers = manifest.layers.map(({ title, lessons }) => {
    const items = lessons.flatMap(({ file, lesson }) =>
      lesson === undefined
        ? []
        : [
            `<li><a href="${pageOf(file)}"><strong>${escapeHtml(lesson.title)}</strong></a> <span class="facts">${lesson.minutes} min, ${lesson.world} ranks</span><br>${escapeHtml(lesson.teaches.join('; '))}</li>`,
          ],
    );
    return `<section><h2>${escapeHtml(title)}</h2><ol class="map">${items.join('\n')}</ol></section>`;
  });
  const more = extra.map(({ title, href }) => `<li><a href="${href}">${escapeHtml(title)}</a></li>`).join('');
  return `<main><h1>${escapeHtml(manifest.title)}</h1>\n${layers.join('\n')}\n${more === '' ? '' : `<section><h2>More</h2><ul>${more}</ul></section>`}</main>`;
}

function cellHtml(
  cell: LessonCell,
  below: LessonCell | undefined,
  context: MarkdownContext,
  outputs: ReadonlyMap<number, string> | undefined,
): string {
  const markdown = (text: string): string => markdownHtml(text, context);
  const fold = (title: string, body: string): string =>
    `<details><summary>${title}</summary>\n${body}\n</details>`;
  const hints = (all: readonly string[]): string =>
    all.map((hint, i) => fold(all.length === 1 ? 'Hint' : `Hint ${i + 1}`, markdown(hint))).join('\n');
  switch (cell.kind) {
    case 'text':
      // The question of a prediction is drawn with the cell that it asks about.
      return below?.kind === 'code' && below.predict !== undefined && cell.text.startsWith('**Predict.**')
        ? `<div class="ask">${markdown(cell.text)}</div>`
        : markdown(cell.text);
    case 'code':
      return codeCellHtml(cell, outputs?.get(cell.index), markdown);
    case 'twin':
      return fold('In PyTorch', codeHtml(cell.twin.source, 'python'));
    case 'exercise':
      return `<div class="ask"><p><strong>Exercise.</strong> <code>shardbook exercise start ${escapeHtml(cell.exercise)}</code></p></div>`;
    case 'question': {
      const list = (cell.choices ?? []).map((choice) => `- ${choice}`).join('\n');
      const answer = markdown(`**${answerText(cell) ?? ''}**\n\n${cell.explain}`);
      return `<div class="ask">${markdown(`**Question.** ${cell.question}\n\n${list}`)}${hints(cell.hints)}\n${fold('Answer', answer)}</div>`;
    }
    case 'task':
      return taskHtml(cell, markdown, hints, fold);
  }
}

function codeCellHtml(
  cell: CodeCell,
  output: string | undefined,
  markdown: (text: string) => string,
): string {
  const shown = output ?? (cell.output === undefined ? '' : `<pre>${escapeHtml(cell.output.text)}</pre>`);
  const below =
    shown === ''
      ? ''
      : cell.predict === undefined
        ? `<div class="output">${shown}</div>`
        : `<details class="output"><summary>Show the output</summary>${shown}${cell.predict.explain === undefined ? '' : markdown(cell.predict.explain)}</details>`;
  return `<div class="cell">${codeHtml(cell.source, 'typescript')}${below}</div>`;
}

function taskHtml(
  cell: TaskCell,
  markdown: (text: string) => string,
  hints: (all: readonly string[]) => string,
  fold: (title: string, body: string) => string,
): string {
  return `<div class="ask">${markdown(`**Task.** ${cell.text}`)}${codeHtml(cell.starter, 'typescript')}${hints(cell.hints)}\n${fold('A solution', codeHtml(cell.solution, 'typescript'))}</div>`;
}
