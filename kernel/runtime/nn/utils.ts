import { ShardbookError } from '../base/index.js';
import { type Tensor, torch } from '../tensor/index.js';
import type { Module } from './module.js';
import { isOptions } from './options.js';

export {
  clipGradNorm_,
  clipGradsWithNorm_,
  clipGradValue_,
  getTotalNorm,
  type NormOptions,
} from '../tensor/index.js';

/** All parameters flattened and joined into one vector. */
export function parametersToVector(parameters: Iterable<Tensor>): Tensor {
  return torch.cat([...parameters].map((p) => p.reshape([-1])));
}

/** Points each parameter at its part of the vector: the inverse of `parametersToVector`. */
export function vectorToParameters(vector: Tensor, parameters: Iterable<Tensor>): void {
  const all = [...parameters];
  const wanted = all.reduce((sum, p) => sum + p.numel(), 0);
  if (vector.shape.length !== 1 || vector.numel() < wanted) {
    throw new ShardbookError({
      code: 'SB_NN_SHAPE',
      message: `Cannot fill ${wanted} parameter elements from a tensor of shape [${vector.shape.join(', ')}]`,
    });
  }
  let start = 0;
  for (const parameter of all) {
    const size = parameter.numel();
    parameter.data = vector.narrow(0, start, size).reshape(parameter.shape);
    start += size;
  }
}

/** Constructs a module without drawing its initial values: `skipInit(nn.Linear, 4, 8)`. Its last parameter must be options. */
export function skipInit<A extends unknown[], M extends Module>(type: new (...args: A) => M, ...args: A): M {
  const last = args.at(-1);
  const given = isOptions(last)
    ? [...args.slice(0, -1), { ...last, device: 'meta' }]
    : [...args, { device: 'meta' }];
  return new type(...(given as A)).toEmpty({ device: 'cpu' });
}
