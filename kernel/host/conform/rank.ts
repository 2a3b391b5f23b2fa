/** The thread's side: runs one program at a time as one rank of its world. */
import { beginWork, dist, endWork } from '../../runtime/index.js';
import { parseProgram } from './format.js';
import { Machine } from './machine.js';
import { checkObservations, type Failure, type RankJob } from './report.js';

const TIMEOUT_S = 30;

/** Runs the program as this rank; what differs, and the error that ended it, come back as failures. */
export async function runAsRank(job: RankJob, rank: number, world: number): Promise<Failure[]> {
  const program = parseProgram(job.text);
  const machine = new Machine(rank, world, job.scratch);
  beginWork();
  let failed: unknown;
  try {
    dist.initProcessGroup({ timeoutMs: 1000 * (program.timeoutS ?? TIMEOUT_S) });
    await machine.run(program);
    // No closing barrier: a rank whose program ends is idle, and whoever still waits for it is told so at once.
  } catch (error) {
    failed = error;
    // The error explains what is missing, so only what was observed is compared.
    const differing = checkObservations(program, rank, machine.seen).filter(({ label }) =>
      machine.seen.has(label),
    );
    return [...differing, { label: '', rank, text: error instanceof Error ? error.message : String(error) }];
  } finally {
    endWork(failed);
  }
  return checkObservations(program, rank, machine.seen);
}
