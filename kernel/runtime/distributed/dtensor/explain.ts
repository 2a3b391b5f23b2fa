/**
 * Why an op on DTensors communicates: which strategies its rule allows, what each costs, which was taken and which collectives it
 * needs. Nothing is computed or sent: only shapes and placements are followed.
 */
import { ShardbookError } from '../../base/index.js';
import { backward, noGrad, Tensor, torch } from '../../tensor/index.js';
import { redistributeCost, stepCost } from './cost.js';
import { type DispatchEvent, dryRun } from './dispatch.js';
import { DTensor } from './dtensor.js';
import { localShape } from './layout.js';
import { type Placement, placementsText, samePlacements } from './placements.js';
import { type CollectiveKind, collectiveOf, planOf, traceOf } from './plan.js';
import type { Candidate } from './propagate.js';
import { type RedistributeEvent, watchRedistributes } from './redistribute.js';
import type { DTensorSpec } from './spec.js';

export interface ExplainedStep {
  /** null: local, nothing is sent. */
  readonly collective: CollectiveKind | null;
  /** The axis of the mesh, by name where it has one. */
  readonly axis: string;
  readonly from: string;
  readonly to: string;
  /** What one rank puts in. */
  readonly bytes: number;
  /** Microseconds in the cost model. */
  readonly cost: number;
}

export interface ExplainedMove {
  /** Which input of the op. */
  readonly input: number;
  readonly from: string;
  readonly to: string;
  readonly trace: string;
  readonly steps: readonly ExplainedStep[];
}

export interface ExplainedStrategy {
  /** Placements that the inputs must have; null for what is no tensor. */
  readonly in: readonly (string | null)[];
  readonly out: readonly (string | null)[];
  /** Microseconds in the cost model; Infinity where it cannot be reached. */
  readonly cost: number;
}

export interface ExplainedOp {
  readonly op: string;
  readonly phase: 'forward' | 'backward';
  /** In the notation of errors. */
  readonly inputs: readonly string[];
  readonly chosen: ExplainedStrategy;
  readonly moves: readonly ExplainedMove[];
  readonly why: string;
  /** What else could run, cheapest first. */
  readonly alternatives: readonly ExplainedStrategy[];
}

class Explanation {
  constructor(
    readonly ops: readonly ExplainedOp[],
    /** Where the result lies, as text; null when it is no DTensor. */
    readonly result: string | null,
  ) {}

  /** How many collectives of each kind. */
  get collectives(): Partial<Record<CollectiveKind, number>> {
    const out: Partial<Record<CollectiveKind, number>> = {};
    for (const { moves } of this.ops)
      for (const { steps } of moves)
        for (const { collective } of steps) if (collective) out[collective] = (out[collective] ?? 0) + 1;
    return out;
  }

  /** Microseconds in the cost model. */
  get cost(): number {
    return this.ops.reduce((sum, op) => sum + op.chosen.cost, 0);
  }

  toString(): string {
    return this.ops.map(opText).join('\n');
  }
}

export interface ExplainOptions {
  /** Follows the backward pass too, with a gradient that is replicated. */
  backward?: boolean;
}

/**
 * Explains what `op` would do with these arguments: a function (`F.linear`, `(a, b) => a.mm(b).relu()`), or the name of a torch
 * function or method. A plain object of options as the last argument after a function may ask for the backward pass.
 */
export function explain(op: string | ((...args: never[]) => unknown), ...args: unknown[]): Explanation {
  const run = typeof op === 'string' ? named(op, args) : (op as (...given: unknown[]) => unknown);
  const { given, options } = splitOptions(args);
  const ops: ExplainedOp[] = [];
  let phase: ExplainedOp['phase'] = 'forward';
  // Operations move their inputs themselves; what is heard here was asked for, or is the backward of that.
  const moved = (event: RedistributeEvent): void => {
    ops.push(redistributed(event, phase));
  };
  const compute = (): unknown => {
    const inputs = given.map(stand);
    if (!options.backward) return noGrad(() => run(...inputs));
    const out = run(...inputs);
    const roots = (Array.isArray(out) ? out : [out]).filter(
      (t): t is Tensor => t instanceof Tensor && t.requiresGrad,
    );
    phase = 'backward';
    backward(
      roots,
      roots.map((root) => root.detach().onesLike()),
    );
    return out;
  };
  const hear = (event: DispatchEvent): void => {
    ops.push(explained(event, phase));
  };
  const result = watchRedistributes(moved, () => dryRun(hear, compute));
  return new Explanation(ops, result instanceof DTensor ? result.describe() : null);
}

function redistributed({ from, to }: RedistributeEvent, phase: ExplainedOp['phase']): ExplainedOp {
  const text = placementsText(to.placements);
  return {
    op: 'redistribute',
    phase,
    inputs: [from.toString()],
    chosen: { in: [placementsText(from.placements)], out: [text], cost: redistributeCost(from, to) },
    moves: [move(0, from, to)],
    why: phase === 'forward' ? 'it was asked for' : 'the gradient goes back the way the tensor came',
    alternatives: [],
  };
}

