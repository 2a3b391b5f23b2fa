import { ShardbookError } from '../../base/index.js';
import { type Module, Parameter } from '../../nn/index.js';
import { noGrad } from '../../tensor/index.js';
import { DTensor, distributeTensor, Replicate } from '../dtensor/index.js';
import { currentMesh, type DeviceMesh } from '../mesh/index.js';

/** Gets the name and the module of every part of the module, itself first under the name "". */
export type PartitionFn = (name: string, module: Module, mesh: DeviceMesh) => void;
/** Gets the positional inputs; what it returns takes their place. */
export type InputFn = (module: Module, inputs: readonly unknown[], mesh: DeviceMesh) => unknown;
/** What it returns takes the output's place. */
export type OutputFn = (module: Module, output: unknown, mesh: DeviceMesh) => unknown;

const distributed = new WeakSet<Module>();

/**
 * Makes all parameters and buffers of a module DTensors, in place. `partitionFn` cuts those that it likes to, the others are
 * replicated from the first rank; `inputFn` runs before the module's forward, `outputFn` after it.
 */
export function distributeModule<M extends Module>(
  module: M,
  deviceMesh?: DeviceMesh | null,
  partitionFn?: PartitionFn | null,
  inputFn?: InputFn | null,
  outputFn?: OutputFn | null,
): M {
  if (distributed.has(module)) {
    throw new ShardbookError({
      code: 'SB_DISTRIBUTE_MODULE',
      message: `Cannot distribute ${module._getName()}: it is distributed already`,
      help: 'apply one style to a module; its inputs and outputs are prepared by PrepareModuleInput and PrepareModuleOutput on its parent',
    });
  }
  const mesh = deviceMesh ?? currentMesh();
  if (mesh === null) {
    throw new ShardbookError({
      code: 'SB_BAD_ARGUMENT',
      message: 'Cannot distribute a module without a mesh: none is given and none is current',
      help: 'pass one, as initDeviceMesh([4]) makes it, or call inside mesh.run(() => ...)',
    });
  }
  for (const [name, part] of module.namedModules()) {
    partitionFn?.(name, part, mesh);
    replicateRest(part, mesh);
  }
  if (inputFn)
    module.registerForwardPreHook((part: Module, inputs: readonly unknown[]) => inputFn(part, inputs, mesh));
  if (outputFn)
    module.registerForwardHook((part: Module, _inputs: readonly unknown[], output: unknown) =>
      outputFn(part, output, mesh),
    );
  distributed.add(module);
  return module;
}

/** What the partition function left plain. */
function replicateRest(module: Module, mesh: DeviceMesh): void {
  const everywhere = mesh.shape.map(() => Replicate());
  for (const [name, parameter] of module.namedParameters('', false)) {
    if (parameter instanceof DTensor) continue;
    const whole = noGrad(() => parameter.detach());
    module.registerParameter(
      name,
      new Parameter(distributeTensor(whole, mesh, everywhere), parameter.requiresGrad),
    );
  }
  for (const [name, buffer] of module.namedBuffers('', false)) {
    if (buffer instanceof DTensor) continue;
    (module as unknown as Record<string, unknown>)[name] = distributeTensor(buffer, mesh, everywhere);
  }
}
