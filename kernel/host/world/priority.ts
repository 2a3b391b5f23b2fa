/**
 * Ranks of a notebook compute on every core there is. The thread that answers the front end must not wait for its turn among
 * them: an interrupt, a completion, a click would take a scheduler's slice for each step on its way.
 */
import { readlinkSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';

/** Lets all other threads go before the calling one. Linux alone has priorities of threads; elsewhere nothing happens. */
export function stepBack(): void {
  if (process.platform !== 'linux') return;
  try {
    const [, id] = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self')) ?? [];
    if (id !== undefined)
      // One that stands further back already stays there.
      setPriority(Number(id), Math.max(getPriority(), constants.priority.PRIORITY_BELOW_NORMAL));
  } catch {
    // A system without /proc, or one that forbids it: the thread keeps the priority that it has.
  }
}
