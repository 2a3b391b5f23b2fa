import { dist, type Tensor, torch } from 'shardbook';

/** With lists of parts instead of one vector, and the sum divided by hand. */
export class FsdpUnit {
  shard: Tensor;
  private readonly shapes: (readonly number[])[];
  private readonly trainable: boolean[];
  private readonly size: number;
  private whole: Tensor[] | null = null;
  private latest: Tensor[] = [];

  constructor(private readonly parameters: readonly (Tensor | number)[]) {
    const unique: Tensor[] = [];
    this.parameters = parameters.map((p) => {
      const at = unique.indexOf(p as Tensor);
      return at >= 0 ? at : unique.push(p as Tensor) - 1;
    });
    this.shapes = unique.map((p) => [...p.shape]);
    this.trainable = unique.map((p) => p.requiresGrad);
    const all = torch.cat([...unique.map((p) => p.detach().reshape([-1])), torch.zeros([0])]);
    const world = dist.getWorldSize();
    this.size = Math.floor((all.numel() + world - 1) / world);
    const padded = torch.cat([all, torch.zeros([this.size * world - all.numel()])]);
    this.shard = padded.split(Math.max(1, this.size))[dist.getRank()]?.clone() ?? torch.zeros([0]);
  }

  unshard(): Tensor[] {
    if (this.whole === null) {
      const parts = Array.from({ length: dist.getWorldSize() }, () => torch.zeros([this.size]));
      dist.allGather(parts, this.shard);
      const flat = torch.cat(parts);
      let at = 0;
      this.whole = this.shapes.map((shape, i) => {
        const count = shape.reduce((product, n) => product * n, 1);
        at += count;
        const tensor = flat
          .narrow(0, at - count, count)
          .clone()
          .reshape([...shape]);
        return tensor.requiresGrad_(this.trainable[i]!);
      });
      this.latest = this.whole;
    }
    return this.parameters.map((slot) => this.whole![slot as number]!);
  }

  reshard(): void {
    this.whole = null;
  }

  reduceGradients(): void {
    const world = dist.getWorldSize();
    const grads = this.latest.map((p) => (p.grad ?? torch.zerosLike(p)).detach().reshape([-1]));
    const count = grads.reduce((sum, g) => sum + g.numel(), 0);
    const flat = torch.cat([...grads, torch.zeros([this.size * world - count])]);
    const parts = Array.from({ length: world }, (_, i) => flat.narrow(0, i * this.size, this.size).clone());
    const mine = torch.zeros([this.size]);
    dist.reduceScatter(mine, parts);
    mine.div_(world);
    if (this.shard.grad === null) this.shard.grad = mine;
    else this.shard.grad.add_(mine);
    for (const p of this.latest) p.grad = null;
  }
}
