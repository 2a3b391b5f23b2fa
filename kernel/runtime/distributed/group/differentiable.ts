/**
 * The building blocks of differentiable collectives. A collective is linear in its inputs, so its backward is another
 * collective (the adjoint): each entry here names both, and backward passes through these blocks again, so that gradients of
 * gradients work. Every rank must run backward, for each of them waits for the others there.
 */
import { AutogradFunction, type FunctionContext, noGrad, type Tensor, torch } from '../../tensor/index.js';
import { badArgument } from './args.js';
import * as c from './collectives.js';
import type { ProcessGroup } from './process-group.js';
import { ReduceOp } from './reduce-op.js';

interface Rule {
  forward(inputs: Tensor[]): Tensor | Tensor[];
  /** Gradients of the outputs to gradients of the inputs. */
  backward(grads: Tensor[]): Tensor | Tensor[];
}

class Collective extends AutogradFunction {
  static override forward(ctx: FunctionContext, rule: Rule, ...inputs: Tensor[]): Tensor | Tensor[] {
    ctx['rule'] = rule;
    return rule.forward(inputs);
  }
  static override backward(ctx: FunctionContext, ...grads: (Tensor | null)[]): (Tensor | null)[] {
    const given = (ctx['rule'] as Rule).backward(grads as Tensor[]);
    return [null, ...(Array.isArray(given) ? given : [given])];
  }
}

// One class each, so that gradFn says which collective it belongs to.
class AllReduce extends Collective {}
class Broadcast extends Collective {}
class Reduce extends Collective {}
class Gather extends Collective {}
class Scatter extends Collective {}
class AllGather extends Collective {}
class AllGatherSingle extends Collective {}
class ReduceScatter extends Collective {}
class ReduceScatterSingle extends Collective {}
class AllToAll extends Collective {}
class AllToAllSingle extends Collective {}

const blank = (t: Tensor, shape: readonly number[] = t.shape): Tensor =>
  torch.empty([...shape], { dtype: t.dtype });
const blanks = (t: Tensor, group: ProcessGroup): Tensor[] => group.ranks.map(() => blank(t));
const copy = (t: Tensor): Tensor => t.detach().clone();

/** `strict`: backward of another op than the sum is refused, since it has no gradient of that form. */
export function allReduceOf(t: Tensor, op: ReduceOp, group: ProcessGroup, strict: boolean): Tensor {
  return AllReduce.apply(
    {
      forward([x]) {
        const out = copy(x!);
        c.allReduce(out, { op, group });
        return out;
      },
      backward([g]) {
        if (strict) sumOnly('allReduce', op);
        return allReduceOf(g!, op, group, strict);
      },
    } satisfies Rule,
    t,
  ) as Tensor;
}

/** `root` is a global rank, here and below. */
export function broadcastOf(t: Tensor, root: number, group: ProcessGroup): Tensor {
  return Broadcast.apply(
    {
      forward([x]) {
        const out = copy(x!);
        c.broadcast(out, { src: root, group });
        return out;
      },
      backward: ([g]) => elsewhereZero(reduceOf(g!, root, ReduceOp.SUM, group), root, group),
    } satisfies Rule,
    t,
  ) as Tensor;
}

export function reduceOf(t: Tensor, root: number, op: ReduceOp, group: ProcessGroup): Tensor {
  return Reduce.apply(
    {
      forward([x]) {
        const out = copy(x!);
        c.reduce(out, { dst: root, op, group });
        return out;
      },
      backward([g]) {
        sumOnly('reduce', op);
        return broadcastOf(g!, root, group);
      },
    } satisfies Rule,
    t,
  ) as Tensor;
}

export function gatherOf(t: Tensor, root: number, group: ProcessGroup): Tensor[] {
  return Gather.apply(
    {
      forward([x]) {
        const outs = group.ranks.map(() => torch.zeros([...x!.shape], { dtype: x!.dtype }));
        c.gather(x!, group.transport.rank === root ? outs : null, { dst: root, group });
        return outs;
      },
      backward: (grads) => scatterOf(grads, root, group),
    } satisfies Rule,
    t,
  ) as Tensor[];
}

