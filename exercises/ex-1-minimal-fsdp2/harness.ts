import {
  type DeviceMesh,
  DTensor,
  dist,
  initDeviceMesh,
  MixedPrecisionPolicy,
  nn,
  optim,
  type Tensor,
  torch,
} from 'shardbook';

const VOCABULARY = 32;
const WIDTH = 16;

/** A function that waits for something may be asynchronous. */
type Awaitable<T> = T | Promise<T>;

interface Submission {
  forward(model: SimpleTransformer, ids: Tensor): Tensor;
  makePolicy(): Awaitable<MixedPrecisionPolicy>;
  shardModel(model: SimpleTransformer, mesh: DeviceMesh, mpPolicy: MixedPrecisionPolicy): Awaitable<void>;
  train(
    model: SimpleTransformer,
    optimizer: optim.Optimizer,
    ids: Tensor,
    targets: Tensor,
    steps: number,
  ): Awaitable<number[]>;
}

class SimpleTransformer extends nn.Module {
  declare embedding: nn.Embedding;
  declare posEncoder: nn.Embedding;
  declare transformer: nn.TransformerEncoder;
  declare output: nn.Linear;

  constructor(private readonly run: Submission['forward']) {
    super();
    const layer = new nn.TransformerEncoderLayer(WIDTH, 2, {
      dimFeedforward: 32,
      dropout: 0,
      batchFirst: true,
    });
    this.embedding = new nn.Embedding(VOCABULARY, WIDTH);
    this.posEncoder = new nn.Embedding(16, WIDTH);
    this.transformer = new nn.TransformerEncoder(layer, 3);
    this.output = new nn.Linear(WIDTH, VOCABULARY);
  }

  forward(ids: Tensor): Tensor {
    return this.run(this, ids);
  }
}

/** The same numbers on every rank: `fullyShard` does not send them around. */
function makeModel(submission: Submission): SimpleTransformer {
  torch.manualSeed(0);
  return new SimpleTransformer((model, ids) => submission.forward(model, ids));
}

/** As a tensor, because tensors are compared within a tolerance. */
function numbers(losses: readonly unknown[]): Tensor {
  if (!Array.isArray(losses) || losses.some((loss) => typeof loss !== 'number'))
    throw new TypeError(
      'train returned other things than an array of numbers; item() makes a number of a tensor',
    );
  return torch.tensor(losses as number[]);
}

export function logits(submission: Submission, ids: Tensor): Tensor {
  return makeModel(submission).call(ids) as Tensor;
}

/** A few steps under the submission's own policy. */
export async function precision(submission: Submission, ids: Tensor, targets: Tensor) {
  const model = makeModel(submission);
  const policy = await submission.makePolicy();
  await submission.shardModel(model, initDeviceMesh('cpu', [dist.getWorldSize()]), policy);
  const parameters = [...model.parameters()];
  const losses = await submission.train(model, new optim.AdamW(parameters, { lr: 1e-2 }), ids, targets, 3);
  return { stored: parameters.map((p) => p.dtype.name), losses: numbers(losses) };
}

/** Training in full precision. */
export async function trained(submission: Submission, ids: Tensor, targets: Tensor, steps: number) {
  const model = makeModel(submission);
  await submission.shardModel(
    model,
    initDeviceMesh('cpu', [dist.getWorldSize()]),
    new MixedPrecisionPolicy(),
  );
  const parameters = [...model.parameters()];
  const optimizer = new optim.AdamW(parameters, { lr: 1e-2 });
  const losses = await submission.train(model, optimizer, ids, targets, steps);
  return {
    sharded: parameters.map((p) => p instanceof DTensor),
    elements: parameters.reduce(
      (sum, p) => sum + (p instanceof DTensor ? p.toLocal().numel() : p.numel()),
      0,
    ),
    losses: numbers(losses),
  };
}

/** Plain gradient descent, in which the size of a gradient tells, and two trainings of one model one after the other. */
export async function continued(submission: Submission, ids: Tensor, targets: Tensor, steps: number) {
  const model = makeModel(submission);
  await submission.shardModel(
    model,
    initDeviceMesh('cpu', [dist.getWorldSize()]),
    new MixedPrecisionPolicy(),
  );
  const optimizer = new optim.SGD([...model.parameters()], { lr: 0.2 });
  const first = await submission.train(model, optimizer, ids, targets, steps);
  const second = await submission.train(model, optimizer, ids, targets, steps);
  return { losses: numbers([...first, ...second]) };
}
