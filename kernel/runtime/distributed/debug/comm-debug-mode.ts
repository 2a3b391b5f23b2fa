/** Counts the collectives and messages of this rank inside a scope: in all, by operation, group, mesh axis and module. */
import { runStarted } from '../../base/index.js';
import { bytesText, table } from '../../simulator/index.js';
import { addCommHook, type CommCall, describeTensor } from '../group/index.js';
import { ModuleTracker } from './module-tracker.js';

/** A call that was counted. */
export interface CountedCall {
  op: string;
  group: string;
  /** Name of the mesh axis whose group it is; 'world' for the group of all ranks. */
  axis: string | undefined;
  seq: number;
  shapes: readonly (readonly number[])[];
  dtype: string | undefined;
  bytes: number;
  tensors: readonly string[];
  /** Path of the module that made it, in forward or backward. */
  module: string | undefined;
  backward: boolean;
}

/** Counts collectives while it is on: by operation, mesh axis and module. */
export class CommDebugMode {
  readonly #calls: CountedCall[] = [];
  readonly #tracker = new ModuleTracker();
  #stop: (() => void) | undefined;

  /** Counts while `body` runs; returns what it returns. */
  run<T>(body: () => T): T {
    return runStarted(this, body);
  }

  /** Forgets what was counted and counts from now on. */
  start(): this {
    this.stop();
    this.#calls.length = 0;
    this.#tracker.start();
    this.#stop = addCommHook({ before: (call) => this.#count(call) });
    return this;
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#tracker.stop();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #count(call: CommCall): void {
    this.#calls.push({
      op: call.op,
      group: call.group,
      axis: axisOf(call.group),
      seq: call.seq,
      shapes: call.shapes,
      dtype: call.dtype,
      bytes: call.bytes,
      tensors: call.inputs.map(describeTensor),
      module: this.#tracker.current,
      backward: this.#tracker.inBackward,
    });
  }

  getTotalCounts(): number {
    return this.#calls.length;
  }

  /** By operation: `{ allReduce: 2 }`. */
  getCommCounts(): Record<string, number> {
    return countBy(this.#calls, (call) => call.op);
  }

  /** By group name, then by operation. */
  getCommCountsByGroup(): Record<string, Record<string, number>> {
    return nested(this.#calls, (call) => call.group);
  }

  /** By mesh axis, then by operation; calls on other groups are not in it. */
  getCommCountsByAxis(): Record<string, Record<string, number>> {
    return nested(this.#calls, (call) => call.axis);
  }

  /** By module, then by operation: each module's own calls and those of the modules in it. 'Global' has all. */
  getCommCountsByModule(): Record<string, Record<string, number>> {
    const counts: Record<string, Record<string, number>> = { Global: this.getCommCounts() };
    for (const { op, module } of this.#calls) {
      for (const path of pathsTo(module)) {
        counts[path] ??= {};
        const entry = counts[path];
        entry[op] = (entry[op] ?? 0) + 1;
      }
    }
    return counts;
  }

  /** Bytes that this rank contributed, by operation. */
  getCommBytes(): Record<string, number> {
    const bytes: Record<string, number> = {};
    for (const call of this.#calls) bytes[call.op] = (bytes[call.op] ?? 0) + call.bytes;
    return bytes;
  }

  /** The calls that were counted. */
  get events(): readonly CountedCall[] {
    return this.#calls;
  }

  /** Calls by module, forward and backward apart, each with group and tensors. */
  generateCommDebugTracingTable(): string {
    const rows = this.#calls.map((call, i) => [
      String(i),
      call.op,
      call.axis ?? call.group,
      call.tensors.slice(0, 3).join(', '),
      bytesText(call.bytes),
      call.module ?? '',
      call.backward ? 'backward' : 'forward',
    ]);
    const counts = Object.entries(this.getCommCounts()).map(([op, n]) => `${op} ${n}`);
    const head = ['#', 'operation', 'group', 'tensors', 'bytes', 'module', 'pass'];
    return [
      `${this.#calls.length} calls${counts.length > 0 ? `: ${counts.join(', ')}` : ''}`,
      ...(rows.length > 0 ? [table([head, ...rows])] : []),
    ].join('\n');
  }

  /** Everything as plain data. */
  generateJsonDump(): string {
    return JSON.stringify(
      {
        total: this.getTotalCounts(),
        counts: this.getCommCounts(),
        byAxis: this.getCommCountsByAxis(),
        byModule: this.getCommCountsByModule(),
        calls: this.#calls,
      },
      null,
      2,
    );
  }

  toString(): string {
    return this.generateCommDebugTracingTable();
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

/** Meshes name their groups after their axes. */
function axisOf(group: string): string | undefined {
  if (group === 'world') return 'world';
  return /^mesh axis (.+) \(ranks .*\)$/.exec(group)?.[1];
}

/** "A.b.c": A, A.b, A.b.c. */
function pathsTo(module: string | undefined): string[] {
  if (module === undefined) return [];
  const parts = module.split('.');
  return parts.map((_, i) => parts.slice(0, i + 1).join('.'));
}

function countBy(calls: readonly CountedCall[], key: (call: CountedCall) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const call of calls) counts[key(call)] = (counts[key(call)] ?? 0) + 1;
  return counts;
}

function nested(
  calls: readonly CountedCall[],
  key: (call: CountedCall) => string | undefined,
): Record<string, Record<string, number>> {
  const names = [...new Set(calls.map(key))].filter((name): name is string => name !== undefined);
  return Object.fromEntries(
    names.map((name) => [
      name,
      countBy(
        calls.filter((call) => key(call) === name),
        (call) => call.op,
      ),
    ]),
  );
}
