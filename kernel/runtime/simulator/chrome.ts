/** The trace event format of chrome://tracing and Perfetto. */
export interface TraceSpan {
  rank: number;
  lane: string;
  name: string;
  category: string;
  startSeconds: number;
  seconds: number;
  args?: Record<string, unknown>;
}

export interface TraceEvent {
  name: string;
  ph: 'X' | 'M';
  pid: number;
  tid: number;
  ts?: number;
  dur?: number;
  cat?: string;
  args: Record<string, unknown>;
}

export interface ChromeTrace {
  traceEvents: TraceEvent[];
  displayTimeUnit: 'ms' | 'ns';
}

/** A process per rank, a thread per lane; times in microseconds as the format wants. */
export function chromeTrace(spans: readonly TraceSpan[]): ChromeTrace {
  const lanes = new Map<string, number>();
  const events: TraceEvent[] = [];
  const named = new Set<number>();
  for (const span of spans) {
    const pid = span.rank;
    if (!named.has(pid)) {
      named.add(pid);
      events.push({ name: 'process_name', ph: 'M', pid, tid: 0, args: { name: `rank ${pid}` } });
      events.push({ name: 'process_sort_index', ph: 'M', pid, tid: 0, args: { sort_index: pid } });
    }
    const key = `${pid}|${span.lane}`;
    let tid = lanes.get(key);
    if (tid === undefined) {
      tid = [...lanes.keys()].filter((lane) => lane.startsWith(`${pid}|`)).length;
      lanes.set(key, tid);
      events.push({ name: 'thread_name', ph: 'M', pid, tid, args: { name: span.lane } });
    }
    events.push({
      name: span.name,
      ph: 'X',
      pid,
      tid,
      ts: span.startSeconds * 1e6,
      dur: span.seconds * 1e6,
      cat: span.category,
      args: span.args ?? {},
    });
  }
  return { traceEvents: events, displayTimeUnit: 'ms' };
}
