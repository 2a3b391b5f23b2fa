/** Pipeline schedules: order of work, times, bubbles. p stages, n micro-batches, v chunks of the model per rank. */
import { Fraction } from './fraction.js';
import { refuse } from './shared.js';

/** The order of forwards and backwards in a pipeline. */
export type Schedule = 'gpipe' | '1f1b' | 'interleaved';

/** Kind, micro-batch, chunk of the rank's model. */
export type PipelineUnit = [kind: 'F' | 'B', microBatch: number, chunk: number];

export interface PipelineOptions {
  schedule: Schedule;
  stages: number;
  microBatches: number;
  /** Chunks per rank; chunk c of rank r is model stage c p + r. */
  virtual?: number;
}

/**
 * What each rank works on, in order: gpipe (Huang et al. 2019), 1f1b (PipeDream-flush) and interleaved 1F1B (Narayanan et al.
 * 2021), in which the micro-batches must be a multiple of the stages.
 */
export function pipelineOrder({
  schedule,
  stages: p,
  microBatches: n,
  virtual: v = 1,
}: PipelineOptions): PipelineUnit[][] {
  const ranks = Array.from({ length: p }, (_, r) => r);
  const run = (kind: 'F' | 'B', from: number, to: number): PipelineUnit[] =>
    Array.from({ length: Math.max(0, to - from) }, (_, i) => [kind, from + i, 0]);
  if (schedule === 'gpipe') return ranks.map(() => [...run('F', 0, n), ...run('B', 0, n)]);
  if (schedule === '1f1b') {
    return ranks.map((r) => {
      const warm = Math.min(p - 1 - r, n);
      const steady = run('F', warm, n).flatMap((unit, i): PipelineUnit[] => [unit, ['B', i, 0]]);
      return [...run('F', 0, warm), ...steady, ...run('B', n - warm, n)];
    });
  }
  if (schedule !== 'interleaved')
    throw refuse(`"${String(schedule)}" is no schedule: wanted gpipe, 1f1b or interleaved`);
  if (n % p !== 0)
    throw refuse(`${n} micro-batches on ${p} interleaved stages: wanted a multiple of the stages`);
  const units = n * v;
  const unit = (k: number, kind: 'F' | 'B'): PipelineUnit => {
    const at = k % (p * v);
    const chunk = Math.floor(at / p);
    return [kind, Math.floor(k / (p * v)) * p + (at % p), kind === 'F' ? chunk : v - 1 - chunk];
  };
  return ranks.map((r) => {
    const warm = Math.min(2 * (p - 1 - r) + (v - 1) * p, units);
    const order: PipelineUnit[] = [];
    for (let k = 0; k < warm; k++) order.push(unit(k, 'F'));
    for (let k = 0; k < units - warm; k++) order.push(unit(warm + k, 'F'), unit(k, 'B'));
    for (let k = units - warm; k < units; k++) order.push(unit(k, 'B'));
    return order;
  });
}

export interface PipelineTimeOptions extends PipelineOptions {
  /** Time of a rank's whole model part for one micro-batch; any unit. */
  forward?: number;
  backward?: number;
  /** Until a result of another rank is there. */
  send?: number;
}

/** Runs the schedule: end of the last unit, idle share of all ranks, most units in flight per rank, busy time of a rank. */
export function pipelineTime(o: PipelineTimeOptions): {
  total: number;
  bubble: number;
  peak: number[];
  busy: number;
} {
  const { stages: p, microBatches: n, virtual: v = 1 } = o;
  const forward = Fraction.of(o.forward ?? 1);
  const backward = Fraction.of(o.backward ?? 2);
  const send = Fraction.of(p > 1 ? (o.send ?? 0) : 0);
  const orders = pipelineOrder(o);
  const end = new Map<string, Fraction>();
  const at = orders.map(() => 0);
  const clock = orders.map(() => Fraction.of(0));
  const last = p * v - 1;
  for (let moved = true; moved; ) {
    moved = false;
    orders.forEach((order, r) => {
      for (; at[r]! < order.length; at[r]!++) {
        const [kind, batch, chunk] = order[at[r]!]!;
        const stage = chunk * p + r;
        const first = stage === (kind === 'F' ? 0 : last);
        const input = end.get(`${kind} ${batch} ${kind === 'F' ? stage - 1 : stage + 1}`);
        if (!first && input === undefined) return;
        const ready = first ? Fraction.of(0) : input!.plus(send);
        clock[r] = clock[r]!.max(ready).plus((kind === 'F' ? forward : backward).over(v));
        end.set(`${kind} ${batch} ${stage}`, clock[r]!);
        moved = true;
      }
    });
  }
  if (orders.some((order, r) => at[r]! < order.length)) throw refuse('the schedule waits for itself');
  const peak = orders.map((order) => {
    let live = 0;
    let most = 0;
    for (const [kind] of order) {
      live += kind === 'F' ? 1 : -1;
      most = Math.max(most, live);
    }
    return most;
  });
  const total = clock.reduce((a, b) => a.max(b), Fraction.of(0));
  const busy = forward.plus(backward).times(n);
  return {
    total: total.toNumber(),
    bubble: Fraction.of(1).minus(busy.over(total)).toNumber(),
    peak,
    busy: busy.toNumber(),
  };
}

/** The idle part of a pipeline step. */
export interface Bubble {
  /** `share` in lowest terms. */
  num: number;
  den: number;
  /** Of the total time. */
  share: number;
  /** Over the ideal time. */
  overhead: number;
  /** Micro-batches (interleaved: chunks of them) in flight on rank 0. */
  peak: number;
}

/** The bubble in closed form, without sending: (p - 1) / (v n + p - 1) of the time. */
export function pipelineBubble({
  schedule,
  stages: p,
  microBatches: n,
  virtual = 1,
}: PipelineOptions): Bubble {
  const v = schedule === 'interleaved' ? virtual : 1;
  const share = Fraction.of(p - 1, v * n + p - 1);
  const peaks: Record<Schedule, number> = {
    gpipe: n,
    '1f1b': Math.min(p, n),
    interleaved: Math.min(2 * (p - 1) + (v - 1) * p + 1, n * v),
  };
  const peak = peaks[schedule];
  if (peak === undefined)
    throw refuse(`"${String(schedule)}" is no schedule: wanted gpipe, 1f1b or interleaved`);
  return {
    num: Number(share.numerator),
    den: Number(share.denominator),
    share: share.toNumber(),
    overhead: (p - 1) / (v * n),
    peak,
  };
}
