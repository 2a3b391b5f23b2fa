/** Writes down every call of this rank, with values on request; `gather` makes the trace of all ranks. */
import { runStarted } from '../../base/index.js';
import { addCommHook, type CommCall, describeTensor, dist, withoutCommHooks } from '../group/index.js';
import { ModuleTracker } from './module-tracker.js';
import { type CommStep, recordedValue } from './step.js';
import { CommTrace } from './trace.js';

export interface RecorderOptions {
  /** Keeps copies of what each call reads and writes: true, or for which calls. Default false. */
  values?: boolean | ((call: CommCall) => boolean);
  /** Notes the module that made each call. Default true. */
  modules?: boolean;
  /** Only the latest so many calls are kept; default: all. */
  limit?: number;
}

/**
 * Records this rank's communication between `start` and `stop`.
 *
 * @example
 * const recorder = new CommRecorder({ values: true });
 * recorder.run(() => trainStep());
 * display(recorder.gather());
 */
export class CommRecorder {
  readonly #steps: CommStep[] = [];
  readonly #open = new Map<CommCall, CommStep>();
  readonly #tracker: ModuleTracker | undefined;
  #began = 0;
  #count = 0;
  #stop: (() => void) | undefined;

  constructor(readonly options: RecorderOptions = {}) {
    this.#tracker = options.modules === false ? undefined : new ModuleTracker();
  }

  /** Forgets what was recorded and listens. */
  start(): this {
    this.stop();
    this.#steps.length = 0;
    this.#count = 0;
    this.#began = now();
    this.#tracker?.start();
    this.#stop = addCommHook({
      before: (call) => void this.#before(call),
      done: (call, error) => this.#done(call, error),
      waited: (call) => {
        const step = this.#open.get(call);
        if (step !== undefined) step.waited = now() - this.#began;
        this.#open.delete(call);
      },
    });
    return this;
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#tracker?.stop();
    this.#open.clear();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** Records while `body` runs, also while what it returns is pending; returns what it returns. */
  run<T>(body: () => T): T {
    return runStarted(this, body);
  }

  /** What was recorded on this rank, in the order in which it was issued. */
  get steps(): readonly CommStep[] {
    return this.#steps;
  }

  /** The trace of this rank alone: no other rank is asked. */
  trace(): CommTrace {
    return new CommTrace([...this.#steps]);
  }

  /** The trace of all ranks. Every rank of the world calls it; it is not recorded itself. */
  gather(): CommTrace {
    this.stop();
    const all = Array.from({ length: dist.getWorldSize() }, () => null as unknown);
    withoutCommHooks(() => dist.allGatherObject(all, { began: this.#began, steps: this.#steps }));
    const parts = all as { began: number; steps: CommStep[] }[];
    const began = Math.min(...parts.map((part) => part.began));
    return new CommTrace(
      parts.flatMap((part) => part.steps.map((step) => shifted(step, part.began - began))),
    );
  }

  #before(call: CommCall): void {
    const { values = false, limit } = this.options;
    const keep = typeof values === 'function' ? values(call) : values;
    const step: CommStep = {
      rank: call.rank,
      index: this.#count++,
      op: call.op,
      group: call.group,
      groupRanks: [...call.groupRanks],
      seq: call.seq,
      tensors: (call.inputs.length > 0 ? call.inputs : call.outputs).map(describeTensor),
      shapes: call.shapes,
      dtype: call.dtype,
      bytes: call.bytes,
      async: call.async,
      reduceOp: call.reduceOp && { kind: call.reduceOp.kind, factor: call.reduceOp.factor },
      root: call.root,
      peer: call.peer,
      tag: call.tag,
      sendBytes: call.sendBytes,
      detail: call.detail,
      place: call.place(),
      module: this.#tracker?.current,
      start: now() - this.#began,
      end: undefined,
      waited: undefined,
      error: undefined,
      inputs: keep ? call.inputs.map(recordedValue) : undefined,
      outputs: keep ? [] : undefined,
      payload: keep ? call.payload?.slice() : undefined,
    };
    this.#steps.push(step);
    if (limit !== undefined && this.#steps.length > limit) this.#steps.shift();
    this.#open.set(call, step);
  }

  #done(call: CommCall, error: unknown): void {
    const step = this.#open.get(call);
    if (step === undefined) return;
    step.end = now() - this.#began;
    step.peer = call.peer;
    if (error !== undefined) step.error = headline(error);
    else if (step.outputs !== undefined) step.outputs = call.outputs.map(recordedValue);
  }
}

/** Comparable between the threads of a machine. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function shifted(step: CommStep, by: number): CommStep {
  const later = (time: number | undefined): number | undefined =>
    time === undefined ? undefined : time + by;
  return { ...step, start: step.start + by, end: later(step.end), waited: later(step.waited) };
}

function headline(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
}