export function scatterOf(parts: readonly Tensor[], root: number, group: ProcessGroup): Tensor {
  return Scatter.apply(
    {
      forward(xs) {
        const out = blank(xs[0]!);
        c.scatter(out, group.transport.rank === root ? xs : null, { src: root, group });
        return out;
      },
      backward: ([g]) => gatherOf(g!, root, group),
    } satisfies Rule,
    ...parts,
  ) as Tensor;
}

export function allGatherOf(t: Tensor, group: ProcessGroup): Tensor[] {
  return AllGather.apply(
    {
      forward([x]) {
        const outs = blanks(x!, group);
        c.allGather(outs, x!, { group });
        return outs;
      },
      backward: (grads) => reduceScatterOf(undefined, grads, ReduceOp.SUM, group),
    } satisfies Rule,
    t,
  ) as Tensor[];
}

/** Writes into `output` if it is given. */
export function reduceScatterOf(
  output: Tensor | undefined,
  parts: readonly Tensor[],
  op: ReduceOp,
  group: ProcessGroup,
): Tensor {
  return ReduceScatter.apply(
    {
      forward(xs) {
        const out = output ?? blank(xs[0]!);
        c.reduceScatter(out, xs, { op, group });
        return out;
      },
      backward([g]) {
        sumOnly('reduceScatter', op);
        return allGatherOf(g!, group);
      },
    } satisfies Rule,
    ...parts,
  ) as Tensor;
}

/** Along dim 0. */
export function allGatherSingleOf(t: Tensor, group: ProcessGroup): Tensor {
  return AllGatherSingle.apply(
    {
      forward([x]) {
        const out = blank(x!, [(x!.shape[0] ?? 1) * group.size(), ...x!.shape.slice(1)]);
        c.allGatherSingle(out, x!, { group });
        return out;
      },
      backward: ([g]) => reduceScatterSingleOf(g!, ReduceOp.SUM, group).reshape(t.shape),
    } satisfies Rule,
    t,
  ) as Tensor;
}

/** Along dim 0, which the group's size divides. */
export function reduceScatterSingleOf(t: Tensor, op: ReduceOp, group: ProcessGroup): Tensor {
  return ReduceScatterSingle.apply(
    {
      forward([x]) {
        const out = blank(x!, [x!.shape[0]! / group.size(), ...x!.shape.slice(1)]);
        c.reduceScatterSingle(out, x!, { op, group });
        return out;
      },
      backward([g]) {
        sumOnly('reduceScatterSingle', op);
        return allGatherSingleOf(g!, group);
      },
    } satisfies Rule,
    t,
  ) as Tensor;
}

export function allToAllOf(
  outputs: readonly Tensor[],
  parts: readonly Tensor[],
  group: ProcessGroup,
): Tensor[] {
  return AllToAll.apply(
    {
      forward(xs) {
        c.allToAll(outputs, xs, { group });
        return [...outputs];
      },
      backward: (grads) =>
        allToAllOf(
          parts.map((part) => blank(part)),
          grads,
          group,
        ),
    } satisfies Rule,
    ...parts,
  ) as Tensor[];
}

export interface Splits {
  outputSplitSizes?: readonly number[] | null;
  inputSplitSizes?: readonly number[] | null;
}

export function allToAllSingleOf(output: Tensor, t: Tensor, splits: Splits, group: ProcessGroup): Tensor {
  const { outputSplitSizes = null, inputSplitSizes = null } = splits;
  return AllToAllSingle.apply(
    {
      forward([x]) {
        c.allToAllSingle(output, x!, { outputSplitSizes, inputSplitSizes, group });
        return output;
      },
      backward: ([g]) =>
        allToAllSingleOf(
          blank(t),
          g!,
          { outputSplitSizes: inputSplitSizes, inputSplitSizes: outputSplitSizes },
          group,
        ),
    } satisfies Rule,
    t,
  ) as Tensor;
}

function sumOnly(name: string, op: ReduceOp): void {
  if (op.kind === 'sum') return;
  throw badArgument(
    name,
    `backward of reduce op "${op}" is not defined, wanted "sum"`,
    'reduce by the sum, and scale before or after it',
  );
}

/** The gradient of a broadcast belongs to the root; the others' inputs had no influence. */
function elsewhereZero(g: Tensor, root: number, group: ProcessGroup): Tensor {
  return group.transport.rank === root ? g : noGrad(() => torch.zeros([...g.shape], { dtype: g.dtype }));
}