function splitOptions(args: readonly unknown[]): { given: readonly unknown[]; options: ExplainOptions } {
  const last = args[args.length - 1];
  const plain = typeof last === 'object' && last !== null && Object.getPrototypeOf(last) === Object.prototype;
  if (plain && 'backward' in last) return { given: args.slice(0, -1), options: last as ExplainOptions };
  return { given: args, options: {} };
}

function named(name: string, args: readonly unknown[]): (...given: unknown[]) => unknown {
  const found = (torch as unknown as Record<string, unknown>)[name];
  if (typeof found === 'function') return found as (...given: unknown[]) => unknown;
  const method =
    args[0] instanceof Tensor ? (args[0] as unknown as Record<string, unknown>)[name] : undefined;
  if (typeof method === 'function')
    return (self, ...rest) => (method as (...given: unknown[]) => unknown).apply(self, rest);
  throw new ShardbookError({
    code: 'SB_BAD_ARGUMENT',
    message: `Cannot explain "${name}": torch has no such function`,
    help: 'pass the function itself, as in dtensor.explain(F.linear, x, w)',
  });
}

/** A tensor without data in the place of a DTensor. */
function stand(arg: unknown): unknown {
  if (Array.isArray(arg)) return arg.map(stand);
  if (!(arg instanceof DTensor)) return arg;
  const { spec } = arg;
  const local = torch.empty(localShape(spec.shape, spec.mesh, spec.placements), {
    dtype: spec.dtype,
    device: 'meta',
  });
  const out = new DTensor(local, spec);
  out.requiresGrad = arg.requiresGrad;
  return out;
}

function explained({ call, propagation }: DispatchEvent, phase: ExplainedOp['phase']): ExplainedOp {
  const { chosen, candidates } = propagation;
  const moves = chosen.in.flatMap((to, input) => {
    const from = call.inputs[input];
    return from && to && !samePlacements(from.placements, to.placements) ? [move(input, from, to)] : [];
  });
  const others = candidates.filter((c) => c !== chosen).sort((a, b) => a.cost - b.cost);
  return {
    op: call.inplace ? `${call.name}_` : call.name,
    phase,
    inputs: call.inputs.map((spec) => (spec ? spec.toString() : 'number')),
    chosen: shown(chosen),
    moves,
    why: reason(chosen, others),
    alternatives: others.map(shown),
  };
}

function shown(candidate: Candidate): ExplainedStrategy {
  const text = (spec: DTensorSpec | null): string | null => (spec ? placementsText(spec.placements) : null);
  return { in: candidate.in.map(text), out: candidate.out.map(text), cost: candidate.cost };
}

function reason(chosen: Candidate, others: readonly Candidate[]): string {
  if (!chosen.moves) return 'the inputs lie right as they are';
  if (chosen.cost === 0)
    return 'nothing has to be sent: the inputs are only cut or shared out where they are';
  const next = others.find((other) => Number.isFinite(other.cost));
  if (others.length === 0) return 'it is the only strategy for these inputs';
  if (!next) return 'no other strategy can be reached from these placements';
  return `it is the cheapest of ${others.length + 1}: ${micros(chosen.cost)}, the next costs ${micros(next.cost)}`;
}

function move(input: number, from: DTensorSpec, to: DTensorSpec): ExplainedMove {
  const { mesh } = from;
  const plan = planOf(from, to);
  const now: Placement[] = [...from.placements];
  const steps = plan.map((step): ExplainedStep => {
    const shape = localShape(from.shape, mesh, now);
    const bytes = shape.reduce((n, size) => n * size, 1) * from.dtype.itemsize;
    for (const axis of step.axes) now[axis] = step.to;
    const { cost } = stepCost(step.from, step.to, step.mesh, step.axis, bytes / 1024 ** 3);
    return {
      collective: collectiveOf(step),
      axis: step.axes.map((axis) => mesh.meshDimNames?.[axis] ?? String(axis)).join('+'),
      from: String(step.from),
      to: String(step.to),
      bytes,
      cost,
    };
  });
  return {
    input,
    from: placementsText(from.placements),
    to: placementsText(to.placements),
    trace: traceOf(from, plan),
    steps,
  };
}

const micros = (cost: number): string =>
  Number.isFinite(cost) ? `${cost < 100 ? cost.toFixed(1) : Math.round(cost)} us` : 'impossible';

function strategyText({ in: inputs, out }: ExplainedStrategy): string {
  return `${inputs.map((text) => text ?? '-').join(', ')} -> ${out.map((text) => text ?? '-').join(', ')}`;
}

function opText(op: ExplainedOp): string {
  const lines = [`${op.op}${op.phase === 'backward' ? ' (backward)' : ''}: ${op.inputs.join(' and ')}`];
  lines.push(`  runs ${strategyText(op.chosen)}: ${op.why}`);
  for (const { input, trace, steps } of op.moves) {
    const sent = steps.filter((step) => step.collective !== null);
    const text = sent.map((s) => `${s.collective} over ${s.axis}, ${s.bytes} bytes per rank`).join('; ');
    lines.push(`  input ${input}: ${trace} (${text === '' ? 'local' : text})`);
  }
  const few = op.alternatives.slice(0, 3);
  for (const other of few) lines.push(`  instead ${strategyText(other)}: ${micros(other.cost)}`);
  if (op.alternatives.length > few.length) lines.push(`  and ${op.alternatives.length - few.length} more`);
  return lines.join('\n');
}
