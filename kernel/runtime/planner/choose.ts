/** Which technique a model asks for, by what fits: a decision with its reasons. */
import { formulas } from '../simulator/index.js';
import { MemoryPlan, type MemoryPlanInput } from './memory.js';

export interface ChooseInput {
  params: number;
  /** Bytes of one device. */
  deviceBytes: number;
  devices: number;
  seq?: number;
  batch?: number;
  layers?: number;
  hidden?: number;
  heads?: number;
  /** The model must be cut into stages for other reasons. */
  needPipeline?: boolean;
  /** It answers requests, it is not trained. */
  serving?: boolean;
  /** Share of a device that may be planned; default 0.9. */
  headroom?: number;
}

/** A technique, its memory, and why. */
export interface Choice {
  technique: 'ddp' | 'fsdp' | 'fsdp+cp' | 'fsdp+offload' | 'pipeline' | 'inference engine' | 'more devices';
  reasons: string[];
  /** Ranks that one sequence is cut over. */
  contextParallel: number;
  plan: MemoryPlan | null;
}

/** Sequences from here on are cut over ranks even if they would fit: attention is quadratic in them. */
const LONG_SEQUENCE = 32_768;

/** The simplest parallelism that fits the memory of a device, and why simpler ones do not. */
export function chooseTechnique(input: ChooseInput): Choice {
  const { params, deviceBytes, devices, seq = 2048, batch = 1 } = input;
  const limit = deviceBytes * (input.headroom ?? 0.9);
  const reasons: string[] = [];
  const done = (technique: Choice['technique'], plan: MemoryPlan | null, contextParallel = 1): Choice => ({
    technique,
    reasons,
    contextParallel,
    plan,
  });
  const gb = (n: number): string => `${(n / 1e9).toFixed(1)} GB`;
  if (input.serving) {
    reasons.push(
      'gathering parameters for every request wastes what an engine with a cache of keys and values saves',
    );
    return done('inference engine', null);
  }
  const layers = input.layers ?? 32;
  const hidden = input.hidden ?? Math.round(Math.sqrt(params / (12 * layers)));
  const shape = { batch, layers, hidden, heads: input.heads ?? Math.max(1, Math.round(hidden / 128)) };
  const plan = (more: Partial<MemoryPlanInput>, tokens = seq): MemoryPlan =>
    new MemoryPlan({
      params,
      world: devices,
      groupParams: params / layers,
      recompute: 'selective',
      ...shape,
      seq: tokens,
      capacity: limit,
      ...more,
    });
  const replicated = plan({ strategy: 'ddp' });
  if (input.needPipeline) {
    reasons.push('stages are asked for: pipeline parallelism, with FSDP inside each stage');
    return done('pipeline', plan({}));
  }
  if (seq < LONG_SEQUENCE && replicated.total <= limit) {
    reasons.push(
      `everything fits one device (${gb(replicated.total)} of ${gb(limit)}): replicas move two thirds of FSDP's bytes`,
    );
    return done('ddp', replicated);
  }
  reasons.push(
    replicated.total > limit
      ? `replicas need ${gb(replicated.total)} of ${gb(limit)} per device: the state must be sharded`
      : `sequences of ${seq} tokens: activations grow with them, sharding parameters does not help`,
  );
  let cp = 1;
  while (
    cp < devices &&
    (seq / cp >= LONG_SEQUENCE || plan({}, seq / cp).total > limit) &&
    seq / (2 * cp) >= 4096
  )
    cp *= 2;
  const sharded = plan({}, seq / cp);
  if (sharded.total <= limit) {
    if (cp > 1) reasons.push(`each sequence over ${cp} ranks: ${seq / cp} tokens on each`);
    reasons.push(`sharded it takes ${gb(sharded.total)} per device`);
    return done(cp > 1 ? 'fsdp+cp' : 'fsdp', sharded, cp);
  }
  const offloaded = plan({ cpuOffload: true, recompute: 'full' }, seq / cp);
  if (offloaded.total <= limit) {
    reasons.push(
      `sharded it still takes ${gb(sharded.total)}; with the state on the host and recompute ${gb(offloaded.total)}`,
    );
    return done('fsdp+offload', offloaded, cp);
  }
  const wanted = formulas.fewestRanks(params, 16, limit);
  reasons.push(`not even offload fits (${gb(offloaded.total)}); the state alone asks for ${wanted} devices`);
  return done('more devices', offloaded, cp);
}
