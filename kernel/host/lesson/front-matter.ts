import { isMap, LineCounter, parseDocument } from 'yaml';
import { nearestName } from '../../runtime/index.js';
import { lessonProblem } from './problem.js';
import type { FrontMatter } from './types.js';

const FENCE = /^---\s*$/;
const ID = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const KEYS = ['id', 'title', 'layer', 'covers', 'requires', 'teaches', 'minutes', 'world'] as const;
/** Other tools' keys that a lesson may carry: Jupytext and MyST write them. */
const FOREIGN_KEYS = ['jupytext', 'kernelspec', 'jupyter', 'description', 'authors', 'license'];
const HIGHEST_LAYER = 6;
const LARGEST_WORLD = 64;

/** Splits a lesson into its checked front matter and the number of lines it takes. */
export function readFrontMatter(text: string, file: string): { front: FrontMatter; lines: number } {
  const lines = text.split(/\r?\n/);
  if (!FENCE.test(lines[0] ?? '')) {
    throw lessonProblem(
      file,
      1,
      'it does not begin with front matter',
      `Begin the file with "---", then ${KEYS.join(', ')}`,
    );
  }
  const end = lines.findIndex((line, index) => index > 0 && FENCE.test(line));
  if (end < 0) throw lessonProblem(file, 1, 'its front matter is not closed', 'Close it with a line "---"');
  const counter = new LineCounter();
  const document = parseDocument(lines.slice(1, end).join('\n'), { lineCounter: counter });
  const lineOf = (offset: number): number => counter.linePos(offset).line + 1;
  const broken = document.errors[0];
  if (broken !== undefined) {
    throw lessonProblem(file, lineOf(broken.pos[0]), `invalid YAML, ${broken.message.split('\n')[0]}`);
  }
  if (!isMap(document.contents))
    throw lessonProblem(file, 2, 'its front matter is not a mapping of keys to values');
  const where = new Map<string, number>();
  for (const { key } of document.contents.items) {
    const { value, range } = key as { value: unknown; range?: [number, number, number] };
    where.set(String(value), lineOf(range?.[0] ?? 0));
  }
  const reader = new Reader(file, document.toJS() as Record<string, unknown>, where);
  reader.refuseUnknown();
  const front: FrontMatter = {
    id: reader.id(),
    title: reader.text('title'),
    layer: reader.integer('layer', 0, HIGHEST_LAYER),
    covers: reader.list('covers'),
    requires: reader.list('requires'),
    teaches: reader.list('teaches'),
    minutes: reader.integer('minutes', 1, 600),
    world: reader.integer('world', 1, LARGEST_WORLD),
  };
  return { front, lines: end + 1 };
}

class Reader {
  constructor(
    private readonly file: string,
    private readonly values: Record<string, unknown>,
    private readonly where: ReadonlyMap<string, number>,
  ) {}

  refuseUnknown(): void {
    for (const [key, line] of this.where) {
      if ((KEYS as readonly string[]).includes(key) || FOREIGN_KEYS.includes(key)) continue;
      const near = nearestName(key, KEYS);
      throw lessonProblem(
        this.file,
        line,
        `unknown front matter key "${key}"`,
        near && `Did you mean "${near}"?`,
      );
    }
  }

  id(): string {
    const id = this.text('id');
    if (!ID.test(id)) throw this.wrong('id', 'lower case words joined by hyphens');
    return id;
  }

  text(key: string): string {
    const value = this.values[key];
    if (typeof value !== 'string' || value.trim() === '') throw this.wrong(key, 'a text');
    return value;
  }

  integer(key: string, low: number, high: number): number {
    const value = this.values[key];
    if (!Number.isInteger(value) || (value as number) < low || (value as number) > high) {
      throw this.wrong(key, `a whole number from ${low} to ${high}`);
    }
    return value as number;
  }

  list(key: string): string[] {
    const value = this.values[key];
    if (!Array.isArray(value)) throw this.wrong(key, 'a list, [] when there is nothing');
    // Inventory ids such as 0.1 are numbers to YAML; quoted or not, they are names here.
    return value.map(String);
  }

  private wrong(key: string, wanted: string): Error {
    const value = this.values[key];
    const current = value === undefined ? 'missing' : JSON.stringify(value);
    return lessonProblem(
      this.file,
      this.where.get(key) ?? 1,
      `front matter "${key}" is ${current}, wanted ${wanted}`,
    );
  }
}
