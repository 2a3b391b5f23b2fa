/** Who does the jobs: the pool in this process, or a queue that workers on many machines take from. */

import { ShardbookError } from 'shardbook';
import { loadExercise } from '../exercise.js';
import { type GradeOptions, gradeSubmission } from '../grade.js';
import { SUBMISSION_MISSING } from '../intake/index.js';
import { REPORT_FORMAT, type Report } from '../report.js';
import type { Job } from './jobs.js';

export interface Executor {
  /** Does all jobs and hands over each result as it comes; a job may be done more than once, with the same result. */
  run(jobs: readonly Job[], onResult: (job: Job, report: Report) => void): Promise<void>;
  close(): Promise<void>;
}

export interface Place {
  readonly packageRoot: string;
  readonly version: string;
  /** See `GradeOptions.secret`. */
  readonly secret?: string;
}

export function gradeJob(
  job: Job,
  { packageRoot, version, secret }: Place,
  more: Partial<GradeOptions> = {},
): Promise<Report> {
  return gradeSubmission({
    exercise: loadExercise(job.exerciseFolder),
    file: job.file,
    packageRoot,
    version,
    seed: job.seed,
    untrusted: job.untrusted,
    publicOnly: job.publicOnly,
    types: job.types,
    ...(secret === undefined ? {} : { secret }),
    ...more,
  });
}

/** Several gradings at once in this process: the work itself is in the ranks' processes. */
export class PoolExecutor implements Executor {
  private closed = false;

  constructor(
    private readonly place: Place,
    private readonly width: number,
  ) {}

  async run(jobs: readonly Job[], onResult: (job: Job, report: Report) => void): Promise<void> {
    const waiting = [...jobs];
    const work = async (): Promise<void> => {
      for (let job = waiting.shift(); job !== undefined && !this.closed; job = waiting.shift()) {
        onResult(job, await gradeJob(job, this.place).catch((error: unknown) => failed(job, error)));
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.width, jobs.length) }, work));
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** What went wrong with one submission in the grader itself must not end the others. */
export function failed(job: Job, error: unknown): Report {
  // An exercise that cannot be read, a sandbox that is not there: that concerns all. A file that is gone concerns one.
  if (error instanceof ShardbookError && error.code !== SUBMISSION_MISSING) throw error;
  return {
    format: REPORT_FORMAT,
    exercise: { id: job.exercise, title: job.exercise },
    submission: { name: job.learner, kind: 'file', sha256: '' },
    grader: {
      shardbook: '',
      runtime: '',
      spec: '',
      node: process.versions.node,
      isolation: 'process',
      layers: [],
    },
    seed: job.seed,
    verdict: 'infra-error',
    score: { earned: 0, possible: 0 },
    feedback: { message: `The grader failed: ${error instanceof Error ? error.message : String(error)}` },
    checks: [],
    types: [],
    notes: [],
    prints: [],
    milliseconds: 0,
  };
}
