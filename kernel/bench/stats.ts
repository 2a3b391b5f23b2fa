export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

export const median = (samples: readonly number[]): number => percentile(samples, 0.5);

export function round(value: number, digits = 3): number {
  return Number(value.toPrecision(digits));
}

/** Median milliseconds of `runs` calls after `warmup` uncounted ones. */
export function timeMs(work: () => unknown, runs = 7, warmup = 2): number {
  const samples: number[] = [];
  for (let i = -warmup; i < runs; i++) {
    const started = performance.now();
    work();
    if (i >= 0) samples.push(performance.now() - started);
  }
  return median(samples);
}

/** Milliseconds of the fastest of as many calls as fit in `budgetMs`, at least `runs`, after `warmup` uncounted ones. */
export function fastestMs(work: () => unknown, runs = 5, budgetMs = 700, warmup = 3): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < warmup; i++) work();
  const end = performance.now() + budgetMs;
  for (let i = 0; i < runs || performance.now() < end; i++) {
    const started = performance.now();
    work();
    best = Math.min(best, performance.now() - started);
  }
  return best;
}
