/** Tests of gradient synchronisation on a model that is sharded already. */
import type { Module } from '../../nn/index.js';
import { noGrad, type Tensor, torch } from '../../tensor/index.js';
import { DTensor, samePlacements } from '../dtensor/index.js';
import { FSDPModule } from '../fsdp/index.js';
import { dist } from '../group/index.js';
import { CheckReport } from './report.js';
import { compareGradients, wholeBatch } from './verify.js';

export interface GradientSyncOptions {
  /** Input of a step on a rank; different ranks should see different data. */
  input: (step: number, rank: number) => Tensor;
  /** The loss of an output; default: the mean of its squares. */
  loss?: (output: Tensor, step: number) => Tensor;
  tolerance?: number;
}

/** Holds sharded gradients against those of one process with the whole batch. */
export class GradientSyncTester {
  readonly #loss: (output: Tensor, step: number) => Tensor;
  readonly #tolerance: number;

  constructor(
    readonly model: Module,
    private readonly options: GradientSyncOptions,
  ) {
    this.#loss = options.loss ?? ((output) => output.pow(2).mean());
    this.#tolerance = options.tolerance ?? 1e-5;
  }

  #run(model: Module, input: Tensor, step: number, scale = 1): void {
    const output = (model as unknown as (x: Tensor) => Tensor)(input);
    this.#loss(output, step).mul(scale).backward();
  }

  /** After one backward every trainable parameter has a gradient that lies as the parameter does. */
  testReduction(): CheckReport {
    const report = new CheckReport('Gradients after one backward');
    this.model.zeroGrad();
    this.#run(this.model, this.options.input(0, dist.getRank()), 0);
    this.#reshard();
    for (const [name, p] of this.model.namedParameters()) {
      if (!p.requiresGrad) continue;
      const { grad } = p;
      if (grad === null) report.add(name, false, 'it has no gradient');
      else if (!(p instanceof DTensor) || !(grad instanceof DTensor))
        report.add(name, false, 'parameter or gradient is a plain tensor');
      else
        report.add(
          name,
          samePlacements(p.placements, grad.placements) && grad.deviceMesh.equals(p.deviceMesh),
          `gradient ${grad.describe()}`,
        );
    }
    this.model.zeroGrad();
    return report;
  }

  /** Accumulating without communication and reducing once gives what reducing each time does. */
  testAccumulation(microBatches = 4): CheckReport {
    const report = new CheckReport(`Accumulation over ${microBatches} micro-batches`);
    const sharded = this.model;
    if (!(sharded instanceof FSDPModule))
      return report.add('model', false, 'fullyShard was not called on it');
    const rank = dist.getRank();
    const run = (syncEach: boolean): Map<string, Tensor | null> => {
      sharded.zeroGrad();
      for (let step = 0; step < microBatches; step++) {
        sharded.setRequiresGradientSync(syncEach || step === microBatches - 1);
        this.#run(sharded, this.options.input(step, rank), step, 1 / microBatches);
      }
      this.#reshard();
      return new Map(
        sharded
          .namedParameters()
          .map(([name, p]) => [name, p.grad === null ? null : p.grad.localPart().clone()]),
      );
    };
    const each = run(true);
    const once = run(false);
    sharded.zeroGrad();
    for (const [name, a] of each) {
      const b = once.get(name) ?? null;
      const same = a === null || b === null ? a === b : agree(a, b, this.#tolerance);
      report.add(name, same, same ? 'the same either way' : 'reducing once gives something else');
    }
    return report;
  }

  /** Gradients of the ranks' data equal those of a plain model with the same weights on all of it. */
  compareWithSingleProcess(reference: Module, steps = 5): CheckReport {
    const report = new CheckReport('Gradients against one process');
    const sums = new Map<string, number>();
    for (let step = 0; step < steps; step++) {
      const input = this.options.input(step, dist.getRank());
      for (const model of [this.model, reference]) model.zeroGrad();
      this.#run(this.model, input, step);
      this.#run(reference, wholeBatch(input), step);
      this.#reshard();
      for (const [name, difference] of Object.entries(compareGradients(this.model, reference)))
        sums.set(name, (sums.get(name) ?? 0) + difference / steps);
    }
    for (const model of [this.model, reference]) model.zeroGrad();
    for (const [name, difference] of sums)
      report.add(
        name,
        difference <= this.#tolerance,
        `mean of the largest differences ${difference.toExponential(2)}`,
      );
    return report;
  }

  #reshard(): void {
    for (const module of this.model.modules()) if (module instanceof FSDPModule) module.reshard();
  }
}

function agree(a: Tensor, b: Tensor, tolerance: number): boolean {
  return noGrad(
    () =>
      a.numel() === 0 ||
      Number(a.sub(b).abs().max().item()) <= tolerance * (1 + Number(torch.max(a.abs()).item())),
  );
}
