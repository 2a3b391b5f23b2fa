/** A loop that says how far it is: `for (const step of progress(100)) ...`. */
import { ShardbookError } from '../../../runtime/index.js';
import type { Progress } from './messages.js';

/** More often than a reader can follow only costs time. */
const EVERY_MS = 50;

let outlet: ((progress: Progress) => void) | undefined;
let nextLoop = 0;

/** Connects this thread's loops to its cell; called again for each cell, whose loops are numbered from 0. */
export function setProgressOutlet(value: (progress: Progress) => void): void {
  outlet = value;
  nextLoop = 0;
}

export interface ProgressOptions {
  label?: string;
  /** Number of items, where the iterable doesn't tell. */
  total?: number;
}

/**
 * Gives the items of `items` (or the numbers below it) and shows below the cell how far each rank has come.
 *
 * @example for (const step of progress(100, { label: 'training' })) trainStep(step);
 */
export function progress(items: number, options?: ProgressOptions): Generator<number, void, void>;
export function progress<T>(items: Iterable<T>, options?: ProgressOptions): Generator<T, void, void>;
export function* progress<T>(
  items: number | Iterable<T>,
  options: ProgressOptions = {},
): Generator<T | number, void, void> {
  const total = options.total ?? countOf(items);
  const { label = '' } = options;
  const id = nextLoop++;
  let done = 0;
  let last = Number.NEGATIVE_INFINITY;
  const say = (finished: boolean): void => {
    const now = performance.now();
    if (!finished && now - last < EVERY_MS) return;
    last = now;
    outlet?.({ id, label, done, total, finished });
  };
  try {
    for (const item of typeof items === 'number' ? below(items) : items) {
      say(false);
      yield item;
      done += 1;
    }
  } finally {
    say(true);
  }
}

function countOf(items: number | Iterable<unknown>): number | undefined {
  if (typeof items === 'number') {
    if (Number.isInteger(items) && items >= 0) return items;
    throw new ShardbookError({
      code: 'SB_PROGRESS',
      message: `Cannot count to ${items}: wanted a whole number from 0 on, or something iterable`,
    });
  }
  const { length, size } = items as { length?: unknown; size?: unknown };
  return [length, size].find((count): count is number => typeof count === 'number');
}

function* below(end: number): Generator<number, void, void> {
  for (let i = 0; i < end; i++) yield i;
}
