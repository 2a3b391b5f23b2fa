/** Sharding rules of the user's own. */
import { ShardbookError } from '../../base/index.js';
import type { OpName } from '../../tensor/index.js';
import { ruleFor, setCustomRule } from './dispatch.js';
import type { Placement } from './placements.js';
import type { RuleCall } from './rules/rule.js';

/** Placements along one axis that an op accepts: those of its results, then those of its inputs (null for what is no tensor). */
export type AcceptableSharding = readonly [
  out: readonly (Placement | null)[],
  inputs: readonly (Placement | null)[],
];

/**
 * Gives an op (or several) a rule: `sharding` sees the shapes and placements of the inputs and lists what is acceptable along one
 * axis of the mesh; all axes are combined and the cheapest is taken. It replaces the rule there is. Returns a function that
 * takes it back.
 */
export function registerSharding(
  op: OpName | readonly OpName[],
  sharding: (call: RuleCall) => readonly AcceptableSharding[],
): () => void {
  const names = typeof op === 'string' ? [op] : [...op];
  for (const name of names) {
    const old = ruleFor(name);
    setCustomRule(name, {
      kind: 'axis',
      ways: (call) => sharding(call).map(([out, inputs]) => checked(call, out, inputs)),
      ...(old && 'localParams' in old && old.localParams ? { localParams: old.localParams } : {}),
    });
  }
  return () => {
    for (const name of names) setCustomRule(name, null);
  };
}

function checked(
  call: RuleCall,
  out: readonly (Placement | null)[],
  inputs: readonly (Placement | null)[],
): { out: readonly (Placement | null)[]; in: readonly (Placement | null)[] } {
  const [haveOut, haveIn] = [call.outputs.length, call.inputs.length];
  if (out.length === haveOut && inputs.length === haveIn) return { out, in: inputs };
  throw new ShardbookError({
    code: 'SB_DTENSOR_OP',
    message: `Cannot use the registered sharding of "${call.name}": it lists ${out.length} results and ${inputs.length} inputs, the operation has ${haveOut} and ${haveIn}`,
    help: 'list one placement per result and one per input, null for inputs that are no tensors',
  });
}
