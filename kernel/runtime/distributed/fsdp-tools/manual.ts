/**
 * FSDP by hand, as small as it can be: one flat parameter cut in equal parts, gathered before use, freed after it, its
 * gradient reduce-scattered. Three ways to drive it (hooks, a wrapper, explicit calls) do the same and log the same.
 */
import { runThen } from '../../base/index.js';
import { Module, Parameter, stateOf } from '../../nn/index.js';
import { AutogradFunction, type FunctionContext, noGrad, type Tensor, torch } from '../../tensor/index.js';
import { dist, type ProcessGroup, ReduceOp } from '../group/index.js';

interface Slot {
  module: Module;
  name: string;
  shape: readonly number[];
  offset: number;
  numel: number;
}

/** The parameters of a module as one flat vector of which each rank keeps its part. */
export class ManualFsdp {
  /** This rank's part: what an optimizer steps. */
  readonly shard: Tensor;
  readonly log: string[] = [];
  readonly #slots: Slot[] = [];
  readonly #padded: number;
  #whole: Tensor | null = null;

  constructor(
    readonly module: Module,
    readonly group: ProcessGroup = dist.group.WORLD,
    readonly label = module._getName(),
  ) {
    let total = 0;
    for (const owner of module.modules()) {
      for (const [name, p] of stateOf(owner).parameters) {
        if (p === null) continue;
        this.#slots.push({ module: owner, name, shape: [...p.shape], offset: total, numel: p.numel() });
        total += p.numel();
      }
    }
    const ranks = group.size();
    this.#padded = Math.ceil(total / ranks) * ranks;
    this.shard = noGrad(() => {
      const flat = torch.zeros([this.#padded]);
      for (const slot of this.#slots)
        flat
          .narrow(0, slot.offset, slot.numel)
          .copy_(stateOf(slot.module).parameters.get(slot.name)!.reshape([-1]));
      const size = this.#padded / ranks;
      return new Parameter(flat.narrow(0, group.rank() * size, size).clone());
    });
    this.#putEmpty();
  }

  /** All-gathers the parts and puts views of the whole into the module. */
  gather(): void {
    if (this.#whole !== null) return;
    this.log.push(`all-gather ${this.label}`);
    const flat = torch.empty([this.#padded]);
    noGrad(() => dist.allGatherSingle(flat, this.shard.detach(), { group: this.group }));
    this.#whole = flat.requiresGrad_(true);
    for (const slot of this.#slots) {
      const view = noGrad(() => flat.narrow(0, slot.offset, slot.numel).view([...slot.shape]));
      Reflect.set(slot.module, slot.name, new Parameter(view));
    }
  }

  /** Lets the whole go; what autograd saved of it stays until backward is done. */
  free(): void {
    if (this.#whole === null) return;
    this.log.push(`free ${this.label}`);
    this.#putEmpty();
    this.#whole = null;
  }

  /** Collects the gradients of the gathered parameters, averages them over the ranks, and keeps this rank's part. */
  reduce(parameters: readonly Tensor[]): void {
    this.log.push(`reduce-scatter ${this.label}`);
    noGrad(() => {
      const flat = torch.zeros([this.#padded]);
      for (const [i, slot] of this.#slots.entries()) {
        const grad = parameters[i]?.grad;
        if (grad) flat.narrow(0, slot.offset, slot.numel).copy_(grad.reshape([-1]));
      }
      const part = torch.zeros([...this.shard.shape]);
      dist.reduceScatterSingle(part, flat, { group: this.group, op: ReduceOp.AVG });
      this.shard.grad = this.shard.grad ? this.shard.grad.add(part) : part;
    });
  }

  /** The gathered parameters, in the order of the flat vector. */
  gathered(): Tensor[] {
    return this.#slots.map((slot) => stateOf(slot.module).parameters.get(slot.name)!);
  }

  #putEmpty(): void {
    for (const slot of this.#slots) Reflect.set(slot.module, slot.name, new Parameter(torch.empty([0])));
  }

  /** Drives it by module hooks: the model's own code stays as it is. */
  attachHooks(): { remove(): void } {
    let used: Tensor[] = [];
    const before = this.module.registerForwardPreHook((_m, args) => {
      this.gather();
      used = this.gathered();
      return args.map((a) =>
        torch.isTensor(a) && a.requiresGrad ? (AfterBackward.apply(this, used, a) as Tensor) : a,
      );
    });
    const after = this.module.registerForwardHook((_m, args, output) => {
      this.free();
      const own = used;
      const needs = args.some((a) => torch.isTensor(a) && a.requiresGrad);
      const result = output as Tensor;
      if (!needs && result.requiresGrad)
        result.registerHook(() => torch.autograd.queueCallback(() => this.reduce(own)));
    });
    return {
      remove() {
        before.remove();
        after.remove();
      },
    };
  }

  /** Drives it explicitly: gathers, runs `body`, frees, and reduces once the backward pass is over. */
  run(body: () => Tensor): Tensor {
    const compute = (): Tensor => {
      this.gather();
      const used = this.gathered();
      const output = body();
      if (output.requiresGrad)
        output.registerHook(() => torch.autograd.queueCallback(() => this.reduce(used)));
      return output;
    };
    return runThen(compute, () => this.free());
  }
}

/** Drives a `ManualFsdp` by a module around it. */
export class ManualFsdpWrapper extends Module {
  readonly fsdp: ManualFsdp;

  constructor(
    readonly inner: Module,
    group?: ProcessGroup,
    label?: string,
  ) {
    super();
    this.fsdp = new ManualFsdp(inner, group, label);
  }

  forward(x: Tensor): Tensor {
    return this.fsdp.run(() => (this.inner as unknown as (x: Tensor) => Tensor)(x));
  }
}

class AfterBackward extends AutogradFunction {
  static override forward(ctx: FunctionContext, fsdp: ManualFsdp, used: Tensor[], x: Tensor): Tensor {
    ctx['fsdp'] = fsdp;
    ctx['used'] = used;
    return x;
  }
  static override backward(ctx: FunctionContext, grad: Tensor | null): (Tensor | null)[] {
    (ctx['fsdp'] as ManualFsdp).reduce(ctx['used'] as Tensor[]);
    return [null, null, grad];
  }
}
