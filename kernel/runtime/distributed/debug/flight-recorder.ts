/**
 * The last calls of this rank, always on and cheap, to be dumped when something hangs. Entries have the fields of PyTorch's flight
 * recorder (`torch/csrc/distributed/c10d/FlightRecorder`), so that tools that read its dumps find what they look for.
 */

import { messageKind } from '../../simulator/index.js';
import { addCommHook, type CommCall, dist, withoutCommHooks } from '../group/index.js';

/** One call: what, on which group, how far it came. */
export interface FlightEntry {
  record_id: number;
  process_group: [name: string, description: string];
  ranks: readonly number[];
  collective_seq_id: number;
  p2p_seq_id: number;
  op_id: number;
  profiling_name: string;
  time_created_ns: number;
  time_discovered_completed_ns: number | null;
  duration_ms: number | null;
  input_sizes: number[][];
  input_dtypes: string[];
  output_sizes: number[][];
  output_dtypes: string[];
  /** 'scheduled' is issued; 'completed' done on this rank; 'failed' is ours. */
  state: 'scheduled' | 'completed' | 'failed';
  is_p2p: boolean;
  /** Nobody has waited for it yet. */
  retired: boolean;
  frames: { name: string; filename: string; line: number }[];
  error: string | null;
}

/** What one rank recorded. */
export interface FlightDump {
  version: string;
  rank: number;
  pg_config: Record<string, { name: string; desc: string; ranks: string }>;
  pg_status: Record<string, { last_enqueued_collective: number; last_completed_collective: number }>;
  entries: FlightEntry[];
}

export interface FlightRecorderOptions {
  /** Calls that are kept; default 2000. */
  size?: number;
  /** Notes the caller's line: costs some microseconds per call. Default true. */
  stacks?: boolean;
  /** Called with the dump when a call fails: by a deadlock, a timeout, another rank's error. */
  onFailure?: (dump: FlightDump) => void;
}

/** The last calls of this rank with their state, compared across ranks when one is stuck. */
export class FlightRecorder {
  readonly #ring: FlightEntry[] = [];
  readonly #open = new Map<CommCall, FlightEntry>();
  readonly #groups = new Map<string, { ranks: readonly number[]; enqueued: number; completed: number }>();
  #records = 0;
  #messages = 0;
  #stop: (() => void) | undefined;

  constructor(readonly options: FlightRecorderOptions = {}) {}

  start(): this {
    this.#stop ??= addCommHook({
      before: (call) => this.#before(call),
      done: (call, error) => this.#done(call, error),
      waited: (call) => {
        const entry = this.#open.get(call);
        if (entry !== undefined) entry.retired = true;
        this.#open.delete(call);
      },
    });
    return this;
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** What this rank did last, oldest first. */
  dump(options: { onlyActive?: boolean } = {}): FlightDump {
    const groups = [...this.#groups];
    return {
      version: '2.9',
      rank: dist.isInitialized() ? dist.getRank() : 0,
      pg_config: Object.fromEntries(
        groups.map(([name, { ranks }]) => [name, { name, desc: name, ranks: JSON.stringify(ranks) }]),
      ),
      pg_status: Object.fromEntries(
        groups.map(([name, { enqueued, completed }]) => [
          name,
          { last_enqueued_collective: enqueued, last_completed_collective: completed },
        ]),
      ),
      entries: this.#ring
        .filter((entry) => !options.onlyActive || entry.state === 'scheduled')
        .map((entry) => ({ ...entry })),
    };
  }

  /** The dumps of all ranks; every rank calls it. After a failure that is the next cell. */
  gather(): FlightDump[] {
    const own = this.dump();
    const all = Array.from({ length: dist.getWorldSize() }, () => null as unknown);
    withoutCommHooks(() => dist.allGatherObject(all, own));
    return all as FlightDump[];
  }

  #before(call: CommCall): void {
    const p2p = messageKind(call.op) !== undefined;
    const group = this.#groups.get(call.group) ?? { ranks: call.groupRanks, enqueued: 0, completed: 0 };
    this.#groups.set(call.group, group);
    if (!p2p) group.enqueued = call.seq;
    const outputs = call.outputs;
    const entry: FlightEntry = {
      record_id: this.#records++,
      process_group: [call.group, call.group],
      ranks: call.groupRanks,
      collective_seq_id: p2p ? group.enqueued : call.seq,
      p2p_seq_id: p2p ? ++this.#messages : this.#messages,
      op_id: call.id,
      profiling_name: `shardbook:${call.op}`,
      time_created_ns: nanoseconds(),
      time_discovered_completed_ns: null,
      duration_ms: null,
      input_sizes: call.inputs.map((t) => [...t.shape]),
      input_dtypes: call.inputs.map((t) => t.dtype.name),
      output_sizes: outputs.map((t) => [...t.shape]),
      output_dtypes: outputs.map((t) => t.dtype.name),
      state: 'scheduled',
      is_p2p: p2p,
      retired: false,
      frames: this.options.stacks === false ? [] : frames(call.place()),
      error: null,
    };
    this.#ring.push(entry);
    if (this.#ring.length > (this.options.size ?? 2000)) this.#ring.shift();
    this.#open.set(call, entry);
  }

  #done(call: CommCall, error: unknown): void {
    const entry = this.#open.get(call);
    if (entry === undefined) return;
    if (error !== undefined) {
      entry.state = 'failed';
      entry.error = (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
      this.#open.delete(call);
      this.options.onFailure?.(this.dump());
      return;
    }
    entry.state = 'completed';
    entry.time_discovered_completed_ns = nanoseconds();
    entry.duration_ms = (entry.time_discovered_completed_ns - entry.time_created_ns) / 1e6;
    const group = this.#groups.get(call.group)!;
    if (!entry.is_p2p) group.completed = Math.max(group.completed, call.seq);
  }
}

