/**
 * How an op runs on DTensors: of all strategies its rule allows, the one whose inputs are cheapest to bring there. Ties fall as
 * in PyTorch: of those that move nothing the last, else the first that is free, else the first of the cheapest.
 */
import { ShardbookError } from '../../base/index.js';
import type { OpName } from '../../tensor/index.js';
import { redistributeCost } from './cost.js';
import { isMixed } from './layout.js';
import {
  isShardLike,
  type Placement,
  type Placements,
  placementsText,
  Replicate,
  Shard,
  ShardPlacement,
  StridedShard,
  StridedShardPlacement,
  samePlacements,
} from './placements.js';
import {
  type AxisRule,
  Cut,
  type MeshRule,
  type RuleCall,
  type Slot,
  type Strategy,
  type Way,
} from './rules/rule.js';
import { DTensorSpec, type StridedMeaning } from './spec.js';

/** A strategy with specs and what its inputs cost. */
export interface Candidate {
  readonly in: readonly (DTensorSpec | null)[];
  readonly out: readonly (DTensorSpec | null)[];
  readonly cost: number;
  /** Whether some input must move, if only by cutting what is there. */
  readonly moves: boolean;
}

export interface Propagation {
  readonly chosen: Candidate;
  /** All that could run, in the order of the rule. */
  readonly candidates: readonly Candidate[];
}

const R = Replicate();

export function propagate<K extends OpName>(call: RuleCall<K>, rule: AxisRule<K> | MeshRule<K>): Propagation {
  const strategies = rule.kind === 'axis' ? expand(call, rule) : rule.strategies(call);
  const blocked = { count: 0 };
  const candidates: Candidate[] = [];
  for (const strategy of strategies) {
    const candidate = candidateOf(call, rule, strategy, blocked);
    if (candidate) candidates.push(candidate);
  }
  if (candidates.length === 0) throw nothingFits(call, blocked.count > 0);
  return { chosen: choose(candidates), candidates };
}

function choose(candidates: readonly Candidate[]): Candidate {
  let still = -1;
  let free = -1;
  let least = 0;
  candidates.forEach(({ cost, moves }, i) => {
    if (cost === 0 && !moves) still = i;
    else if (cost === 0 && free < 0) free = i;
    if (cost < candidates[least]!.cost) least = i;
  });
  return candidates[still >= 0 ? still : free >= 0 ? free : least]!;
}

function candidateOf<K extends OpName>(
  call: RuleCall<K>,
  rule: AxisRule<K> | MeshRule<K>,
  strategy: Strategy,
  blocked: { count: number },
): Candidate | null {
  if (rule.kind === 'axis') {
    if ([...strategy.in, ...strategy.out].some((p) => p !== null && isMixed(p))) return null;
  }
  const self = call.inputs[0];
  if (call.inplace && self) {
    const [input, output] = [strategy.in[0], strategy.out[0]];
    if (
      (input && !samePlacements(input, self.placements)) ||
      (output && !samePlacements(output, self.placements))
    ) {
      blocked.count++;
      return null;
    }
  }
  const given = meaningOf(call);
  const strided = strategy.strided ?? given;
  let moves = false;
  let cost = 0;
  const inputs: (DTensorSpec | null)[] = [];
  for (const [i, input] of call.inputs.entries()) {
    const wanted = strategy.in[i] ?? null;
    if (input === null || wanted === null) {
      inputs.push(input);
      continue;
    }
    const same = samePlacements(input.placements, wanted);
    if (rule.kind === 'axis' && !fits(input, wanted) && !(rule.allowUneven && same)) return null;
    const target = same ? input : DTensorSpec.of(input.mesh, wanted, input, strided ?? 'order');
    if (!same) moves = true;
    if (strategy.cost === undefined) cost += redistributeCost(input, target);
    inputs.push(target);
  }
  if (rule.kind === 'axis' && rule.accept && !rule.accept(call, strategy)) return null;
  // A cut that no input has was made by the op itself: interleaved rows, no order of cuts.
  const out = call.outputs.map((meta, i) => {
    const placements = strategy.out[i];
    return placements ? DTensorSpec.of(call.mesh, placements, meta, strided ?? 'layout') : null;
  });
  return { in: inputs, out, cost: strategy.cost ?? cost, moves };
}

