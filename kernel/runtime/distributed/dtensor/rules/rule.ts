/**
 * The contract between dispatch and the op rules: one rule per op says how the op can run on local tensors. A rule describes,
 * it never communicates: propagation (../propagate.ts) picks the cheapest of its strategies, dispatch (../dispatch.ts) moves the
 * inputs there, runs the op on the local tensors and wraps what comes out.
 *
 * An `AxisRule` lists the ways of ONE mesh axis; they are combined over all axes, ways that cannot be (too few rows for the
 * ranks, an in-place input that would have to move) are dropped. The way "everything replicated" is added by itself and must
 * not be listed. A `MeshRule` lists whole strategies, one placement per axis, for ops whose axes depend on each other (views,
 * reductions of an input that must not move).
 */
import type { OpName, OpParams, OpResult, Tensor } from '../../../tensor/index.js';
import type { DeviceMesh } from '../../mesh/index.js';
import type { Placement, Placements } from '../placements.js';
import type { DTensorSpec, StridedMeaning, TensorMeta } from '../spec.js';

/** What a rule sees of a call. */
export interface RuleCall<K extends OpName = OpName> {
  readonly name: K;
  readonly params: OpParams[K];
  /**
   * One per input of the op, in its order; null where the op got none or a plain number (`x * 2`). A plain tensor of one element
   * comes as a replicated spec.
   */
  readonly inputs: readonly (DTensorSpec | null)[];
  /** Shapes, strides and dtypes of the whole results. */
  readonly outputs: readonly TensorMeta[];
  readonly mesh: DeviceMesh;
  /** Writes into inputs[0]. */
  readonly inplace: boolean;
}

/**
 * "Cut along `dim`, in whatever manner the inputs are": stands for Shard and for every StridedShard that an input has. Within
 * one way all of them are the same kind of cut.
 */
export class Cut {
  constructor(readonly dim: number) {}
}
export const cut = (dim: number): Cut => new Cut(dim);

/** null: that input (or result) is not there. */
export type Slot = Placement | Cut | null;

/** One way to run the op along one axis: where the results and the inputs lie. */
export interface Way {
  readonly out: readonly Slot[];
  readonly in: readonly Slot[];
}

/** One way to run the op on the whole mesh. */
export interface Strategy {
  /** One per result. */
  readonly out: readonly (Placements | null)[];
  /** One per input; where they are, the op gets them. */
  readonly in: readonly (Placements | null)[];
  /** Costs of moving the inputs there, when the rule knows better than the general estimate. */
  readonly cost?: number;
  /** What StridedShards of inputs and results mean; that of the inputs where a rule says nothing. Views make layouts. */
  readonly strided?: StridedMeaning;
}

/** What was chosen, for parameters that name sizes of the whole tensor. */
export interface Chosen {
  /** Where the inputs are when the local op runs. */
  readonly inputs: readonly (DTensorSpec | null)[];
  readonly outputs: readonly (DTensorSpec | null)[];
}

interface Common<K extends OpName> {
  /** The parameters of the local op, where they differ from the whole's (sizes of a view). `localShapes` are this rank's results'. */
  localParams?(
    call: RuleCall<K>,
    chosen: Chosen,
    localShapes: readonly (readonly number[] | null)[],
  ): OpParams[K];
  /**
   * Runs the local op itself, where one local call of the same op is not enough (masked look-ups, ops that must communicate
   * within). `run` is the plain local op. May change the local inputs it got, never what users hold.
   */
  runLocal?(
    call: RuleCall<K>,
    chosen: Chosen,
    local: LocalCall<K>,
    run: (inputs: readonly (Tensor | null)[], params: OpParams[K]) => OpResult,
  ): OpResult;
}

export interface LocalCall<K extends OpName> {
  readonly inputs: readonly (Tensor | null)[];
  readonly params: OpParams[K];
}

export interface AxisRule<K extends OpName> extends Common<K> {
  readonly kind: 'axis';
  ways(call: RuleCall<K>): readonly Way[];
  /** Inputs that lie so already may have fewer rows than there are ranks (pointwise ops don't mind empty pieces). */
  readonly allowUneven?: boolean;
  /** Drops combinations that the axes make together. */
  accept?(call: RuleCall<K>, strategy: Strategy): boolean;
}

export interface MeshRule<K extends OpName> extends Common<K> {
  readonly kind: 'mesh';
  /** Throws a coded error where the call cannot be run at all. */
  strategies(call: RuleCall<K>): readonly Strategy[];
}

/**
 * The op is made of others, each propagated by itself: PyTorch has no op of that kind on CPU, or none with a rule. `run` gets
 * the DTensors as the op did and works below autograd, with the public operations.
 */
export interface Composition<K extends OpName> {
  readonly kind: 'compose';
  run(inputs: readonly (Tensor | null)[], params: OpParams[K]): OpResult;
}

/** The op cannot run on DTensors; the error says what would help. */
export interface Refusal {
  readonly kind: 'refuse';
  /** Completes "Cannot run ... on a DTensor: ". */
  readonly why: string;
  readonly help: string;
}

export type Rule<K extends OpName = OpName> = AxisRule<K> | MeshRule<K> | Composition<K> | Refusal;

/** A family's part of the table. Ops that are in no family are refused with a general error. */
export type RuleTable = { readonly [K in OpName]?: Rule<K> };
