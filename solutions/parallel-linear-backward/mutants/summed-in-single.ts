// fails: wrong in fresh
import { AutogradFunction, dist, F, type FunctionContext, type Tensor } from 'shardbook';

function summed(t: Tensor): Tensor {
  const sum = t.float().clone();
  dist.allReduce(sum);
  return sum.to(t.dtype);
}

/** All ranks use the same tensor: what each has for its gradient is a share of it. */
class Shared extends AutogradFunction {
  static override forward(_ctx: FunctionContext, x: Tensor): Tensor {
    return x;
  }
  static override backward(_ctx: FunctionContext, grad: Tensor): Tensor {
    return summed(grad);
  }
}

/** The sum of a term from each rank: each term has the gradient of the sum. */
class Summed extends AutogradFunction {
  static override forward(_ctx: FunctionContext, term: Tensor): Tensor {
    return summed(term);
  }
  static override backward(_ctx: FunctionContext, grad: Tensor): Tensor {
    return grad;
  }
}

/** `x` is the same on all ranks; the result has the features of this rank's rows of the weight. */
export function columnParallel(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  return F.linear(Shared.apply(x) as Tensor, weight, bias);
}

/** `x` has this rank's features; the result is the same on all ranks. */
export function rowParallel(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  const sum = Summed.apply(F.linear(x, weight)) as Tensor;
  return bias === null ? sum : sum.add(bias);
}
