/** Sets of time, as sorted lists of disjoint intervals. */
export type Interval = readonly [start: number, end: number];

function union(intervals: readonly Interval[]): Interval[] {
  const sorted = intervals.filter(([a, b]) => b > a).sort((x, y) => x[0] - y[0]);
  const joined: [number, number][] = [];
  for (const [a, b] of sorted) {
    const last = joined[joined.length - 1];
    if (last !== undefined && a <= last[1]) last[1] = Math.max(last[1], b);
    else joined.push([a, b]);
  }
  return joined;
}

export function measure(intervals: readonly Interval[]): number {
  return union(intervals).reduce((sum, [a, b]) => sum + (b - a), 0);
}

/** Time that is in both. */
export function overlap(one: readonly Interval[], other: readonly Interval[]): number {
  return measure(one) + measure(other) - measure([...one, ...other]);
}
