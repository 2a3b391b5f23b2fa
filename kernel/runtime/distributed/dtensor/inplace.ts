/** In-place operations of tensors that a DTensor refuses, or does with a word of warning: as PyTorch. */
import { ShardbookError } from '../../base/index.js';
import { Tensor } from '../../tensor/index.js';
import { DTensor } from './dtensor.js';

type Method = (this: DTensor, ...args: unknown[]) => unknown;

function define(name: string, method: Method): void {
  Object.defineProperty(DTensor.prototype, name, { value: method, writable: true, configurable: true });
}

/** They would change the shape of what others hold as placed on the mesh: PyTorch has no sharding rule for them either. */
const REFUSED: Readonly<Record<string, string>> = {
  t_: 't()',
  transpose_: 'transpose(a, b)',
  swapaxes_: 'transpose(a, b)',
  swapdims_: 'transpose(a, b)',
  unsqueeze_: 'unsqueeze(dim)',
};

for (const [name, instead] of Object.entries(REFUSED)) {
  define(name, function () {
    throw new ShardbookError({
      code: 'SB_DTENSOR_OP',
      message: `Cannot run "${name}" on ${this.spec}: the operation has no sharding rule`,
      help: `take the result of ${instead} instead: it is a view of the same parts`,
    });
  });
}

const DRAWS = [
  'uniform_',
  'normal_',
  'random_',
  'bernoulli_',
  'exponential_',
  'cauchy_',
  'geometric_',
  'logNormal_',
];

let warned = false;

for (const name of DRAWS) {
  const draw = Reflect.get(Tensor.prototype, name) as Method;
  define(name, function (...args) {
    if (!warned && this.placements.some((p, axis) => p.isShard() && this.deviceMesh.size(axis) > 1)) {
      warned = true;
      console.warn(
        `${name} on a sharded DTensor: ranks with the same seed draw the same numbers into every shard, as in PyTorch on the CPU. Seed each differently: torch.manualSeed(seed + rank)`,
      );
    }
    return draw.apply(this, args);
  });
}
