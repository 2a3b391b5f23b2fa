/** The calls of all ranks, put together: one collective is what its members called, one message a send and a receive. */
import { escapeHtml, ShardbookError } from '../../base/index.js';
import {
  type Algorithm,
  bytesSent,
  bytesText,
  type ChromeTrace,
  type Cluster,
  canRun,
  chromeTrace,
  collectiveSeconds,
  fastestAlgorithm,
  type MimeBundle,
  matrixFigure,
  messageKind,
  type Phase,
  phasesOf,
  specOf,
  stackedFigure,
  table,
  timelineFigure,
  toMime,
} from '../../simulator/index.js';
import { formatTensor, type Tensor } from '../../tensor/index.js';
import { type CommStep, describeStep, type RecordedValue, tensorOf } from './step.js';

/** How bytes on the wire are counted. */
export interface WireOptions {
  /** For collectives that can run it; others, and default: what is usual for each (ring, binomial tree, pairwise). */
  algorithm?: Algorithm | undefined;
  /** Which node a rank is in, for 'hierarchical'. */
  cluster?: Cluster | undefined;
}

/** One collective or message, with the steps of all who took part. */
export class TracedCall {
  constructor(
    /** Place in the trace. */
    readonly index: number,
    readonly steps: ReadonlyMap<number, CommStep>,
  ) {}

  get first(): CommStep {
    return this.steps.values().next().value!;
  }

  get op(): string {
    return this.isMessage ? 'message' : this.first.op;
  }

  get isMessage(): boolean {
    return messageKind(this.first.op) !== undefined;
  }

  get group(): string {
    return this.first.group;
  }

  get seq(): number {
    return this.first.seq;
  }

  /** Ranks that made the call. */
  get ranks(): number[] {
    return [...this.steps.keys()].sort((a, b) => a - b);
  }

  /** Ranks of the group that did not. */
  get missing(): number[] {
    if (this.isMessage)
      return this.steps.size === 2 || this.first.peer === undefined ? [] : [this.first.peer];
    return this.first.groupRanks.filter((rank) => !this.steps.has(rank));
  }

  /** What each rank gave, by rank; needs a recording with values. */
  get inputs(): Map<number, Tensor[]> {
    return this.#values('inputs');
  }

  /** What each rank got, by rank; needs a recording with values. */
  get outputs(): Map<number, Tensor[]> {
    return this.#values('outputs');
  }

  /** The messages of the call on the wire. */
  phases(o: WireOptions = {}): Phase[] {
    if (this.isMessage) {
      const send = [...this.steps.values()].find((step) => messageKind(step.op) === 'send');
      const receive = [...this.steps.values()].find((step) => messageKind(step.op) === 'recv');
      const src = send?.rank ?? receive?.peer;
      const dst = receive?.rank ?? send?.peer;
      if (src === undefined || dst === undefined) return [];
      return [{ name: 'message', rounds: 1, messages: [{ src, dst, bytes: this.first.bytes }] }];
    }
    if (this.missing.length > 0) return [];
    return phasesOf(this.#spec(o), this.#algorithm(o));
  }

  /** Bytes that each rank sends. */
  wireBytes(o: WireOptions = {}): Map<number, number> {
    if (!this.isMessage && this.missing.length === 0) {
      const sent = bytesSent(this.#spec(o), this.#algorithm(o));
      return new Map(this.first.groupRanks.map((rank, i) => [rank, sent[i]!]));
    }
    const sent = new Map<number, number>();
    for (const { src, bytes } of this.phases(o).flatMap((phase) => phase.messages))
      sent.set(src, (sent.get(src) ?? 0) + bytes);
    return sent;
  }

  /** Seconds on an idle cluster. */
  secondsOn(cluster: Cluster, algorithm?: Algorithm | 'auto'): number {
    if (this.isMessage) {
      const [phase] = this.phases();
      const message = phase?.messages[0];
      if (message === undefined) return 0;
      const { tier } = cluster.route(message.src, message.dst);
      return tier.latencySeconds + message.bytes / tier.bytesPerSecond;
    }
    if (this.missing.length > 0) return 0;
    const spec = this.#spec({ cluster });
    return collectiveSeconds(
      cluster,
      spec,
      algorithm === 'auto' ? fastestAlgorithm(cluster, spec) : algorithm,
    );
  }

  toString(): string {
    if (!this.isMessage) return describeStep(this.first);
    const { src, dst } = this.phases()[0]?.messages[0] ?? { src: this.first.rank, dst: this.first.peer };
    return `message from rank ${src} to rank ${dst}: ${this.first.tensors.join(', ')}`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  /** A table of what each rank gave and got, if values were recorded. */
  [toMime](): MimeBundle {
    const rows = this.ranks.map((rank) => {
      const { inputs, outputs, place, error } = this.steps.get(rank)!;
      const shown = (values: readonly RecordedValue[] | undefined): string =>
        values === undefined
          ? 'not recorded'
          : values.map((value) => formatTensor(tensorOf(value))).join('\n');
      return [`rank ${rank}`, shown(inputs), error ?? shown(outputs), place ?? ''];
    });
    const line = (cells: readonly string[], tag: string): string =>
      `<tr>${cells.map((cell) => `<${tag} style="text-align:left"><pre>${escapeHtml(cell)}</pre></${tag}>`).join('')}</tr>`;
    const head = ['', 'gives', 'gets', 'at'];
    const html = `<table><caption>${escapeHtml(this.toString())}</caption>${line(head, 'th')}${rows.map((row) => line(row, 'td')).join('')}</table>`;
    const text = rows.map(([rank, gives, gets]) => `${rank}: ${oneLine(gives!)} -> ${oneLine(gets!)}`);
    return { 'text/html': html, 'text/plain': [this.toString(), ...text].join('\n') };
  }

  #spec(o: WireOptions) {
    const calls = this.first.groupRanks.map((rank) => this.steps.get(rank)!);
    const { cluster } = o;
    return specOf(calls, cluster === undefined ? undefined : (rank) => cluster.nodeOf(rank));
  }

  #algorithm(o: WireOptions): Algorithm | undefined {
    return o.algorithm !== undefined && canRun(this.#spec(o), o.algorithm) ? o.algorithm : undefined;
  }

  #values(which: 'inputs' | 'outputs'): Map<number, Tensor[]> {
    return new Map(
      this.ranks.map((rank) => {
        const values = this.steps.get(rank)![which];
        if (values === undefined) throw noValues(this.toString());
        return [rank, values.map(tensorOf)];
      }),
    );
  }
}

/** Every call of every rank: steps, traffic, figures, Chrome trace. */
export class CommTrace {
  readonly steps: readonly CommStep[];
  /** Collectives and messages, in an order that agrees with every rank's own. */
  readonly calls: readonly TracedCall[];

