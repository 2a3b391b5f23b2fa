import type { Tensor } from 'shardbook';

/** `x` is the same on all ranks; the result has the features of this rank's rows of the weight. */
export function columnParallel(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  // TODO: which gradient is a sum over the ranks?
  throw new Error(`not begun: ${x.describe()}, ${weight.describe()}, ${bias?.describe()}`);
}

/** `x` has this rank's features; the result is the same on all ranks. */
export function rowParallel(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  // TODO: what is summed, and what is not?
  throw new Error(`not begun: ${x.describe()}, ${weight.describe()}, ${bias?.describe()}`);
}
