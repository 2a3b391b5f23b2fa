import type { DeviceMesh, MixedPrecisionPolicy, nn, optim, Tensor } from 'shardbook';

/** The model that is given: a small Transformer. `forward` calls your function. */
export interface SimpleTransformer extends nn.Module {
  readonly embedding: nn.Embedding;
  readonly posEncoder: nn.Embedding;
  readonly transformer: nn.TransformerEncoder;
  readonly output: nn.Linear;
  forward(ids: Tensor): Tensor;
}

/** Logits [batch, length, vocabulary] of token ids [batch, length]. */
export function forward(model: SimpleTransformer, ids: Tensor): Tensor {
  // TODO: token embedding plus positional embedding, the encoder, the output layer.
  throw new Error(`not begun: ${model.toString().length}, [${ids.shape.join(', ')}]`);
}

/** bfloat16 for computing and for the all-gathers, float32 for the reduction. */
export function makePolicy(): MixedPrecisionPolicy {
  // TODO: two dtypes.
  throw new Error('not begun');
}

/** Shards every layer of the encoder, then what is left, under a policy. */
export function shardModel(model: SimpleTransformer, mesh: DeviceMesh, mpPolicy: MixedPrecisionPolicy): void {
  // TODO: fullyShard, from the inside to the outside.
  throw new Error(`not begun: ${model.toString().length}, ${mesh.size()} ranks, ${String(mpPolicy)}`);
}

/** Trains on one batch; returns the loss of each step. */
export function train(
  model: SimpleTransformer,
  optimizer: optim.Optimizer,
  ids: Tensor,
  targets: Tensor,
  steps: number,
): number[] {
  // TODO: the five lines of a training step.
  throw new Error(`not begun: ${[model, optimizer, ids, targets].length}, ${steps} steps`);
}
