import type { DeviceMesh, nn, optim, Tensor } from 'shardbook';

export interface Finding {
  check: 'uncovered' | 'types' | 'placements' | 'shapes' | 'values' | 'grads' | 'optimizer';
  name: string;
  ranks: number[];
  reason: string;
}

/** Says what of a sharded model does not lie as it should. */
export class ShardVerifier {
  constructor(
    readonly model: nn.Module,
    readonly mesh: DeviceMesh,
    readonly reference: Readonly<Record<string, Tensor>>,
  ) {}

  checkUncovered(): Finding[] {
    // TODO: each rank looks at its own, then all exchange what they found.
    throw new Error('not begun');
  }

  checkTypes(): Finding[] {
    throw new Error('not begun');
  }

  checkPlacements(): Finding[] {
    throw new Error('not begun');
  }

  checkShapes(): Finding[] {
    throw new Error('not begun');
  }

  checkValues(): Finding[] {
    throw new Error('not begun');
  }

  checkGrads(): Finding[] {
    throw new Error('not begun');
  }

  checkOptimizerState(optimizer: optim.Optimizer): Finding[] {
    throw new Error(`not begun: ${[optimizer].length}`);
  }

  report(optimizer?: optim.Optimizer): { findings: Finding[]; table: string; status: 0 | 1 } {
    throw new Error(`not begun: ${[optimizer].length}`);
  }
}
