import { type Tensor, torch } from 'shardbook';

type Layer = (x: Tensor, weight: Tensor, bias: Tensor | null) => Tensor | Promise<Tensor>;

interface Submission {
  columnParallel: Layer;
  rowParallel: Layer;
}

interface Wanted {
  layer: 'columnParallel' | 'rowParallel';
  /** Of which arguments a gradient is wanted. */
  x: boolean;
  weight: boolean;
}

const leaf = (t: Tensor, wanted: boolean): Tensor => t.detach().requiresGrad_(wanted);
const gradOf = (t: Tensor | null): Tensor | null => t?.grad ?? null;

/** One layer; without `grad` its forward alone. */
export async function layer(
  submission: Submission,
  wanted: Wanted,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  grad: Tensor | null,
) {
  const [input, w] = [leaf(x, wanted.x), leaf(weight, wanted.weight)];
  const b = bias === null ? null : leaf(bias, wanted.weight);
  const y = await submission[wanted.layer](input, w, b);
  if (grad !== null) y.backward(grad);
  return { y: y.detach().clone(), x: gradOf(input), weight: gradOf(w), bias: gradOf(b) };
}

/** Two layers with an activation between them, twice over the same weights. */
export async function block(
  { columnParallel, rowParallel }: Submission,
  x: Tensor,
  first: Tensor,
  firstBias: Tensor,
  second: Tensor,
  secondBias: Tensor,
  grad: Tensor,
) {
  const leaves = [x, first, firstBias, second, secondBias].map((t) => leaf(t, true));
  const [input, w1, b1, w2, b2] = leaves as [Tensor, Tensor, Tensor, Tensor, Tensor];
  const once = async (t: Tensor): Promise<Tensor> => {
    const inner = torch.tanh(await columnParallel(t, w1, b1));
    return (await rowParallel(inner, w2, b2)).add(t);
  };
  const y = await once(await once(input));
  y.backward(grad);
  return { y: y.detach().clone(), grads: leaves.map(gradOf) };
}
