// fails: wrong in losses
import { type DeviceMesh, F, fullyShard, type nn, type optim, type Tensor, torch } from 'shardbook';

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
  const positions = torch.arange(ids.shape[1]!).unsqueeze(0);
  const x = model.embedding.call(ids).add(model.posEncoder.call(positions));
  return model.output.call(model.transformer.call(x));
}

/** Shards every layer of the encoder, then what is left. */
export function shardModel(model: SimpleTransformer, mesh: DeviceMesh): void {
  for (const layer of model.transformer.layers) fullyShard(layer, { mesh });
  fullyShard(model, { mesh });
}

/** Trains on one batch; returns the loss of each step. */
export function train(
  model: SimpleTransformer,
  optimizer: optim.Optimizer,
  ids: Tensor,
  targets: Tensor,
  steps: number,
): number[] {
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    if (step > 0) optimizer.zeroGrad();
    const logits = model.call(ids);
    const loss = F.crossEntropy(logits.reshape([-1, logits.shape[2]!]), targets.reshape([-1]));
    loss.backward();
    optimizer.step();
    losses.push(loss.item() as number);
  }
  return losses;
}
