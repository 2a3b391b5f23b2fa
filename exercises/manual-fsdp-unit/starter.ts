import type { Tensor } from 'shardbook';

/** Parameters that are gathered together and reduced together. */
export class FsdpUnit {
  /** This rank's part of all of them. */
  readonly shard: Tensor;

  constructor(parameters: readonly Tensor[]) {
    // TODO: one flat vector, padded; keep one part.
    throw new Error(`not begun: ${parameters.length} parameters`);
  }

  /** The whole parameters. */
  unshard(): Tensor[] {
    throw new Error('not begun');
  }

  /** Lets the whole parameters go. */
  reshard(): void {
    throw new Error('not begun');
  }

  /** Averages the gradients of the whole parameters over the ranks and adds this rank's part to `shard.grad`. */
  reduceGradients(): void {
    throw new Error('not begun');
  }
}
