/** What a course is to teach: `curriculum/*.yaml` beside the manifest, one entry per question. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, isSeq, LineCounter, parseDocument } from 'yaml';
import { nearestName, ShardbookError } from '../../runtime/index.js';
import { shownPath } from './manifest.js';
import type { CoverageMark } from './types.js';

const CURRICULUM_FOLDER = 'curriculum';
export type ItemKind = CoverageMark['kind'];
/** The lists of an entry, by the kind of mark that names their items. */
export const ITEM_LISTS = { ask: 'asks', fix: 'fixes', idea: 'ideas' } as const;

export interface CurriculumEntry {
  readonly id: string;
  readonly title: string;
  /** Questions that the lesson answers. */
  readonly asks: readonly string[];
  /** Common errors that it puts right. */
  readonly fixes: readonly string[];
  /** Cells worth running. */
  readonly ideas: readonly string[];
  /** By item (`idea-2`): why it is left out. */
  readonly left: ReadonlyMap<string, string>;
  readonly file: string;
  readonly line: number;
}

const KEYS = ['id', 'title', 'asks', 'fixes', 'ideas', 'left'];

/** The entries of a folder of lessons, in the order of its files' names and lines; empty where there are none. */
export function loadCurriculum(root: string): CurriculumEntry[] {
  const folder = join(root, CURRICULUM_FOLDER);
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .sort();
  const entries = files.flatMap((name) =>
    parseCurriculum(readFileSync(join(folder, name), 'utf8'), shownPath(join(folder, name))),
  );
  const seen = new Map<string, CurriculumEntry>();
  for (const entry of entries) {
    const first = seen.get(entry.id);
    if (first !== undefined)
      throw invalid(
        entry.file,
        entry.line,
        `a second entry "${entry.id}", there is one at ${first.file}:${first.line}`,
      );
    seen.set(entry.id, entry);
  }
  return entries;
}

export function parseCurriculum(text: string, file: string): CurriculumEntry[] {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter });
  const broken = document.errors[0];
  if (broken !== undefined)
    throw invalid(
      file,
      counter.linePos(broken.pos[0]).line,
      `invalid YAML, ${broken.message.split('\n')[0]}`,
    );
  if (document.contents === null) return [];
  if (!isSeq(document.contents)) throw invalid(file, 1, 'a list of entries is wanted');
  return document.contents.items.map((node) => {
    const offset = (node as { range?: [number, number, number] | null }).range?.[0] ?? 0;
    const { line } = counter.linePos(offset);
    if (!isMap(node)) throw invalid(file, line, 'an entry is no mapping of keys to values');
    return readEntry(node.toJS(document) as Record<string, unknown>, file, line);
  });
}

function readEntry(value: Record<string, unknown>, file: string, line: number): CurriculumEntry {
  for (const key of Object.keys(value)) {
    if (KEYS.includes(key)) continue;
    const near = nearestName(key, KEYS);
    throw invalid(file, line, `unknown key "${key}"${near === undefined ? '' : `, did you mean "${near}"`}`);
  }
  const { id, title } = value;
  if (id === undefined) throw invalid(file, line, 'an entry without an id');
  if (typeof title !== 'string') throw invalid(file, line, `entry "${String(id)}" has no title`);
  const list = (key: string): string[] => {
    const items = value[key] ?? [];
    if (!Array.isArray(items)) throw invalid(file, line, `"${key}" of "${String(id)}" is no list`);
    return items.map((item) => {
      if (typeof item === 'string' && item.trim() !== '') return item.trim();
      throw invalid(
        file,
        line,
        `an item of "${key}" of "${String(id)}" is no text (quote it if it holds ": ")`,
      );
    });
  };
  const entry = { id: String(id), title, asks: list('asks'), fixes: list('fixes'), ideas: list('ideas') };
  const left = new Map<string, string>();
  for (const [item, reason] of Object.entries((value['left'] ?? {}) as Record<string, unknown>)) {
    if (!itemsOf(entry).includes(item))
      throw invalid(file, line, `"left" of "${entry.id}" names "${item}", which the entry does not have`);
    if (typeof reason !== 'string' || reason.trim() === '')
      throw invalid(file, line, `"left" of "${entry.id}" gives no reason for "${item}"`);
    left.set(item, reason.trim());
  }
  return { ...entry, left, file, line };
}

/** The names of all items of an entry: `ask-1`, `ask-2`, ..., `idea-4`. */
export function itemsOf(entry: Pick<CurriculumEntry, 'asks' | 'fixes' | 'ideas'>): string[] {
  return (Object.keys(ITEM_LISTS) as ItemKind[]).flatMap((kind) =>
    entry[ITEM_LISTS[kind]].map((_, index) => `${kind}-${index + 1}`),
  );
}

function invalid(file: string, line: number, problem: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_CURRICULUM_INVALID',
    message: `Cannot read the curriculum at ${file}:${line}: ${problem}`,
  });
}
