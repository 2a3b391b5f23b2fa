/** Results on disk: a report per key, and a manifest that says whose it is. A run that was interrupted finds what is done. */
import { existsSync, linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ShardbookError } from 'shardbook';
import { makeFolder } from '../../kernel/host/folders/index.js';
import type { Report } from '../report.js';
import { escapeCsv, points } from '../reports/index.js';
import type { Job } from './jobs.js';

export interface ManifestEntry {
  readonly learner: string;
  readonly exercise: string;
  readonly key: string;
  readonly verdict: string;
  readonly earned: number;
  readonly possible: number;
}

/** What is different from the last time. */
export interface Change {
  readonly learner: string;
  readonly exercise: string;
  readonly before: string;
  readonly after: string;
}

const MANIFEST = 'manifest.json';
/** Code of the error for a second result of a key that is not the first. */
export const RESULTS_DIFFER = 'SB_RESULTS_DIFFER';
let temporaries = 0;

export class Results {
  constructor(readonly folder: string) {
    makeFolder(join(folder, 'reports'));
  }

  /** A result that stands; one of the grader's own failures does not. */
  read(key: string): Report | undefined {
    const file = this.path(key);
    if (!existsSync(file)) return undefined;
    try {
      const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
      return report.verdict === 'infra-error' ? undefined : report;
    } catch {
      // Half written by a run that was ended: as if it were not there.
      return undefined;
    }
  }

  /**
   * Keeps a result and returns the one that stands: the first that was written whole. Two workers may have graded the same
   * key; a different verdict for the same key is refused, since then one of them is not to be believed.
   */
  write(key: string, report: Report): Report {
    const temporary = join(this.folder, 'reports', `.${process.pid}-${++temporaries}.tmp`);
    try {
      writeFileSync(temporary, `${JSON.stringify(report, null, 1)}\n`);
      if (this.read(key) === undefined) rmSync(this.path(key), { force: true });
      // A link is made whole or not at all, and not over another.
      linkSync(temporary, this.path(key));
      return report;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const first = this.read(key);
      if (first === undefined) {
        renameSync(temporary, this.path(key));
        return report;
      }
      if (report.verdict !== 'infra-error' && !sameResult(first, report)) throw conflict(key, first, report);
      return first;
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** Keeps a result instead of the one that was there, as who grades again wants it. */
  replace(key: string, report: Report): Report {
    // A failure of the grader's own takes nobody's result away.
    if (report.verdict !== 'infra-error') rmSync(this.path(key), { force: true });
    return this.write(key, report);
  }

  manifest(): ManifestEntry[] {
    const file = join(this.folder, MANIFEST);
    if (!existsSync(file)) return [];
    let entries: unknown;
    try {
      entries = JSON.parse(readFileSync(file, 'utf8'));
    } catch {
      // Said below.
    }
    if (Array.isArray(entries)) return entries as ManifestEntry[];
    throw new ShardbookError({
      code: 'SB_MANIFEST_INVALID',
      message: `Cannot read "${file}": it is not a list of results`,
      help: 'Remove it and grade again: the reports beside it are kept, and nothing that is there is run anew',
    });
  }

  /** Takes entries into the manifest; returns what changed against the last time. */
  record(entries: readonly ManifestEntry[]): Change[] {
    const before = new Map(this.manifest().map((entry) => [nameOf(entry), entry]));
    const changes: Change[] = [];
    for (const entry of entries) {
      const old = before.get(nameOf(entry));
      if (old !== undefined && text(old) !== text(entry))
        changes.push({
          learner: entry.learner,
          exercise: entry.exercise,
          before: text(old),
          after: text(entry),
        });
      before.set(nameOf(entry), entry);
    }
    const all = [...before.values()].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
    const temporary = join(this.folder, `.${process.pid}.tmp`);
    try {
      writeFileSync(temporary, `${JSON.stringify(all, null, 1)}\n`);
      renameSync(temporary, join(this.folder, MANIFEST));
    } finally {
      rmSync(temporary, { force: true });
    }
    return changes;
  }

  private path(key: string): string {
    return join(this.folder, 'reports', `${key}.json`);
  }
}

export function entryOf(job: Job, report: Report): ManifestEntry {
  const { learner, exercise, key } = job;
  return {
    learner,
    exercise,
    key,
    verdict: report.verdict,
    earned: report.score.earned,
    possible: report.score.possible,
  };
}

/** Puts the results of several runs (of `--shard i/n`) together in `out`. */
export function mergeResults(
  folders: readonly string[],
  out: string,
): { entries: number; changes: Change[] } {
  const target = new Results(out);
  let entries = 0;
  const changes: Change[] = [];
  for (const folder of folders) {
    if (!existsSync(join(folder, MANIFEST))) {
      throw new ShardbookError({
        code: 'SB_NO_RESULTS',
        message: `Cannot merge "${folder}": it has no ${MANIFEST}`,
        help: 'Name folders that "grade --out" wrote',
      });
    }
    const source = new Results(folder);
    const manifest = source.manifest();
    for (const name of readdirSync(join(folder, 'reports')).filter((file) => file.endsWith('.json'))) {
      const key = name.replace('.json', '');
      const report = source.read(key);
      if (report !== undefined) target.write(key, report);
    }
    changes.push(...target.record(manifest));
    entries += manifest.length;
  }
  return { entries, changes };
}

/** A row per learner, a column per exercise. What the grader could not judge is empty, not zero. */
export function gradebook(entries: readonly ManifestEntry[]): string {
  const exercises = [...new Set(entries.map(({ exercise }) => exercise))].sort();
  const learners = [...new Set(entries.map(({ learner }) => learner))].sort();
  const at = new Map(entries.map((entry) => [nameOf(entry), entry]));
  const head = ['learner', ...exercises.flatMap((id) => [id, `${id} verdict`]), 'total', 'possible'];
  const rows = learners.map((learner) => {
    const own = exercises.map((exercise) => at.get(`${learner}\n${exercise}`));
    const judged = own.filter((entry) => entry !== undefined && entry.verdict !== 'infra-error');
    const cells = own.flatMap((entry) => [
      entry === undefined || entry.verdict === 'infra-error' ? '' : points(entry.earned),
      entry?.verdict ?? '',
    ]);
    const total = judged.reduce((sum, entry) => sum + entry!.earned, 0);
    const possible = judged.reduce((sum, entry) => sum + entry!.possible, 0);
    return [learner, ...cells, points(total), points(possible)];
  });
  return `${[head, ...rows].map((row) => row.map((cell) => escapeCsv(String(cell))).join(',')).join('\n')}\n`;
}

function sameResult(a: Report, b: Report): boolean {
  return a.verdict === b.verdict && a.score.earned === b.score.earned;
}

function conflict(key: string, first: Report, second: Report): ShardbookError {
  return new ShardbookError({
    code: RESULTS_DIFFER,
    message: `Cannot keep a second result of ${key.slice(0, 12)}: it is ${describe(second)}, the first was ${describe(first)}`,
    help: 'The same submission, exercise, runtime and seed must give the same verdict; a submission near a limit of time may not',
  });
}

function describe({ verdict, score }: Report): string {
  return `${verdict}, ${points(score.earned)} of ${points(score.possible)} points`;
}

function nameOf({ learner, exercise }: ManifestEntry): string {
  return `${learner}\n${exercise}`;
}

function text({ verdict, earned, possible }: ManifestEntry): string {
  return `${verdict}, ${points(earned)} of ${points(possible)} points`;
}
