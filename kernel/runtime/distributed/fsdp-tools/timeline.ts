/** A training step of FSDP in virtual time: what each rank did when, and what was in its memory. */
import { runThen } from '../../base/index.js';
import {
  bytesText,
  type Cluster,
  type Figure,
  MemoryLedger,
  type MimeBundle,
  Simulation,
  type SimulationOptions,
  type SimulationResult,
  seconds,
  stackFigure,
  table,
  timelineFigure,
  toMime,
} from '../../simulator/index.js';
import { type FsdpEvent, type FsdpEventKind, onFsdp } from '../fsdp/index.js';
import { dist, withoutCommHooks } from '../group/index.js';

/** An event with the virtual time at which this rank's compute stream reached it; of a copy between host and device, when it ran. */
export interface TimedFsdpEvent {
  rank: number;
  kind: FsdpEventKind;
  phase: 'begin' | 'end';
  module: string;
  seconds: number;
  /** Bytes of a collective's flat buffer. */
  bytes: number;
  groupSize: number;
  op: string;
  /** Bytes alive on the rank's device, by category. */
  memory: Record<string, number>;
  /** The same of the host's memory: what is offloaded. */
  host: Record<string, number>;
}

export interface FsdpTimelineOptions extends SimulationOptions {
  /** What the ledger counts besides FSDP's own: the model and the optimizer, as for `MemoryLedger.track`. */
  track?: Parameters<MemoryLedger['track']>[0][];
}

/** `mark` is the event of simulated time that tells when. */
type Written = Omit<TimedFsdpEvent, 'seconds' | 'rank'> & { mark: string };

/** A step of FSDP in virtual time, with its memory. */
export class FsdpTimeline {
  private constructor(
    readonly result: SimulationResult,
    readonly events: readonly TimedFsdpEvent[],
    /** Most bytes alive at once on the device, by rank. */
    readonly peaks: readonly number[],
    /** The same of host memory. */
    readonly hostPeaks: readonly number[],
  ) {}

  /** Runs `body` (a step, usually) and times it on the cluster. Every rank of the world calls it. */
  static record(cluster: Cluster, body: () => unknown, options: FsdpTimelineOptions = {}): FsdpTimeline {
    const { track = [], ...simulation } = options;
    const sim = new Simulation(cluster, simulation);
    const ledger = new MemoryLedger({ rank: dist.getRank() });
    for (const what of track) ledger.track(what);
    const written: Written[] = [];
    const write = (event: FsdpEvent): void => {
      const copy = event.transfer === undefined ? undefined : `${event.transfer} ${event.phase}`;
      const mark = copy ?? `fsdp ${written.length}`;
      if (copy === undefined) sim.mark(mark);
      written.push({
        kind: event.kind,
        phase: event.phase,
        module: event.module,
        bytes: event.bytes ?? 0,
        groupSize: event.groupSize ?? 0,
        op: event.op ?? '',
        memory: ledger.categories,
        host: ledger.host.categories,
        mark,
      });
    };
    let stop: (() => void) | undefined;
    const result = runThen(
      () => {
        ledger.start();
        ledger.resetPeak();
        stop = onFsdp(write);
        return sim.run(body);
      },
      () => {
        stop?.();
        ledger.stop();
      },
    );
    const all: unknown[] = Array.from({ length: dist.getWorldSize() }, () => null);
    withoutCommHooks(() =>
      dist.allGatherObject(all, { written, peak: ledger.peak.bytes, hostPeak: ledger.host.peak.bytes }),
    );
    const ranks = all as { written: Written[]; peak: number; hostPeak: number }[];
    const events = ranks.flatMap((own, rank) =>
      own.written.map(({ mark, ...event }) => ({ ...event, rank, seconds: result.timeOf(rank, mark) ?? 0 })),
    );
    return new FsdpTimeline(
      result,
      events,
      ranks.map((own) => own.peak),
      ranks.map((own) => own.hostPeak),
    );
  }

  /** Events of one rank, in order. */
  of(rank: number): TimedFsdpEvent[] {
    return this.events.filter((event) => event.rank === rank);
  }

  /** Virtual seconds of the step. */
  get makespan(): number {
    return this.result.makespan;
  }