  constructor(steps: readonly CommStep[]) {
    this.steps = [...steps].sort((a, b) => a.rank - b.rank || a.index - b.index);
    this.calls = inOrder(join(this.steps)).map((call, index) => new TracedCall(index, call));
  }

  get ranks(): number[] {
    return [...new Set(this.steps.map((step) => step.rank))].sort((a, b) => a - b);
  }

  /** The steps of one rank. */
  of(rank: number): CommStep[] {
    return this.steps.filter((step) => step.rank === rank);
  }

  /** One call to look at: `trace.at(3).inputs.get(0)` is what rank 0 gave to the fourth call. Negative: from the end. */
  at(index: number): TracedCall {
    const call = this.calls.at(index);
    if (call !== undefined) return call;
    throw new ShardbookError({
      code: 'SB_TRACE',
      message: `Cannot go to call ${index} of the trace: it has ${this.calls.length}`,
    });
  }

  /** Calls per operation. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const call of this.calls) counts[call.op] = (counts[call.op] ?? 0) + 1;
    return counts;
  }

  /** Bytes that each rank sends, in the order of `ranks`. */
  wireBytes(o: WireOptions = {}): number[] {
    const sent = new Map(this.ranks.map((rank) => [rank, 0]));
    for (const call of this.calls)
      for (const [rank, bytes] of call.wireBytes(o)) sent.set(rank, (sent.get(rank) ?? 0) + bytes);
    return this.ranks.map((rank) => sent.get(rank)!);
  }

  /** Bytes from each rank (rows) to each rank (columns). */
  traffic(o: WireOptions = {}): number[][] {
    const size = 1 + Math.max(0, ...this.calls.flatMap((call) => [...call.ranks, ...call.first.groupRanks]));
    const matrix = Array.from({ length: size }, () => Array.from({ length: size }, () => 0));
    for (const call of this.calls)
      for (const { src, dst, bytes } of call.phases(o).flatMap((phase) => phase.messages))
        matrix[src]![dst]! += bytes;
    return matrix;
  }

  /** For chrome://tracing and Perfetto: a process per rank, a thread per group. */
  toChromeTrace(o: WireOptions = {}): ChromeTrace {
    return chromeTrace(
      this.calls.flatMap((call) =>
        [...call.steps.values()].map((step) => ({
          rank: step.rank,
          lane: call.isMessage ? 'messages' : `group ${step.group}`,
          name: step.op,
          category: call.isMessage ? 'message' : 'collective',
          startSeconds: step.start / 1e3,
          seconds: ((step.end ?? step.start) - step.start) / 1e3,
          args: {
            group: step.group,
            seq: step.seq,
            tensors: step.tensors,
            bytes: step.bytes,
            wireBytes: call.wireBytes(o).get(step.rank) ?? 0,
            place: step.place,
            module: step.module,
            error: step.error,
          },
        })),
      ),
    );
  }

