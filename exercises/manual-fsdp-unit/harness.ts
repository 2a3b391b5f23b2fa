import { type Tensor, torch } from 'shardbook';

/** A method that waits for something may be asynchronous. */
type Awaitable<T> = T | Promise<T>;

interface Unit {
  readonly shard: Tensor;
  unshard(): Awaitable<Tensor[]>;
  reshard(): Awaitable<void>;
  reduceGradients(): Awaitable<void>;
}

interface Submission {
  readonly FsdpUnit: new (parameters: readonly Tensor[]) => Unit;
}

/** Which entry of the list each parameter is, so that tied ones are one tensor; frozen ones require no gradient. */
function listOf(tensors: readonly Tensor[], order: readonly number[], frozen: readonly number[]): Tensor[] {
  for (const [i, t] of tensors.entries()) t.requiresGrad_(!frozen.includes(i));
  return order.map((i) => tensors[i]!);
}

export function laidOut({ FsdpUnit }: Submission, tensors: Tensor[], order: number[], frozen: number[]) {
  const given = listOf(tensors, order, frozen);
  const before = tensors.map((t) => t.detach().clone());
  const unit = new FsdpUnit(given);
  const shard = unit.shard.detach().clone();
  torch.noGrad(() => unit.shard.mul_(2));
  const untouched = tensors.every((t, i) => torch.equal(t.detach(), before[i]!));
  const { isLeaf } = unit.shard;
  return { shard, untouched, isLeaf, held: unit.shard.storage.buffer.byteLength };
}

/** Gathers, steps the shard, gathers again. */
export async function gathered(
  { FsdpUnit }: Submission,
  tensors: Tensor[],
  order: number[],
  frozen: number[],
) {
  const unit = new FsdpUnit(listOf(tensors, order, frozen));
  const first = await unit.unshard();
  const again = await unit.unshard();
  const facts = {
    kept: again.length === first.length && again.every((t, i) => t === first[i]),
    leaves: first.every((t) => t.isLeaf),
    requiresGrad: first.map((t) => t.requiresGrad),
    tied: first.map((t) => first.indexOf(t)),
  };
  const before = first.map((t) => t.detach().clone());
  await unit.reshard();
  torch.noGrad(() => unit.shard.mul_(3));
  const after = (await unit.unshard()).map((t) => t.detach().clone());
  await unit.reshard();
  return { ...facts, before, after };
}

/** Each parameter's gradient is what `factors` of this rank say; null: it is not used. */
export async function reduced(
  { FsdpUnit }: Submission,
  tensors: Tensor[],
  order: number[],
  frozen: number[],
  passes: (Tensor | null)[][],
  /** Whether `reshard` comes before the backward pass, between it and the reduction, after that, or only at the end. */
  reshards: 'early' | 'between' | 'late' | 'once',
) {
  const unit = new FsdpUnit(listOf(tensors, order, frozen));
  for (const factors of passes) {
    const whole = await unit.unshard();
    let loss = torch.zeros([]);
    for (const [i, factor] of factors.entries())
      if (factor !== null) loss = loss.add(whole[i]!.mul(factor).sum());
    if (reshards === 'early') await unit.reshard();
    if (loss.requiresGrad) loss.backward();
    if (reshards === 'between') await unit.reshard();
    await unit.reduceGradients();
    if (reshards === 'late') await unit.reshard();
  }
  const { grad } = unit.shard;
  return { grad: grad === null ? null : grad.detach().clone(), shape: [...unit.shard.shape] };
}

/** Two units, one behind the other, trained with plain gradient descent on this rank's rows. */
export async function trained(
  { FsdpUnit }: Submission,
  tensors: Tensor[],
  x: Tensor,
  y: Tensor,
  steps: number,
) {
  const [w1, b1, w2, b2] = listOf(tensors, [0, 1, 2, 3], []);
  const units = [new FsdpUnit([w1!, b1!]), new FsdpUnit([w2!, b2!])];
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    let h = x;
    for (const [i, unit] of units.entries()) {
      const [w, b] = await unit.unshard();
      const sum = h.matmul(w!).add(b!);
      h = i === 0 ? torch.tanh(sum) : sum;
      await unit.reshard();
    }
    const loss = h.sub(y).pow(2).mean();
    loss.backward();
    for (const unit of [...units].reverse()) await unit.reduceGradients();
    torch.noGrad(() => {
      for (const { shard } of units) {
        shard.sub_(shard.grad!.mul(0.1));
        shard.grad = null;
      }
    });
    losses.push(loss.item() as number);
  }
  const parameters: Tensor[] = [];
  for (const unit of units) parameters.push(...(await unit.unshard()).map((t) => t.detach().clone()));
  return { parameters, loss: torch.tensor(losses) };
}
