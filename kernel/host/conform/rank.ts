/** The thread's side: runs one program at a time as one rank of its world. */
import { callIn, lookUp } from './access.js';
import { parseProgram } from './format.js';
import { Machine } from './machine.js';
import { checkObservations, type Failure, type RankJob } from './report.js';

const TIMEOUT_S = 30;

/** Runs the program as this rank; what differs, and the error that ended it, come back as failures. */
export async function runAsRank(job: RankJob, rank: number, world: number): Promise<Failure[]> {
  const program = parseProgram(job.text);
  const machine = new Machine(rank, world, job.scratch);
  const distributed = typeof lookUp('dist', 'initProcessGroup') === 'function';
  try {
    if (distributed) callIn('dist', 'initProcessGroup', { timeout: 1000 * (program.timeoutS ?? TIMEOUT_S) });
    await machine.run(program);
    if (distributed) callIn('dist', 'barrier');
  } catch (error) {
    // The error explains what is missing, so it comes before the observations that differ.
    const before = checkObservations(program, rank, machine.seen).filter((failure) => machine.seen.has(failure.label));
    return [...before, { label: '', rank, text: describe(error) }];
  } finally {
    if (distributed) {
      try {
        callIn('dist', 'destroyProcessGroup');
      } catch {
        // The failure that matters is the one above; the world is replaced after it.
      }
    }
  }
  return checkObservations(program, rank, machine.seen);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
