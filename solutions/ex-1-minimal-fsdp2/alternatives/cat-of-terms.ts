import {
  type DeviceMesh,
  F,
  fullyShard,
  MixedPrecisionPolicy,
  type nn,
  type optim,
  type Tensor,
  torch,
} from 'shardbook';

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
  const positions = torch.arange(ids.shape[1]!).expand([...ids.shape]);
  const x = torch.add(model.posEncoder.call(positions), model.embedding.call(ids));
  return model.output.call(model.transformer.call(x));
}

/** bfloat16 for computing and for the all-gathers, float32 for the reduction. */
export function makePolicy(): MixedPrecisionPolicy {
  return new MixedPrecisionPolicy({ paramDtype: torch.bfloat16, reduceDtype: torch.float32 });
}

/** Shards every layer of the encoder, then what is left. */
export function shardModel(model: SimpleTransformer, mesh: DeviceMesh, mpPolicy: MixedPrecisionPolicy): void {
  const layers = [...model.transformer.layers];
  layers.reverse().forEach((layer) => {
    fullyShard(layer, { mesh, mpPolicy });
  });
  // The logits are given out in float32 by the policy of the whole instead of a cast before the loss.
  const { paramDtype, reduceDtype } = mpPolicy;
  const outputDtype = torch.float32;
  fullyShard(model, { mesh, mpPolicy: new MixedPrecisionPolicy({ paramDtype, reduceDtype, outputDtype }) });
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
    optimizer.zeroGrad();
    const logits = model.call(ids);
    const loss = F.crossEntropy(logits.reshape([-1, logits.shape[2]!]), targets.reshape([-1]));
    loss.backward();
    optimizer.step();
    losses.push(loss.item() as number);
  }
  return losses;
}
