/**
 * Who divides the sum of gradients by the number of data-parallel ranks, and when. float32 and bfloat16 let the collective do
 * it. float16 could overflow in the sum, so about the square root of the factor is divided before and the rest after.
 */
import type { DType } from '../../tensor/index.js';
import { ReduceOp } from '../group/index.js';

/** Who divides gradients, and by what. */
export interface DividePlan {
  /** Divided before the reduce-scatter; null: nothing. */
  readonly before: number | null;
  /** Divided after all reductions; null: nothing. */
  readonly after: number | null;
  readonly reduceScatter: ReduceOp;
  readonly allReduce: ReduceOp;
}

export interface DivideInput {
  /** Dtype of the reduction. */
  dtype: DType;
  shardSize: number | null;
  replicateSize: number | null;
  /** What the user set with `setGradientDivideFactor`. */
  factor: number | null;
  /** Whether only sums may be used. */
  forceSum: boolean;
}

/** How gradients are averaged without overflow: before, after, or by the reduction itself, as PyTorch decides it. */
export function dividePlan({ dtype, shardSize, replicateSize, factor, forceSum }: DivideInput): DividePlan {
  const overflows = dtype.name !== 'float32' && dtype.name !== 'bfloat16';
  const ranks = (shardSize ?? 1) * (replicateSize ?? 1);
  const { SUM, AVG } = ReduceOp;
  if (!overflows && !forceSum) {
    if (factor === null) {
      const op = ranks === 1 ? SUM : AVG;
      return { before: null, after: null, reduceScatter: op, allReduce: op };
    }
    const own = shardSize !== null && factor === shardSize ? AVG : ReduceOp.PREMUL_SUM(1 / factor);
    return { before: null, after: null, reduceScatter: own, allReduce: SUM };
  }
  const total = factor ?? ranks;
  if (!overflows) return { before: null, after: total, reduceScatter: SUM, allReduce: SUM };
  let before = 1;
  while (total % before === 0 && total / before > before) before *= 2;
  return { before, after: total / before, reduceScatter: SUM, allReduce: SUM };
}
