import { type Module, Parameter } from '../../nn/index.js';
import { Tensor } from '../../tensor/index.js';
import {
  DTensor,
  distributeModule,
  type Placements,
  Replicate,
  Shard,
  samePlacements,
} from '../dtensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { kindOf, ParallelStyle, styleError } from './style.js';

export interface SequenceParallelOptions {
  /** The dimension of the input that is cut; default 1. */
  sequenceDim?: number;
  /** Whether the output is this rank's part or the DTensor (the default). */
  useLocalOutput?: boolean;
}

/**
 * Runs a LayerNorm, RMSNorm or Dropout on its part of the sequence. Its parameters are replicated: every rank keeps its own
 * values, so they have to be equal before. A plain input is taken to be this rank's part, a DTensor is brought there.
 */
export class SequenceParallel extends ParallelStyle {
  readonly sequenceDim: number;
  readonly useLocalOutput: boolean;
  readonly #sharding: Placements;

  constructor(options: SequenceParallelOptions = {}) {
    super();
    this.sequenceDim = options.sequenceDim ?? 1;
    this.useLocalOutput = options.useLocalOutput ?? false;
    this.#sharding = [Shard(this.sequenceDim)];
  }

  override apply(module: Module, mesh: DeviceMesh): Module {
    return distributeModule(
      module,
      mesh,
      (_name: string, part: Module) => {
        for (const [name, parameter] of part.namedParameters()) {
          const replicated = DTensor.fromLocal(parameter, mesh, [Replicate()], { runCheck: false });
          part.registerParameter(name, new Parameter(replicated));
        }
      },
      (part: Module, inputs: readonly unknown[]) => [this.#input(part, inputs[0], mesh)],
      (_part: Module, output: unknown) => (this.useLocalOutput ? (output as DTensor).toLocal() : output),
    ) as Module;
  }

  #input(module: Module, input: unknown, mesh: DeviceMesh): DTensor {
    if (input instanceof DTensor) {
      return samePlacements(input.placements, this.#sharding)
        ? input
        : input.redistribute(this.#sharding, { asyncOp: true });
    }
    if (input instanceof Tensor) return DTensor.fromLocal(input, mesh, this.#sharding, { runCheck: false });
    throw styleError(
      'SB_TP_INPUT',
      `Cannot prepare the input of SequenceParallel of ${kindOf(module)}: it is ${kindOf(input)}, wanted a Tensor or a DTensor`,
    );
  }

  protected override describe(): string {
    return `sequenceDim=${this.sequenceDim}, useLocalOutput=${this.useLocalOutput}`;
  }
}