  [toMime](): MimeBundle {
    const shown =
      this.steps.length <= BARS_MAX
        ? this.steps
        : this.calls.flatMap((call) => [...call.steps.values()]).slice(0, BARS_MAX);
    const cut =
      shown.length < this.steps.length ? `, the first ${shown.length} of ${this.steps.length} steps` : '';
    const bars = shown.map((step) => ({
      lane: `rank ${step.rank}`,
      name: step.op,
      start: step.start,
      // What took no measurable time is still to be seen.
      end: Math.max(step.end ?? step.start, step.start + 0.001),
      note: `${describeStep(step)}${step.error === undefined ? '' : `<br>${step.error}`}`,
    }));
    const figure = stackedFigure(
      timelineFigure(bars, `${this.calls.length} calls of ${this.ranks.length} ranks${cut}`, 'ms'),
      matrixFigure(this.traffic(), 'Traffic'),
    );
    return { 'application/vnd.plotly.v1+json': figure, 'text/plain': this.toString() };
  }

  toString(): string {
    const sent = new Map<string, { calls: number; bytes: number }>();
    for (const call of this.calls) {
      const entry = sent.get(call.op) ?? { calls: 0, bytes: 0 };
      entry.calls++;
      for (const bytes of call.wireBytes().values()) entry.bytes += bytes;
      sent.set(call.op, entry);
    }
    const rows = [...sent].map(([op, { calls, bytes }]) => [op, String(calls), bytesText(bytes)]);
    const failed = this.steps.filter((step) => step.error !== undefined);
    return [
      `Trace of ${this.ranks.length} ${this.ranks.length === 1 ? 'rank' : 'ranks'}: ${this.calls.length} calls`,
      ...(rows.length === 0 ? [] : [table([['operation', 'calls', 'on the wire'], ...rows])]),
      ...failed.map((step) => `rank ${step.rank} failed in ${describeStep(step)}: ${step.error}`),
    ].join('\n');
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  /** Plain data: one entry per step, without values. */
  toJSON(): { steps: Omit<CommStep, 'inputs' | 'outputs' | 'payload'>[] } {
    return {
      steps: this.steps.map(({ inputs: _i, outputs: _o, payload: _p, ...step }) => step),
    };
  }
}

export function noValues(call: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_TRACE',
    message: `Cannot show the values of ${call}: they were not recorded`,
    help: 'record with new CommRecorder({ values: true })',
  });
}

/** More bars than these are slow to draw. */
const BARS_MAX = 4000;

function oneLine(text: string): string {
  const flat = text.replace(/\s+/g, ' ');
  return flat.length > 100 ? `${flat.slice(0, 97)}...` : flat;
}

type Joined = Map<number, CommStep>;

/** Steps of one rank that belong to the same call of another: by group and sequence number, messages by their order. */
function join(steps: readonly CommStep[]): Joined[] {
  const joined = new Map<string, Joined>();
  const seen = new Map<string, number>();
  const count = (key: string): number => {
    const n = (seen.get(key) ?? 0) + 1;
    seen.set(key, n);
    return n;
  };
  for (const step of steps) {
    const kind = messageKind(step.op);
    let key: string;
    if (kind === undefined) {
      // After a failure a group counts from 1 again: its k-th call with a number meets the others' k-th.
      const call = `${step.group}|${step.groupRanks.join(',')}|${step.seq}`;
      key = `${call}|${count(`${step.rank} ${call}`)}`;
    } else {
      const [src, dst] = kind === 'send' ? [step.rank, step.peer] : [step.peer, step.rank];
      const call = `${step.group}|${src}>${dst}|${step.tag}`;
      key = `${call}|${count(`${kind} ${call}`)}`;
    }
    const others = joined.get(key) ?? new Map<number, CommStep>();
    joined.set(key, others.set(step.rank, step));
  }
  return [...joined.values()];
}

/** An order in which no rank sees a later call of its before an earlier one, as far as there is one. */
function inOrder(calls: readonly Joined[]): Joined[] {
  const queues = new Map<number, Joined[]>();
  for (const call of calls) {
    for (const rank of call.keys()) {
      const queue = queues.get(rank) ?? [];
      queue.push(call);
      queues.set(rank, queue);
    }
  }
  for (const [rank, queue] of queues) queue.sort((a, b) => a.get(rank)!.index - b.get(rank)!.index);
  const heads = new Map([...queues.keys()].map((rank) => [rank, 0]));
  const done = new Set<Joined>();
  const ordered: Joined[] = [];
  const headOf = (rank: number): Joined | undefined => {
    const queue = queues.get(rank)!;
    let at = heads.get(rank)!;
    while (at < queue.length && done.has(queue[at]!)) at++;
    heads.set(rank, at);
    return queue[at];
  };
  const ranks = [...queues.keys()].sort((a, b) => a - b);
  while (ordered.length < calls.length) {
    const open = ranks.map(headOf).filter((call): call is Joined => call !== undefined);
    const ready = open.find((call) => [...call.keys()].every((rank) => headOf(rank) === call));
    // Messages that cross each other in a batch have no such order: the first rank's goes first.
    const next = ready ?? open[0]!;
    done.add(next);
    ordered.push(next);
  }
  return ordered;
}
