/** Colwise and rowwise: the two ways to cut a Linear or an Embedding. */
import { Embedding, Linear, type Module, Parameter } from '../../nn/index.js';
import { Tensor } from '../../tensor/index.js';
import {
  DTensor,
  distributeModule,
  distributeTensor,
  type Placement,
  type Placements,
  placementsText,
  Replicate,
  Shard,
  samePlacements,
} from '../dtensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { kindOf, ParallelStyle, styleError } from './style.js';

export interface LinearStyleOptions {
  /** How a plain input lies. */
  inputLayouts?: Placement | null;
  /** How the output is handed on. */
  outputLayouts?: Placement | null;
  /** Whether the output is this rank's part (the default) or the DTensor. */
  useLocalOutput?: boolean;
}

abstract class LinearStyle extends ParallelStyle {
  readonly inputLayouts: Placements;
  readonly outputLayouts: Placements;
  readonly useLocalOutput: boolean;

  constructor(options: LinearStyleOptions, input: Placement, output: Placement) {
    super();
    this.inputLayouts = [options.inputLayouts ?? input];
    this.outputLayouts = [options.outputLayouts ?? output];
    this.useLocalOutput = options.useLocalOutput ?? true;
  }

  /** Where the input has to be. */
  protected abstract desiredInput(module: Module): Placements;
  /** How a parameter is cut. */
  protected abstract cutOf(module: Module, name: string): Placement;

  override apply(module: Module, mesh: DeviceMesh): Module {
    if (!(module instanceof Linear || module instanceof Embedding)) {
      throw styleError(
        'SB_TP_MODULE',
        `Cannot apply ${this.constructor.name} to a ${kindOf(module)}: it can cut Linear and Embedding only`,
        'name its Linear or Embedding children in the plan, or use SequenceParallel or PrepareModuleInput for it',
      );
    }
    const desired = this.desiredInput(module);
    return distributeModule(
      module,
      mesh,
      (_name: string, part: Module) => this.#partition(part, mesh),
      (part: Module, inputs: readonly unknown[]) => this.#input(part, inputs, desired, mesh),
      (_part: Module, output: unknown) => this.#output(output),
    ) as Module;
  }

  #partition(module: Module, mesh: DeviceMesh): void {
    const { srcDataRank } = this;
    for (const [name, parameter] of module.namedParameters()) {
      const cut = distributeTensor(parameter, mesh, [this.cutOf(module, name)], { srcDataRank });
      module.registerParameter(name, new Parameter(cut, parameter.requiresGrad));
    }
  }

  #input(
    module: Module,
    inputs: readonly unknown[],
    desired: Placements,
    mesh: DeviceMesh,
  ): readonly unknown[] {
    const input = asDTensor(
      inputs[0],
      this.inputLayouts,
      mesh,
      `${this.constructor.name} of ${kindOf(module)}`,
    );
    // As in PyTorch, the layouts of the style decide, not those of the tensor.
    const moved = samePlacements(this.inputLayouts, desired)
      ? input
      : input.redistribute(desired, { asyncOp: true });
    return [moved];
  }

  #output(output: unknown): Tensor {
    const given = output as DTensor;
    const placed = samePlacements(given.placements, this.outputLayouts)
      ? given
      : given.redistribute(this.outputLayouts, { asyncOp: true });
    return this.useLocalOutput ? placed.toLocal() : placed;
  }

  protected override describe(): string {
    return `inputLayouts=${placementsText(this.inputLayouts)}, outputLayouts=${placementsText(this.outputLayouts)}, useLocalOutput=${this.useLocalOutput}`;
  }
}

/** A DTensor as it is, a plain tensor as this rank's part of one that lies as `layouts` say. */
function asDTensor(value: unknown, layouts: Placements, mesh: DeviceMesh, where: string): DTensor {
  if (value instanceof DTensor) return value;
  if (value instanceof Tensor) return DTensor.fromLocal(value, mesh, layouts, { runCheck: false });
  throw styleError(
    'SB_TP_INPUT',
    `Cannot prepare the input of ${where}: it is ${kindOf(value)}, wanted a Tensor or a DTensor`,
  );
}

/**
 * Cuts the columns of `x W^T`: a Linear's weight and bias are `Shard(0)`, an Embedding's weight `Shard(1)`. The input is needed
 * whole (default: it is), the output is cut along its last dimension.
 *
 * @example parallelizeModule(model, mesh, { up: new ColwiseParallel(), down: new RowwiseParallel() })
 */
export class ColwiseParallel extends LinearStyle {
  constructor(options: LinearStyleOptions = {}) {
    super(options, Replicate(), Shard(-1));
  }
  protected override desiredInput(): Placements {
    return [Replicate()];
  }
  protected override cutOf(module: Module): Placement {
    return module instanceof Linear ? Shard(0) : Shard(1);
  }
}

/**
 * Cuts the rows that `x W^T` sums over: a Linear's weight is `Shard(1)`, its bias replicated, an Embedding's weight `Shard(0)`. The
 * input comes cut along its last dimension (an Embedding's whole), the output is a pending sum until it is brought to
 * `outputLayouts`: replicated by an all-reduce (the default), or cut by a reduce-scatter.
 */
export class RowwiseParallel extends LinearStyle {
  constructor(options: LinearStyleOptions = {}) {
    super(options, Shard(-1), Replicate());
  }
  protected override desiredInput(module: Module): Placements {
    return [module instanceof Linear ? Shard(-1) : Replicate()];
  }
  protected override cutOf(module: Module, name: string): Placement {
    if (module instanceof Embedding) return Shard(0);
    return name === 'bias' ? Replicate() : Shard(1);
  }
}
