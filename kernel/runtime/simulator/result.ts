/** What a simulation found out, and how it is shown. */
import type { Algorithm } from './algorithms.js';
import { type ChromeTrace, chromeTrace } from './chrome.js';
import type { Cluster } from './cluster.js';
import type { PortUse } from './engine.js';
import { type MimeBundle, timelineFigure, toMime } from './figures.js';
import { type Interval, measure, overlap } from './intervals.js';
import { seconds } from './units.js';

/** Something on a stream of a rank, in virtual seconds. */
export interface Span {
  rank: number;
  stream: string;
  /** Index in the rank's program. */
  item: number;
  label: string;
  kind: 'compute' | 'communication';
  start: number;
  end: number;
  bytes: number;
  algorithm?: Algorithm;
}

export interface RankSummary {
  rank: number;
  end: number;
  compute: number;
  communication: number;
  /** Communication during which the rank computes nothing. */
  exposed: number;
  /** Share of the whole run in which the rank computes nothing. */
  idleShare: number;
}

/** Virtual start and end of everything that ran, with figures by rank and a Chrome trace. */
export class SimulationResult {
  readonly #events: ReadonlyMap<string, number>;

  constructor(
    readonly cluster: Cluster,
    readonly spans: readonly Span[],
    events: ReadonlyMap<string, number>,
    readonly ports: ReadonlyMap<string, PortUse>,
  ) {
    this.#events = events;
  }

  /** Virtual seconds until everything is done. */
  get makespan(): number {
    return this.spans.reduce((end, span) => Math.max(end, span.end), 0);
  }

  get ranks(): number[] {
    return [...new Set(this.spans.map((span) => span.rank))].sort((a, b) => a - b);
  }

  /** The virtual clock: when the stream (or, without one, the rank) is done. */
  clock(rank: number, stream?: string): number {
    return this.of(rank, stream).reduce((end, span) => Math.max(end, span.end), 0);
  }

  /** When the rank's stream reached the recorded event. */
  timeOf(rank: number, event: string): number | undefined {
    return this.#events.get(`${rank} ${event}`);
  }

  of(rank: number, stream?: string): Span[] {
    return this.spans.filter((s) => s.rank === rank && (stream === undefined || s.stream === stream));
  }

  summary(rank: number): RankSummary {
    const spans = this.of(rank);
    const times = (kind: Span['kind']): Interval[] =>
      spans.filter((s) => s.kind === kind).map((s) => [s.start, s.end]);
    const [compute, communication] = [times('compute'), times('communication')];
    const total = this.makespan;
    return {
      rank,
      end: this.clock(rank),
      compute: measure(compute),
      communication: measure(communication),
      exposed: measure(communication) - overlap(compute, communication),
      idleShare: total === 0 ? 0 : 1 - measure(compute) / total,
    };
  }

  /** Bytes through each port, and the share of the run in which its transfers were under way. */
  linkUse(): { port: string; tier: string; bytes: number; busyShare: number }[] {
    const total = this.makespan;
    return [...this.ports].map(([port, use]) => ({
      port,
      tier: use.tier,
      bytes: use.bytes,
      busyShare: total === 0 ? 0 : measure(use.spans) / total,
    }));
  }

  /** For chrome://tracing and Perfetto: one process per rank, one thread per stream. */
  toChromeTrace(): ChromeTrace {
    return chromeTrace(
      this.spans.map((s) => ({
        rank: s.rank,
        lane: s.stream,
        name: s.label,
        category: s.kind,
        startSeconds: s.start,
        seconds: s.end - s.start,
        args: { bytes: s.bytes, ...(s.algorithm === undefined ? {} : { algorithm: s.algorithm }) },
      })),
    );
  }

  [toMime](): MimeBundle {
    return {
      'application/vnd.plotly.v1+json': timelineFigure(
        this.spans.map((s) => ({ ...s, lane: `rank ${s.rank} ${s.stream}`, name: s.label })),
        'Virtual time',
      ),
      'text/plain': this.toString(),
    };
  }

  toString(): string {
    const lines = this.ranks.map((rank) => {
      const s = this.summary(rank);
      return `rank ${rank}: compute ${seconds(s.compute)}, communication ${seconds(s.communication)} (${seconds(s.exposed)} exposed), ends ${seconds(s.end)}`;
    });
    const head = `Simulation of ${this.ranks.length} ranks on ${this.cluster}: ${seconds(this.makespan)}`;
    return [head, ...lines].join('\n');
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}
