/** Lessons that passed are not run again while nothing they depend on has changed. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '../folders/index.js';

/** Entries that were not asked for in so many days are dropped. */
const KEPT_DAYS = 30;

export class CheckCache {
  /** `runtime` names what runs the lessons: another build, another name. */
  constructor(
    private readonly folder: string,
    private readonly runtime: string,
  ) {}

  /** Cells that passed when this text was last run; undefined when it has to be run. */
  passed(text: string): number | undefined {
    const file = this.#file(text);
    if (!existsSync(file)) return undefined;
    const cells = Number(readFileSync(file, 'utf8'));
    if (!Number.isInteger(cells)) return undefined;
    const now = new Date();
    utimesSync(file, now, now);
    return cells;
  }

  keep(text: string, cells: number): void {
    makeFolder(this.folder);
    writeFileSync(this.#file(text), `${cells}\n`);
    const oldest = Date.now() - KEPT_DAYS * 86_400_000;
    for (const name of readdirSync(this.folder)) {
      const file = join(this.folder, name);
      if ((statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? oldest) < oldest)
        rmSync(file, { force: true });
    }
  }

  #file(text: string): string {
    return join(this.folder, createHash('sha256').update(`${this.runtime}\n${text}`).digest('hex'));
  }
}

/** Where this user's caches live. */
export function cacheFolder(): string {
  const base =
    process.env['XDG_CACHE_HOME'] ??
    (process.platform === 'win32' ? process.env['LOCALAPPDATA'] : undefined) ??
    join(homedir(), '.cache');
  return join(base, 'shardbook', 'lessons');
}

/** A name for the code in a folder: of all its JavaScript files, names and contents. */
export function runtimeName(folder: string): string {
  const hash = createHash('sha256').update(process.version);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js') && !name.startsWith('app'))
    .sort();
  for (const name of files) hash.update(name).update(readFileSync(join(folder, name)));
  return hash.digest('hex');
}
