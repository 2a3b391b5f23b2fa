/** `dist.nn`: torch.distributed.nn.functional, the collectives of lists that gradients pass through. Roots are global ranks. */
import type { Tensor } from '../../tensor/index.js';
import { badArgument, type GroupOption, named, type Positional, requiredGroup } from './args.js';
import * as d from './differentiable.js';
import type { Group } from './process-group.js';
import { ReduceOp } from './reduce-op.js';
import { checkTensor } from './tensors.js';

export interface ReduceGroupOption extends GroupOption {
  /** Default: `ReduceOp.SUM`. */
  op?: ReduceOp;
}

/** A new tensor with the source's values. Backward: the source gets the sum of the gradients, the others zeros. */
export function broadcast(t: Tensor, src: number, ...rest: Positional<[group?: Group], GroupOption>): Tensor {
  const options = named<GroupOption>('nn.broadcast', ['group'], rest);
  checkTensor(t, 'nn.broadcast');
  return d.broadcastOf(t, src, requiredGroup(options.group, 'nn.broadcast'));
}

/** The members' tensors on rank `dst`; zeros elsewhere. Backward: `dst` scatters its gradients. */
export function gather(t: Tensor, dst = 0, ...rest: Positional<[group?: Group], GroupOption>): Tensor[] {
  const options = named<GroupOption>('nn.gather', ['group'], rest);
  checkTensor(t, 'nn.gather');
  return d.gatherOf(t, dst, requiredGroup(options.group, 'nn.gather'));
}

/** The source's `tensors[own rank]`; the others' lists say shape and dtype. Backward: gathered to the source. */
export function scatter(
  tensors: readonly Tensor[],
  src = 0,
  ...rest: Positional<[group?: Group], GroupOption>
): Tensor {
  const options = named<GroupOption>('nn.scatter', ['group'], rest);
  const group = requiredGroup(options.group, 'nn.scatter');
  checkList('nn.scatter', tensors, group.size());
  return d.scatterOf(tensors, src, group);
}

/** The reduction on rank `dst`; elsewhere a copy of the own tensor. Backward (of the sum): `dst`'s gradient, broadcast. */
export function reduce(
  t: Tensor,
  dst: number,
  ...rest: Positional<[op?: ReduceOp, group?: Group], ReduceGroupOption>
): Tensor {
  const options = named<ReduceGroupOption>('nn.reduce', ['op', 'group'], rest);
  checkTensor(t, 'nn.reduce');
  return d.reduceOf(t, dst, options.op ?? ReduceOp.SUM, requiredGroup(options.group, 'nn.reduce'));
}

/** The reduction of the members' `inputs[own rank]`, written to `output`. Backward (of the sum): the gradients gathered. */
export function reduceScatter(
  output: Tensor,
  inputs: readonly Tensor[],
  ...rest: Positional<[op?: ReduceOp, group?: Group], ReduceGroupOption>
): Tensor {
  const options = named<ReduceGroupOption>('nn.reduceScatter', ['op', 'group'], rest);
  const group = requiredGroup(options.group, 'nn.reduceScatter');
  checkList('nn.reduceScatter', inputs, group.size());
  return d.reduceScatterOf(output, inputs, options.op ?? ReduceOp.SUM, group);
}

/** The members' tensors, as a list. Backward: the sum over the ranks of their gradients of the own entry. */
export function allGather(t: Tensor, ...rest: Positional<[group?: Group], GroupOption>): Tensor[] {
  const options = named<GroupOption>('nn.allGather', ['group'], rest);
  checkTensor(t, 'nn.allGather');
  return d.allGatherOf(t, requiredGroup(options.group, 'nn.allGather'));
}

/** Sends `inputs[i]` to member i; `outputs` receive. Backward: the gradients travel back. */
export function allToAll(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  ...rest: Positional<[group?: Group], GroupOption>
): Tensor[] {
  const options = named<GroupOption>('nn.allToAll', ['group'], rest);
  const group = requiredGroup(options.group, 'nn.allToAll');
  checkList('nn.allToAll', inputs, group.size());
  checkList('nn.allToAll', outputs, group.size());
  return d.allToAllOf(outputs, inputs, group);
}

/** Pieces of `input` along dim 0 to every member, pieces of `output` from them. Backward: the reverse exchange. */
export function allToAllSingle(
  output: Tensor,
  input: Tensor,
  ...rest: Positional<
    [outputSplitSizes?: readonly number[], inputSplitSizes?: readonly number[], group?: Group],
    GroupOption & d.Splits
  >
): Tensor {
  const options = named<GroupOption & d.Splits>(
    'nn.allToAllSingle',
    ['outputSplitSizes', 'inputSplitSizes', 'group'],
    rest,
  );
  checkTensor(output, 'nn.allToAllSingle');
  checkTensor(input, 'nn.allToAllSingle');
  return d.allToAllSingleOf(output, input, options, requiredGroup(options.group, 'nn.allToAllSingle'));
}

/** The reduction, on every member. Backward: the gradients, reduced with the same op. */
export function allReduce(
  t: Tensor,
  ...rest: Positional<[op?: ReduceOp, group?: Group], ReduceGroupOption>
): Tensor {
  const options = named<ReduceGroupOption>('nn.allReduce', ['op', 'group'], rest);
  checkTensor(t, 'nn.allReduce');
  return d.allReduceOf(t, options.op ?? ReduceOp.SUM, requiredGroup(options.group, 'nn.allReduce'), false);
}

function checkList(op: string, tensors: readonly Tensor[], size: number): void {
  if (!Array.isArray(tensors) || tensors.length !== size) {
    throw badArgument(op, `${tensors?.length ?? 0} tensors are given, wanted ${size} (the group's size)`);
  }
  for (const t of tensors) checkTensor(t, op);
}