/** What the strided shards of the inputs mean; undefined when there are none. */
function meaningOf(call: RuleCall): StridedMeaning | undefined {
  let found: StridedMeaning | undefined;
  for (const input of call.inputs) {
    if (!input?.hasStrided) continue;
    found = found !== undefined && found !== input.strided ? 'order' : input.strided;
  }
  return found;
}

/** Whether every rank gets at least a row. */
function fits(spec: DTensorSpec, placements: Placements): boolean {
  const pieces = spec.shape.map(() => 1);
  for (const [axis, p] of placements.entries()) {
    if (!isShardLike(p)) continue;
    if (p.dim >= spec.ndim) return false;
    pieces[p.dim] = pieces[p.dim]! * spec.mesh.size(axis);
    const least = pieces[p.dim]! * (p instanceof StridedShardPlacement ? p.splitFactor : 1);
    if (spec.shape[p.dim]! < least) return false;
  }
  return true;
}

// ---------------------------------------------------------------- ways of one axis to strategies of the mesh

type Concrete = readonly (Placement | null)[];

interface ConcreteWay {
  readonly out: Concrete;
  readonly in: Concrete;
}

function expand<K extends OpName>(call: RuleCall<K>, rule: AxisRule<K>): Strategy[] {
  const ways = concreteWays(call, rule);
  const axes = call.mesh.ndim;
  const strategies: Strategy[] = [];
  const picked: ConcreteWay[] = [];
  const column = (list: (way: ConcreteWay) => Concrete, i: number): Placements | null => {
    const first = list(picked[0]!)[i];
    return first === null || first === undefined ? null : picked.map((way) => list(way)[i] ?? R);
  };
  const walk = (axis: number): void => {
    if (axis === axes) {
      strategies.push({
        out: call.outputs.map((_, i) => column((way) => way.out, i)),
        in: call.inputs.map((_, i) => column((way) => way.in, i)),
      });
      return;
    }
    for (const way of ways) {
      picked[axis] = way;
      walk(axis + 1);
    }
  };
  walk(0);
  return strategies;
}

function concreteWays<K extends OpName>(call: RuleCall<K>, rule: AxisRule<K>): ConcreteWay[] {
  const ways = rule.ways(call);
  const makers = cutMakers(call);
  const out: ConcreteWay[] = [];
  const whole = (slots: readonly Slot[]): boolean =>
    slots.every((slot) => slot === null || (!(slot instanceof Cut) && slot.isReplicate()));
  if (!ways.some((way) => whole(way.out) && whole(way.in))) {
    const masked = ways[0]?.out;
    out.push({
      out: call.outputs.map((_, i) => (masked && masked[i] === null ? null : R)),
      in: call.inputs.map((input) => (input === null ? null : R)),
    });
  }
  for (const way of ways) {
    if (![...way.out, ...way.in].some((slot) => slot instanceof Cut)) {
      out.push(way as Way & ConcreteWay);
      continue;
    }
    for (const make of makers) {
      const fill = (slots: readonly Slot[]): Concrete =>
        slots.map((slot) => (slot instanceof Cut ? make(slot.dim) : slot));
      out.push({ out: fill(way.out), in: fill(way.in) });
    }
  }
  return out;
}

/** A maker for every manner of cut among the inputs. */
function cutMakers(call: RuleCall): ((dim: number) => Placement)[] {
  const makers = new Map<string, (dim: number) => Placement>();
  for (const input of call.inputs) {
    for (const p of input?.placements ?? []) {
      if (p instanceof ShardPlacement) makers.set('S', Shard);
      else if (p instanceof StridedShardPlacement) {
        const { splitFactor } = p;
        makers.set(`_S${splitFactor}`, (dim) => StridedShard(dim, splitFactor));
      }
    }
  }
  return [...makers.values()];
}

function nothingFits(call: RuleCall, inplace: boolean): ShardbookError {
  const shown = call.inputs.filter((input) => input !== null).map(String);
  const self = call.inputs[0];
  if (inplace && self) {
    return new ShardbookError({
      code: 'SB_DTENSOR_INPLACE',
      message: `Cannot run "${call.name}_" on ${shown.join(' and ')}: the result would lie otherwise than ${placementsText(self.placements)}, and a tensor written in place cannot move`,
      help: `use the out-of-place "${call.name}", or redistribute the tensor first`,
    });
  }
  return new ShardbookError({
    code: 'SB_DTENSOR_OP',
    message: `Cannot run "${call.name}" on ${shown.join(' and ')}: no strategy fits these shapes and this mesh`,
    help: 'redistribute the inputs to Replicate() first',
  });
}