/** The first place where ranks of a group did different things. */
export interface FlightFinding {
  group: string;
  seq: number;
  problem: string;
  /** What each rank did there; undefined: nothing. */
  ranks: Record<number, string | undefined>;
}

/**
 * Compares the dumps of all ranks, as PyTorch's `torchfrtrace` does: per group the first sequence number at which a rank is
 * missing, or calls something else, or has not finished.
 */
export function analyzeFlight(dumps: readonly FlightDump[]): FlightFinding[] {
  const findings: FlightFinding[] = [];
  const groups = new Map<string, readonly number[]>();
  for (const dump of dumps)
    for (const entry of dump.entries) if (!entry.is_p2p) groups.set(entry.process_group[0], entry.ranks);
  for (const [group, ranks] of groups) {
    const bySeq = new Map<number, Map<number, FlightEntry>>();
    // A group counts from 1 again after a failure; its latest calls are what matters then.
    for (const dump of dumps) {
      for (const entry of dump.entries) {
        if (entry.is_p2p || entry.process_group[0] !== group) continue;
        const at = bySeq.get(entry.collective_seq_id) ?? new Map<number, FlightEntry>();
        bySeq.set(entry.collective_seq_id, at.set(dump.rank, entry));
      }
    }
    for (const seq of [...bySeq.keys()].sort((a, b) => a - b)) {
      const at = bySeq.get(seq)!;
      const problem = problemAt(ranks, at);
      if (problem === undefined) continue;
      const said = ranks.map((rank) => [rank, at.has(rank) ? describe(at.get(rank)!) : undefined] as const);
      findings.push({ group, seq, problem, ranks: Object.fromEntries(said) });
      break;
    }
  }
  return findings;
}

function problemAt(ranks: readonly number[], at: ReadonlyMap<number, FlightEntry>): string | undefined {
  const missing = ranks.filter((rank) => !at.has(rank));
  if (missing.length > 0)
    return `${missing.length === 1 ? 'rank' : 'ranks'} ${missing.join(', ')} did not call it`;
  const entries = [...at.values()];
  if (new Set(entries.map((entry) => entry.profiling_name)).size > 1)
    return 'the ranks call different operations';
  const shape = (entry: FlightEntry): string => JSON.stringify([entry.input_sizes, entry.input_dtypes]);
  const uneven = /allToAll|scatter|gather|broadcast/i.test(entries[0]!.profiling_name);
  if (!uneven && new Set(entries.map(shape)).size > 1)
    return 'the ranks give tensors of different shapes or dtypes';
  const stuck = ranks.filter((rank) => at.get(rank)!.state !== 'completed');
  if (stuck.length === 0) return undefined;
  return `it is not done on ${stuck.length === 1 ? 'rank' : 'ranks'} ${stuck.join(', ')}`;
}

function describe(entry: FlightEntry): string {
  const reads = entry.input_sizes.length > 0;
  const [shapes, dtypes] = reads
    ? [entry.input_sizes, entry.input_dtypes]
    : [entry.output_sizes, entry.output_dtypes];
  const sizes = shapes.map((size, i) => `${dtypes[i]}[${size.join(', ')}]`);
  const frame = entry.frames[0];
  const file = frame === undefined || frame.filename === '' ? '' : `${frame.filename}, `;
  const place = frame === undefined ? '' : ` at ${file}line ${frame.line}`;
  return `${entry.profiling_name.replace('shardbook:', '')}(${sizes.join(', ')}) ${entry.state}${place}`;
}

function frames(place: string | undefined): FlightEntry['frames'] {
  const found = place === undefined ? null : /^(?:(.*), )?line (\d+)$/.exec(place);
  return found === null ? [] : [{ name: '', filename: found[1] ?? '', line: Number(found[2]) }];
}

function nanoseconds(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1e6);
}
