import { dist, F, type Tensor } from 'shardbook';

/** A hook on a copy of `x` sums what this rank found for its gradient with what the others found. */
export function columnParallel(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  if (!x.requiresGrad) return F.linear(x, weight, bias);
  const shared = x.alias();
  shared.registerHook((grad: Tensor) => {
    const sum = grad.contiguous().clone();
    dist.allReduce(sum);
    return sum;
  });
  return F.linear(shared, weight, bias);
}

/** What the others add is a constant for autograd: the gradient goes to the own term as it is. */
export function rowParallel(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  const own = F.linear(x, weight);
  const all = own.detach().clone();
  dist.allReduce(all);
  const sum = own.add(all.sub(own.detach()));
  return bias === null ? sum : sum.add(bias);
}
