/**
 * Limits on time that a busy machine does not shorten: what a process spends waiting for a processor that others have is
 * added, as the system counts it (Linux: run delay in `schedstat`). A process that sleeps or computes gains nothing by it.
 */
import { readFileSync } from 'node:fs';

/** However busy the machine is, a limit is stretched at most so far. */
const LONGEST = 6;

/** Milliseconds that the main thread of a process has waited for a processor so far; 0 where the system does not say. */
export function waitedMs(pid: number | undefined): number {
  return pid === undefined ? 0 : runDelayMs(`/proc/${pid}`);
}

function runDelayMs(folder: string): number {
  if (process.platform !== 'linux') return 0;
  try {
    return Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[1]) / 1e6 || 0;
  } catch {
    return 0;
  }
}

/**
 * Calls `expire` when `seconds` have passed, not counting what `waited` (milliseconds, ever growing) grew by and what this
 * process itself waited. Returns what takes the deadline back.
 */
export function startDeadline(seconds: number, waited: () => number, expire: () => void): () => void {
  const limit = seconds * 1000;
  const all = (): number => waited() + waitedMs(process.pid);
  const started = performance.now();
  const before = all();
  let timer: NodeJS.Timeout;
  const look = (): void => {
    const passed = performance.now() - started;
    const allowed = limit + Math.min(Math.max(0, all() - before), (LONGEST - 1) * limit);
    if (passed >= allowed) expire();
    else timer = setTimeout(look, allowed - passed + 1);
  };
  timer = setTimeout(look, limit);
  return () => clearTimeout(timer);
}
