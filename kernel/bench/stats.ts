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

/** Milliseconds of the fastest of `runs` calls after `warmup` uncounted ones. */
export function fastestMs(work: () => unknown, runs = 15, warmup = 3): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = -warmup; i < runs; i++) {
    const started = performance.now();
    work();
    if (i >= 0) best = Math.min(best, performance.now() - started);
  }
  return best;
}
