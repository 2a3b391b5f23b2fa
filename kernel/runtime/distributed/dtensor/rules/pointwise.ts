/**
 * Elementwise ops. All of them may be cut along any dimension; they differ in which pending reductions they may run through:
 * linear ones through sums and averages, monotone ones through maxima and minima. A plain number is no input here (its slot is
 * null), so that `x * 2` counts as an op of one tensor.
 */
import type { OpName } from '../../../tensor/index.js';
import type { AxisRule, RuleCall, RuleTable, Slot, Way } from './rule.js';
import { avg, each, elementwise, max, min, R, replicasLast, sum } from './shared.js';

/** A pending reduction that passes: the result's, then one for each tensor input. */
type Pass = readonly Slot[];

const LINEAR: readonly Pass[] = [
  [sum, sum],
  [avg, avg],
];
const NON_DECREASING: readonly Pass[] = [
  [max, max],
  [min, min],
];
const NON_INCREASING: readonly Pass[] = [
  [min, max],
  [max, min],
];
/** Adding a replicated value keeps averages and extremes; a sum would count it once per rank. */
const ADDITIVE: readonly Pass[] = [
  [sum, sum, sum],
  [avg, avg, avg],
  [avg, avg, R],
  [max, max, R],
  [min, min, R],
  [avg, R, avg],
];
const MULTIPLY: readonly Pass[] = [...LINEAR, [sum, sum, R], [avg, avg, R], [sum, R, sum], [avg, R, avg]];
const DIVIDE: readonly Pass[] = [...LINEAR, [sum, sum, R], [avg, avg, R]];
const MONOTONE_PAIR: readonly Pass[] = [
  [max, max, R],
  [max, R, max],
  [min, min, R],
  [min, R, min],
];
const COPY: readonly Pass[] = [
  [sum, sum, sum],
  [avg, avg, avg],
  [max, max, max],
  [min, min, min],
];

/** The passes that fit the number of tensor inputs, with null where the op got a number or nothing. */
function passWays(call: RuleCall, passes: readonly Pass[]): Way[] {
  const tensors = call.inputs.filter((input) => input !== null).length;
  return passes
    .filter((pass) => pass.length === tensors + 1)
    .map((pass) => {
      let next = 1;
      return { out: [pass[0]!], in: call.inputs.map((input) => (input === null ? null : pass[next++]!)) };
    });
}

function pointwise(
  passes: readonly Pass[] = [],
  when: (call: RuleCall) => boolean = () => true,
): AxisRule<OpName> {
  return {
    kind: 'axis',
    allowUneven: true,
    ways: (call) => [
      ...elementwise(call.inputs, call.outputs[0]!.shape),
      ...(when(call) ? passWays(call, passes) : []),
    ],
  };
}

/** `number / x` is not linear in x. */
const numeratorIsTensor = (call: RuleCall): boolean => call.inputs[0] !== null;

/** Taken apart by PyTorch into comparisons and choices. */
const takenApart: AxisRule<OpName> = {
  kind: 'axis',
  ways: (call) => replicasLast(call, elementwise(call.inputs, call.outputs[0]!.shape)),
};

export const pointwiseRules: RuleTable = {
  ...each(['softplusBackward', 'leakyReluBackward', 'hardtanhBackward'], takenApart),
  ...each(['add', 'sub'], pointwise(ADDITIVE)),
  mul: pointwise(MULTIPLY) as AxisRule<'mul'>,
  div: pointwise(DIVIDE, numeratorIsTensor) as AxisRule<'div'>,
  neg: pointwise([...LINEAR, ...NON_INCREASING]) as AxisRule<'neg'>,
  copy: pointwise(COPY) as AxisRule<'copy'>,
  ...each(
    [
      'asinh',
      'atan',
      'ceil',
      'erf',
      'exp',
      'exp2',
      'expm1',
      'floor',
      'relu',
      'round',
      'sigmoid',
      'sign',
      'sinh',
      'tanh',
      'trunc',
      'nanToNum',
    ],
    pointwise(NON_DECREASING),
  ),
  erfc: pointwise(NON_INCREASING) as AxisRule<'erfc'>,
  ...each(['logaddexp', 'logaddexp2'], pointwise(MONOTONE_PAIR)),
  ...each(['maximum', 'fmax'], pointwise([...MONOTONE_PAIR, [max, max, max]])),
  ...each(['minimum', 'fmin'], pointwise([...MONOTONE_PAIR, [min, min, min]])),
  ...each(
    [
      'abs',
      'log',
      'log2',
      'log10',
      'log1p',
      'sqrt',
      'rsqrt',
      'reciprocal',
      'square',
      'sin',
      'cos',
      'tan',
      'asin',
      'acos',
      'cosh',
      'acosh',
      'atanh',
      'frac',
      'erfinv',
      'lgamma',
      'digamma',
      'trigamma',
      'silu',
      'mish',
      'logsigmoid',
      'bitwiseNot',
      'isnan',
      'isinf',
      'isfinite',
      'signbit',
      'logicalNot',
      'isposinf',
      'isneginf',
      'divFloor',
      'divTrunc',
      'pow',
      'atan2',
      'remainder',
      'fmod',
      'copysign',
      'hypot',
      'xlogy',
      'gcd',
      'lcm',
      'bitwiseAnd',
      'bitwiseOr',
      'bitwiseXor',
      'leftShift',
      'rightShift',
      'nextafter',
      'eq',
      'ne',
      'lt',
      'le',
      'gt',
      'ge',
      'logicalAnd',
      'logicalOr',
      'logicalXor',
      'clamp',
      'addcmul',
      'addcdiv',
      'lerp',
      'where',
      'gelu',
      'geluBackward',
      'elu',
      'softplus',
      'leakyRelu',
      'hardtanh',
      'hardswish',
      'hardsigmoid',
      'maskedFill',
      'thresholdBackward',
      'sigmoidBackward',
      'tanhBackward',
      'siluBackward',
      'eluBackward',
      // A copy counts as elementwise: nothing pending passes it.
      'clone',
    ],
    pointwise(),
  ),
};
