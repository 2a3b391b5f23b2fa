import { dist, type Tensor, torch } from 'shardbook';

/** Keeps where each parameter stands in a map, and divides before the sum. */
export class FsdpUnit {
  readonly shard: Tensor;
  #places = new Map<Tensor, [from: number, shape: number[], trainable: boolean]>();
  #list: readonly Tensor[];
  #given: Tensor[] | undefined;
  #used: Tensor[] = [];

  constructor(parameters: readonly Tensor[]) {
    let from = 0;
    // Stand-ins for the whole parameters: only who is the same as who is kept of them.
    const marks = new Map<Tensor, Tensor>();
    this.#list = parameters.map((p) => {
      const known = marks.get(p);
      if (known !== undefined) return known;
      const mark = torch.zeros([0]);
      marks.set(p, mark);
      this.#places.set(mark, [from, [...p.shape], p.requiresGrad]);
      from += p.numel();
      return mark;
    });
    const world = dist.getWorldSize();
    const flat = torch.zeros([Math.ceil(from / world) * world]);
    for (const [p, mark] of marks)
      flat.narrow(0, this.#places.get(mark)![0], p.numel()).copy_(p.detach().reshape([-1]));
    this.shard = flat.reshape([world, -1]).select(0, dist.getRank()).clone();
  }

  unshard(): Tensor[] {
    if (this.#given === undefined) {
      const flat = torch.zeros([this.shard.numel() * dist.getWorldSize()]);
      const work = dist.allGatherSingle(flat, this.shard, { asyncOp: true });
      work?.wait();
      const made = new Map<Tensor, Tensor>();
      for (const [mark, [from, shape, trainable]] of this.#places) {
        const count = shape.reduce((a, b) => a * b, 1);
        const leaf = flat.narrow(0, from, count).reshape(shape).clone();
        leaf.requiresGrad = trainable;
        made.set(mark, leaf);
      }
      this.#given = this.#list.map((mark) => made.get(mark)!);
      this.#used = [...made.values()];
    }
    return [...this.#given];
  }

  reshard(): void {
    this.#given = undefined;
  }

  reduceGradients(): void {
    const world = dist.getWorldSize();
    const flat = torch.zeros([this.shard.numel() * world]);
    for (const [i, [from]] of [...this.#places.values()].entries()) {
      const used = this.#used[i]!;
      if (used.grad !== null) flat.narrow(0, from, used.numel()).copy_(used.grad.reshape([-1]).div(world));
      used.grad = null;
    }
    const part = torch.zerosLike(this.shard.detach());
    dist.reduceScatterSingle(part, flat);
    this.shard.grad = this.shard.grad ? part.add(this.shard.grad) : part;
  }
}
