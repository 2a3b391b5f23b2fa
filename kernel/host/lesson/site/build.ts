/** A course as a folder of static pages, which any web server or the file system can show. */
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { makeFolder } from '../../folders/index.js';
import type { CellOutput } from '../../session/index.js';
import { GLOSSARY_FILE, loadGlossary } from '../glossary.js';
import { headingsOf, withoutCode } from '../lint/prose.js';
import { type Manifest, manifestLessons } from '../manifest.js';
import type { Lesson } from '../types.js';
import { SITE_SCRIPT, SITE_STYLES, THEME_SCRIPT } from './assets.js';
import { type MarkdownContext, markdownHtml } from './markdown.js';
import { outputsHtml } from './outputs.js';
import { framed, lessonBody, mapBody, pageOf } from './page.js';

export interface SiteOptions {
  readonly out: string;
  /** The outputs of a lesson's code cells, by their index; undefined to show what the lesson states. */
  readonly run: (
    lesson: Lesson,
    folder: string,
  ) => Promise<ReadonlyMap<number, readonly CellOutput[]> | undefined>;
  /** Plotly's bundle, copied beside the pages where it is there. */
  readonly plotly: string;
  readonly onPage?: (file: string) => void;
}

/** Writes the site; returns how many pages there are. Lessons that cannot be read are left out by the caller's choice: it throws. */
export async function buildSite(manifest: Manifest, options: SiteOptions): Promise<number> {
  const { out } = options;
  const entries = manifestLessons(manifest);
  const broken = entries.find(({ problem }) => problem !== undefined);
  if (broken !== undefined) throw broken.problem;
  const glossary = loadGlossary(manifest.root);
  const extra = readdirSync(manifest.root)
    .filter((name) => name.endsWith('.md') && name.toLowerCase() !== 'readme.md')
    .sort();
  const contextAt = (base: string): MarkdownContext => ({
    glossary,
    glossaryPage: extra.includes(GLOSSARY_FILE) ? `${base}${pageOf(GLOSSARY_FILE)}` : undefined,
  });
  const index: { title: string; href: string; text: string }[] = [];
  const write = (file: string, title: string, base: string, body: string): void => {
    const path = join(out, file);
    makeFolder(dirname(path));
    writeFileSync(path, framed({ title, course: manifest.title, base, body }));
    options.onPage?.(path);
  };
  for (const [at, { file, path, lesson }] of entries.entries()) {
    const base = '../'.repeat(file.split('/').length - 1);
    const around = (offset: number) => {
      const other = entries[at + offset];
      if (at + offset < 0 || other?.lesson === undefined) return undefined;
      const href = relative(dirname(file), pageOf(other.file)).replaceAll('\\', '/');
      return { title: other.lesson.title, href };
    };
    const ran = await options.run(lesson!, dirname(path));
    const outputs = ran && new Map([...ran].map(([cell, all]) => [cell, outputsHtml(all)]));
    const body = lessonBody({
      lesson: lesson!,
      context: contextAt(base),
      outputs,
      before: around(-1),
      after: around(1),
    });
    write(pageOf(file), lesson!.title, base, body);
    index.push({ title: lesson!.title, href: pageOf(file), text: searchText(lesson!) });
  }
  const pages = extra.map((name) => {
    const text = readFileSync(join(manifest.root, name), 'utf8');
    const title = headingsOf({ text, line: 1 })[0]?.text ?? name.replace(/\.md$/, '');
    write(pageOf(name), title, '', `<main>${markdownHtml(text, contextAt(''))}</main>`);
    index.push({ title, href: pageOf(name), text: text.toLowerCase() });
    return { title, href: pageOf(name) };
  });
  write('index.html', manifest.title, '', mapBody(manifest, pages));
  const assets = { 'site.css': SITE_STYLES, 'site.js': SITE_SCRIPT, 'theme.js': THEME_SCRIPT };
  for (const [name, text] of Object.entries(assets)) writeFileSync(join(out, name), text);
  // A script, not data: pages opened from the file system may not fetch.
  writeFileSync(
    join(out, 'search.js'),
    `window.SEARCH = ${JSON.stringify(index).replaceAll('<', '\\u003c')};\n`,
  );
  if (existsSync(options.plotly)) copyFileSync(options.plotly, join(out, 'plotly.min.js'));
  return entries.length + pages.length + 1;
}

function searchText(lesson: Lesson): string {
  const words = lesson.cells.map((cell) => {
    if (cell.kind === 'text') return withoutCode(cell.text);
    if (cell.kind === 'code') return cell.source;
    return cell.kind === 'question' ? cell.question : cell.kind === 'task' ? cell.text : '';
  });
  return [...lesson.covers, ...lesson.teaches, ...words].join(' ').toLowerCase().replace(/\s+/g, ' ');
}
