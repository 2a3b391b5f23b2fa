/** What backward rules of all families share. */
import { applyOp } from '../../dispatch.js';
import * as f from '../../ops/pointwise.js';
import * as v from '../../ops/views.js';
import { numelOf } from '../../shape.js';
import type { Tensor } from '../../tensor.js';
import type { InputMeta } from '../node.js';
import { notDifferentiable, type Rule, type RuleContext } from '../record.js';

// biome-ignore lint/suspicious/noExplicitAny: rules of this helper read no parameters
export type AnyRule = Rule<any>;

export type Ctx = RuleContext<unknown>;

export const t = (x: Tensor): Tensor => v.transpose(x, -2, -1);

export const sumTo = (g: Tensor, m: InputMeta | null): Tensor => v.sumToSize(g, m!.shape);

/** Zeros of another shape beside a gradient; an operation, so that a tensor subclass answers for its own. */
export const zerosBeside = (g: Tensor, m: { shape: readonly number[] }): Tensor =>
  applyOp('newZeros', [g], { shape: m.shape });

export const zeroGrad: AnyRule = {
  grad: (c) => c.inMeta.map((m, i) => (c.needs[i] ? sumTo(c.grad.zerosLike(), m) : null)),
};

export const viewBack = (back: (c: RuleContext<never>) => Tensor): AnyRule => ({
  grad: (c) => [back(c as RuleContext<never>)],
});

export const pick = (condition: Tensor, g: Tensor): Tensor => f.whereOp(condition, g, 0);

export function restore(
  x: Tensor,
  shape: readonly number[],
  dims: readonly number[],
  keepdim: boolean,
): Tensor {
  return keepdim
    ? x
    : v.reshape(
        x,
        shape.map((n, d) => (dims.includes(d) ? 1 : n)),
      );
}

/** A reduced gradient spread over the input's shape again. */
export function spread(
  g: Tensor,
  shape: readonly number[],
  dims: readonly number[],
  keepdim: boolean,
): Tensor {
  return v.expand(restore(g, shape, dims, keepdim), shape);
}

export const count = (shape: readonly number[], dims: readonly number[]): number =>
  numelOf(dims.map((d) => shape[d]!));

export const needed =
  (base: number) =>
  (needs: readonly boolean[]): number[] => [
    ...(needs[base + 1] ? [base] : []),
    ...(needs[base] ? [base + 1] : []),
  ];

export const fused: typeof notDifferentiable = notDifferentiable;

export const no: typeof notDifferentiable = notDifferentiable;
