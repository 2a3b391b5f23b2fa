// fails: deadlock in uneven
import { dist, type Tensor, torch } from 'shardbook';

interface Slot {
  readonly shape: readonly number[];
  readonly offset: number;
  readonly count: number;
  readonly requiresGrad: boolean;
}

/** Parameters that are gathered together and reduced together. */
export class FsdpUnit {
  /** This rank's part of all of them. */
  readonly shard: Tensor;
  readonly #slots: Slot[] = [];
  /** For each entry of the list: which slot it is. */
  readonly #order: number[];
  readonly #part: number;
  #whole: Tensor[] = [];
  #isUnsharded = false;

  constructor(parameters: readonly Tensor[]) {
    const own = [...new Set(parameters)];
    this.#order = parameters.map((p) => own.indexOf(p));
    let total = 0;
    for (const p of own) {
      this.#slots.push({
        shape: [...p.shape],
        offset: total,
        count: p.numel(),
        requiresGrad: p.requiresGrad,
      });
      total += p.numel();
    }
    this.#part = Math.ceil(total / dist.getWorldSize());
    const flat = this.#flat(own);
    this.shard = flat.narrow(0, dist.getRank() * this.#part, this.#part).clone();
  }

  /** The whole parameters. */
  unshard(): Tensor[] {
    if (!this.#isUnsharded) {
      const flat = torch.empty([this.#part * dist.getWorldSize()]);
      dist.allGatherSingle(flat, this.shard);
      this.#whole = this.#slots.map(({ shape, offset, count, requiresGrad }) =>
        flat
          .narrow(0, offset, count)
          .view([...shape])
          .requiresGrad_(requiresGrad),
      );
      this.#isUnsharded = true;
    }
    return this.#order.map((slot) => this.#whole[slot]!);
  }

  /** Lets the whole parameters go. */
  reshard(): void {
    this.#isUnsharded = false;
  }

  /** Averages the gradients of the whole parameters over the ranks and adds this rank's part to `shard.grad`. */
  reduceGradients(): void {
    if (this.#whole.every(({ grad }) => grad === null)) return;
    const flat = this.#flat(this.#whole.map(({ grad }) => grad));
    for (const p of this.#whole) p.grad = null;
    const part = torch.empty([this.#part]);
    dist.reduceScatterSingle(part, flat, { op: dist.ReduceOp.AVG });
    this.shard.grad = this.shard.grad === null ? part : this.shard.grad.add(part);
  }

  /** One tensor per slot, laid out in one vector; zeros for what is not there. */
  #flat(tensors: readonly (Tensor | null)[]): Tensor {
    const flat = torch.zeros([this.#part * dist.getWorldSize()]);
    for (const [i, { offset, count }] of this.#slots.entries()) {
      const tensor = tensors[i] ?? null;
      if (tensor !== null) flat.narrow(0, offset, count).copy_(tensor.detach().reshape([-1]));
    }
    return flat;
  }
}
