/** Grades many submissions: finds what is done already, does the rest, keeps everything, and says what changed. */
import { ShardbookError } from 'shardbook';
import { submissionName } from '../intake/index.js';
import type { Report } from '../report.js';
import type { Executor } from './executor.js';
import type { Job } from './jobs.js';
import { type Change, entryOf, type ManifestEntry, RESULTS_DIFFER, type Results } from './results.js';

export interface BatchProgress {
  readonly done: number;
  readonly total: number;
  /** Taken from an earlier run. */
  readonly kept: boolean;
  readonly job: Job;
  readonly report: Report;
}

export interface BatchOutcome {
  readonly entries: readonly ManifestEntry[];
  /** One for each job; the submission's name says whose it is. */
  readonly reports: readonly Report[];
  readonly changes: readonly Change[];
  /** Gradings that were not made because their result was there, or another learner handed in the same. */
  readonly kept: number;
  /** Second results that were not the first ones, which stand: somebody else graded the same into the same folder. */
  readonly conflicts: readonly ShardbookError[];
}

export async function runBatch(
  jobs: readonly Job[],
  executor: Executor,
  results: Results,
  options: { readonly again?: boolean; readonly onProgress?: (progress: BatchProgress) => void } = {},
): Promise<BatchOutcome> {
  const reports = new Map<string, Report>();
  const byKey = new Map<string, Job[]>();
  for (const job of jobs) byKey.set(job.key, [...(byKey.get(job.key) ?? []), job]);
  let done = 0;
  let kept = 0;
  const tell = (job: Job, report: Report, wasKept: boolean): void => {
    done++;
    if (wasKept) kept++;
    options.onProgress?.({ done, total: jobs.length, kept: wasKept, job, report });
  };
  const todo: Job[] = [];
  const conflicts: ShardbookError[] = [];
  const keep = (key: string, report: Report): Report => {
    if (options.again === true) return results.replace(key, report);
    try {
      return results.write(key, report);
    } catch (error) {
      // One submission that is not to be believed must not cost the others their results.
      const first = results.read(key);
      if (!(error instanceof ShardbookError) || error.code !== RESULTS_DIFFER || first === undefined)
        throw error;
      conflicts.push(error);
      return first;
    }
  };
  for (const [key, same] of byKey) {
    const earlier = options.again === true ? undefined : results.read(key);
    if (earlier === undefined) todo.push(same[0]!);
    else {
      reports.set(key, earlier);
      for (const job of same) tell(job, earlier, true);
    }
  }
  await executor.run(todo, (job, report) => {
    const standing = keep(job.key, report);
    reports.set(job.key, standing);
    byKey.get(job.key)!.forEach((same, i) => {
      tell(same, standing, i > 0);
    });
  });
  const entries = jobs.map((job) => entryOf(job, reports.get(job.key)!));
  const changes = results.record(entries);
  return { entries, reports: jobs.map((job) => ownOf(job, reports.get(job.key)!)), changes, kept, conflicts };
}

/** Files of many learners have one name, and equal submissions share a report. */
function ownOf({ learner, file }: Job, report: Report): Report {
  return { ...report, submission: { ...report.submission, name: `${learner}/${submissionName(file)}` } };
}
