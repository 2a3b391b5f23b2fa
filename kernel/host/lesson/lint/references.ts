/** Rules on what a lesson refers to: files, headings, sources, pictures, formulas, words, exercises. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { parse } from 'yaml';
import { nearestName } from '../../../runtime/index.js';
import { GLOSSARY_FILE, type Glossary, termRoles } from '../glossary.js';
import type { Lesson } from '../types.js';
import { formulaProblem, formulasOf } from './formulas.js';
import type { LintProblem } from './problem.js';
import { anchorOf, headingsOf, type Link, linksOf, passages } from './prose.js';

const SOURCES_FILE = 'sources.yaml';

export interface ReferenceContext {
  /** Folder of the manifest. */
  readonly root: string;
  readonly glossary: Glossary;
  /** Addresses that lessons may link; undefined where the folder keeps no list. */
  readonly sources: ReadonlySet<string> | undefined;
  /** Names of the exercises that there are; undefined where they are not known. */
  readonly exercises: readonly string[] | undefined;
}

export function lintReferences(lesson: Lesson, path: string, context: ReferenceContext): LintProblem[] {
  const problems: LintProblem[] = [];
  const say = (line: number, rule: string, message: string): void => {
    problems.push({ file: lesson.file, line, rule, message });
  };
  for (const passage of passages(lesson)) {
    for (const link of linksOf(passage)) {
      const problem = linkProblem(link, path, context);
      if (problem !== undefined) say(link.line, link.isImage ? 'picture' : 'link', problem);
    }
    for (const { source, line } of formulasOf(passage)) {
      const problem = formulaProblem(source);
      if (problem !== undefined) say(line, 'formula', `"${source}" does not parse: ${problem}`);
    }
    for (const { term, index } of termRoles(passage.text)) {
      if (context.glossary.has(term)) continue;
      const near = nearestName(term, [...context.glossary.keys()]);
      const line = passage.line + passage.text.slice(0, index).split('\n').length - 1;
      say(
        line,
        'term',
        `"${term}" is not in ${GLOSSARY_FILE}${near === undefined ? '' : `, did you mean "${near}"`}`,
      );
    }
  }
  for (const cell of lesson.cells) {
    if (cell.kind !== 'exercise' || context.exercises === undefined) continue;
    if (context.exercises.includes(cell.exercise)) continue;
    const near = nearestName(cell.exercise, context.exercises);
    say(
      cell.line,
      'exercise',
      `no exercise "${cell.exercise}"${near === undefined ? '' : `, did you mean "${near}"`}`,
    );
  }
  return problems;
}

/** The addresses of `sources.yaml`, where each has a title and a year. */
export function loadSources(root: string): {
  sources: ReadonlySet<string> | undefined;
  problems: LintProblem[];
} {
  const file = join(root, SOURCES_FILE);
  if (!existsSync(file)) return { sources: undefined, problems: [] };
  const value: unknown = parse(readFileSync(file, 'utf8'));
  const problems: LintProblem[] = [];
  const sources = new Set<string>();
  for (const [index, entry] of (Array.isArray(value) ? value : []).entries()) {
    const { url, title, year } = (entry ?? {}) as Record<string, unknown>;
    if (typeof url === 'string' && typeof title === 'string' && Number.isInteger(year)) sources.add(url);
    else
      problems.push({
        file,
        line: 1,
        rule: 'source',
        message: `entry ${index + 1} needs "url", "title" and "year"`,
      });
  }
  return { sources, problems };
}

function linkProblem(link: Link, path: string, context: ReferenceContext): string | undefined {
  const { target, isImage, text } = link;
  if (isImage && text.trim() === '') return `the picture "${target}" has no alternative text`;
  if (!isImage && text.trim() === '') return `the link to "${target}" has no text`;
  if (/^https?:/.test(target)) {
    if (isImage) return `the picture "${target}" comes from another host`;
    if (target.startsWith('http:')) return `"${target}" is not encrypted: link https`;
    const [page = ''] = target.split('#');
    if (context.sources === undefined || context.sources.has(target) || context.sources.has(page))
      return undefined;
    return `"${page}" is not in ${SOURCES_FILE}: add it with its title and year`;
  }
  if (/^[a-z]+:/.test(target)) return `"${target}": only https and files can be linked`;
  const [file = '', anchor] = target.split('#');
  const wanted = file === '' ? path : resolve(dirname(path), decodeURIComponent(file));
  // Lessons may point at their project (kernel, exercises) but not out of it.
  if (relative(resolve(context.root, '..'), wanted).split(sep)[0] === '..')
    return `"${target}" lies outside of the project`;
  if (!existsSync(wanted)) return `"${target}" does not exist`;
  if (anchor === undefined || !wanted.endsWith('.md')) return undefined;
  const anchors = headingsOf({ text: readFileSync(wanted, 'utf8'), line: 1 }).map(({ text }) =>
    anchorOf(text),
  );
  if (anchors.includes(decodeURIComponent(anchor))) return undefined;
  const near = nearestName(anchor, anchors);
  return `"${target}" names no heading${near === undefined ? '' : `, did you mean "#${near}"`}`;
}
