/** What of the curriculum the lessons do, and where. */
import { type CurriculumEntry, ITEM_LISTS, type ItemKind, itemsOf } from './curriculum.js';
import type { Lesson } from './types.js';

const COVERAGE_FORMAT = 'shardbook.coverage/1';

export interface ItemCoverage {
  /** `ask-1`. */
  readonly item: string;
  readonly text: string;
  /** `file:line` of every passage that does it. */
  readonly where: readonly string[];
  /** Why it is left out. */
  readonly left?: string;
}

export interface EntryCoverage {
  readonly id: string;
  readonly title: string;
  /** Lessons whose front matter names it. */
  readonly lessons: readonly string[];
  readonly items: readonly ItemCoverage[];
}

export interface Coverage {
  readonly format: typeof COVERAGE_FORMAT;
  readonly entries: readonly EntryCoverage[];
}

export function coverageOf(curriculum: readonly CurriculumEntry[], lessons: readonly Lesson[]): Coverage {
  const entries = curriculum.map((entry) => ({
    id: entry.id,
    title: entry.title,
    lessons: lessons.filter(({ covers }) => covers.includes(entry.id)).map(({ id }) => id),
    items: itemsOf(entry).map((item) => {
      const [kind, number] = item.split('-') as [ItemKind, string];
      const left = entry.left.get(item);
      return {
        item,
        text: entry[ITEM_LISTS[kind]][Number(number) - 1]!,
        where: lessons.flatMap(({ file, marks }) =>
          marks
            .filter((mark) => mark.id === entry.id && `${mark.kind}-${mark.number}` === item)
            .map(({ line }) => `${file}:${line}`),
        ),
        ...(left === undefined ? {} : { left }),
      };
    }),
  }));
  return { format: COVERAGE_FORMAT, entries };
}

export interface CoverageCount {
  readonly done: number;
  readonly left: number;
  readonly all: number;
}

export function countItems(entry: EntryCoverage, kind: ItemKind): CoverageCount {
  const items = entry.items.filter(({ item }) => item.startsWith(`${kind}-`));
  const done = items.filter(({ where }) => where.length > 0).length;
  const left = items.filter((item) => item.where.length === 0 && item.left !== undefined).length;
  return { done, left, all: items.length };
}

/** Whether one lesson covers the entry and nothing of it is missing without a reason. */
export function isComplete(entry: EntryCoverage): boolean {
  return (
    entry.lessons.length === 1 &&
    entry.items.every(({ where, left }) => where.length > 0 || left !== undefined)
  );
}
