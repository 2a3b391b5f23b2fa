/**
 * The same jobs over BullMQ on Redis, for a class that outgrows one machine. A job's id is its key: put in twice, it is there once.
 * A worker that dies in the middle loses its lock, and another takes the job; the result that was written first stands.
 */
import type { Queue, QueueEvents } from 'bullmq';
import { ShardbookError } from 'shardbook';
import type { Report } from '../report.js';
import { nothingLeft } from './drain.js';
import { type Executor, failed, gradeJob, type Place } from './executor.js';
import type { Job } from './jobs.js';

export interface QueueOptions {
  /** redis://host:port */
  readonly url: string;
  readonly name: string;
  /** Milliseconds after which the job of a worker that says nothing goes to another. */
  readonly lockMs?: number;
}

const LOCK_MS = 30_000;
/** A job whose worker died this often is given up: it may be what kills them. */
const MOST_STALLS = 3;

type BullMq = typeof import('bullmq');
type Redis = typeof import('ioredis');

async function load(): Promise<{ bullmq: BullMq; redis: Redis }> {
  try {
    return { bullmq: await import('bullmq'), redis: await import('ioredis') };
  } catch {
    throw new ShardbookError({
      code: 'SB_QUEUE_MISSING',
      message: 'Cannot use a queue: bullmq and ioredis are not installed',
      help: 'npm install bullmq ioredis',
    });
  }
}

async function connect({ url }: QueueOptions, patient: boolean) {
  const { bullmq, redis } = await load();
  const connection = new redis.Redis(url, {
    maxRetriesPerRequest: null,
    lazyConnect: true,
    ...(patient ? {} : { retryStrategy: () => null }),
  });
  connection.on('error', () => {});
  try {
    await connection.connect();
  } catch (error) {
    connection.disconnect();
    throw new ShardbookError({
      code: 'SB_QUEUE_UNREACHABLE',
      message: `Cannot use the queue at ${url}: ${(error as Error).message || 'no answer'}`,
      help: 'Start a Redis server there, or name another with --redis URL',
    });
  }
  return { bullmq, connection };
}

/** Puts jobs into the queue and waits for their results. */
export class BullmqExecutor implements Executor {
  private constructor(
    private readonly queue: Queue,
    private readonly events: QueueEvents,
    private readonly connections: readonly { disconnect(): void }[],
  ) {}

  static async start(options: QueueOptions): Promise<BullmqExecutor> {
    const { bullmq, connection } = await connect(options, false);
    const second = await connect(options, true);
    const queue = new bullmq.Queue(options.name, { connection });
    const events = new bullmq.QueueEvents(options.name, { connection: second.connection });
    await events.waitUntilReady();
    return new BullmqExecutor(queue, events, [connection, second.connection]);
  }

  async run(jobs: readonly Job[], onResult: (job: Job, report: Report) => void): Promise<void> {
    const byKey = new Map(jobs.map((job) => [job.key, job]));
    await nothingLeft<string>(byKey.keys(), async (settle, left, fail) => {
      const take = async (id: string): Promise<void> => {
        const job = byKey.get(id);
        if (job === undefined || !left.has(id)) return;
        // First the state: a job that was read before it was done has no result, whatever its state is by then.
        const state = await this.queue.getJobState(id);
        if (state !== 'completed' && state !== 'failed') return;
        const queued = await this.queue.getJob(id);
        if (queued === undefined || !left.has(id)) return;
        onResult(
          job,
          state === 'completed'
            ? (queued.returnvalue as Report)
            : failed(job, new Error(`no worker could grade it: ${queued.failedReason}`)),
        );
        // Last: what goes wrong with the last result ends the run as well.
        settle(id);
        // Results are kept in files; the queue forgets them, so that a later run may put the job in again.
        await queued.remove().catch(() => {});
      };
      const taken = (id: string): void => void take(id).catch(fail);
      const heard = ({ jobId }: { jobId: string }): void => taken(jobId);
      this.events.on('completed', heard);
      this.events.on('failed', heard);
      // What an earlier run left there is done already, or under way.
      await this.queue.addBulk(
        jobs.map((job) => ({ name: 'grade', data: job, opts: { jobId: job.key, attempts: 3 } })),
      );
      // Events can be missed while a connection is made again.
      const poll = setInterval(() => {
        for (const id of left) taken(id);
      }, 1000);
      return () => {
        clearInterval(poll);
        this.events.off('completed', heard);
        this.events.off('failed', heard);
      };
    });
  }

  async close(): Promise<void> {
    await this.events.close();
    await this.queue.close();
    for (const connection of this.connections) connection.disconnect();
  }
}

export interface QueueWorker {
  close(): Promise<void>;
}

/** Takes jobs from the queue until it is closed. `onDone` hears of each. */
export async function startWorker(
  options: QueueOptions & { readonly jobs: number },
  place: Place,
  onDone: (job: Job, report: Report) => void = () => {},
): Promise<QueueWorker> {
  const { bullmq, connection } = await connect(options, false);
  const lock = options.lockMs ?? LOCK_MS;
  const worker = new bullmq.Worker(
    options.name,
    async (queued) => {
      const job = queued.data as Job;
      const report = await gradeJob(job, place);
      // Not the submission's fault: back into the queue, as often as the job's attempts say.
      if (report.verdict === 'infra-error')
        throw new Error(
          report.feedback?.message ??
            report.checks.find((check) => check.verdict === 'infra-error')?.feedback?.message ??
            'the grader could not work',
        );
      onDone(job, report);
      return report;
    },
    {
      connection,
      concurrency: options.jobs,
      lockDuration: lock,
      stalledInterval: lock,
      maxStalledCount: MOST_STALLS,
    },
  );
  worker.on('error', () => {});
  return {
    close: async () => {
      await worker.close();
      connection.disconnect();
    },
  };
}