  /** When each module computed: between its hooks. */
  moduleSpans(rank: number): { module: string; pass: 'forward' | 'backward'; start: number; end: number }[] {
    const open = new Map<string, number>();
    const spans: { module: string; pass: 'forward' | 'backward'; start: number; end: number }[] = [];
    const edges: Partial<Record<string, ['forward' | 'backward', 'open' | 'close']>> = {
      'preForward end': ['forward', 'open'],
      'postForward begin': ['forward', 'close'],
      'preBackward end': ['backward', 'open'],
      'accumulate begin': ['backward', 'close'],
    };
    for (const event of this.of(rank)) {
      const edge = edges[`${event.kind} ${event.phase}`];
      if (edge === undefined) continue;
      const key = `${edge[0]} ${event.module}`;
      if (edge[1] === 'open') {
        open.set(key, event.seconds);
        continue;
      }
      const start = open.get(key);
      if (start === undefined) continue;
      open.delete(key);
      spans.push({ module: event.module || 'root', pass: edge[0], start, end: event.seconds });
    }
    return spans;
  }

  /** Bars of one rank: modules, and what its communication streams did. */
  figure(rank = 0): Figure {
    const bars = this.moduleSpans(rank).map((span) => ({
      lane: `1 ${span.pass}`,
      name: span.module,
      start: span.start,
      end: span.end,
      note: `${span.pass} of ${span.module}`,
    }));
    for (const span of this.result.of(rank)) {
      if (span.kind === 'compute' && span.stream === 'compute') continue;
      bars.push({
        lane: `2 ${span.stream}`,
        name: span.label,
        start: span.start,
        end: span.end,
        note: bytesText(span.bytes),
      });
    }
    const above = timelineFigure(bars, `Rank ${rank}: one step of ${seconds(this.makespan)}`);
    const own = this.of(rank);
    const categories = [...new Set(own.flatMap((event) => Object.keys(event.memory)))];
    const onHost = [...new Set(own.flatMap((event) => Object.keys(event.host)))];
    const below = stackFigure(
      categories.map((name) => ({ name, values: own.map((event) => event.memory[name] ?? 0) })),
      own.map((event) => `${event.kind} ${event.module || 'root'}`),
      'Memory',
      undefined,
      onHost.map((name) => ({
        name: `host: ${name}`,
        values: own.map((event) => event.host[name] ?? 0),
      })),
    );
    return {
      data: [
        ...above.data,
        ...below.data.map((trace) => ({
          ...trace,
          x: own.map((event) => event.seconds),
          xaxis: 'x2',
          yaxis: 'y2',
        })),
      ],
      layout: {
        ...above.layout,
        height: Number(above.layout['height'] ?? 300) + 320,
        xaxis: { ...(above.layout['xaxis'] as object), anchor: 'y', matches: 'x2' },
        yaxis: { ...(above.layout['yaxis'] as object), domain: [0.5, 1] },
        xaxis2: { anchor: 'y2', title: { text: 'seconds' } },
        yaxis2: { anchor: 'x2', domain: [0, 0.4], title: { text: 'bytes' }, rangemode: 'tozero' },
      },
    };
  }

  [toMime](): MimeBundle {
    return {
      'application/vnd.plotly.v1+json': this.figure(0),
      'text/plain': this.toString(),
    };
  }

  /** The events of rank 0, a line each. */
  toString(): string {
    const bytes = (by: Record<string, number>): string =>
      bytesText(Object.values(by).reduce((sum, n) => sum + n, 0));
    const host = (this.hostPeaks[0] ?? 0) > 0;
    const rows = this.of(0)
      .filter((event) => event.phase === 'begin')
      .map((event) => [
        event.kind,
        event.module || 'root',
        seconds(event.seconds),
        event.bytes === 0 ? '' : bytesText(event.bytes),
        bytes(event.memory),
        ...(host ? [bytes(event.host)] : []),
      ]);
    const head = `${this.peaks.length} ranks, ${seconds(this.makespan)}; peak memory of rank 0: ${bytesText(this.peaks[0] ?? 0)}${host ? `, of its host: ${bytesText(this.hostPeaks[0]!)}` : ''}`;
    const columns = ['event', 'module', 'at', 'moves', 'alive', ...(host ? ['on the host'] : [])];
    return `${head}\n${table([columns, ...rows])}`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}
