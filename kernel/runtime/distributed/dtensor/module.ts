/** Modules of DTensors. */
import { ShardbookError } from '../../base/index.js';
import { type Module, Parameter } from '../../nn/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { distributeTensor } from './create.js';
import { DTensor, meshOrCurrent } from './dtensor.js';
import { Replicate } from './placements.js';

/** Turns parameters of one submodule into DTensors as it likes; what it leaves is replicated. */
export type PartitionFn = (name: string, module: Module, mesh: DeviceMesh) => void;
/** Sees the inputs before forward; what it returns takes their place. */
export type InputFn = (module: Module, inputs: readonly unknown[], mesh: DeviceMesh) => unknown;
/** Sees the output after forward; what it returns takes its place. */
export type OutputFn = (module: Module, output: unknown, mesh: DeviceMesh) => unknown;

const done = new WeakSet<Module>();

/** Makes all parameters and buffers of a module DTensors, and converts what goes in and out. */
export function distributeModule<M extends Module>(
  module: M,
  deviceMesh: DeviceMesh | null = null,
  partitionFn: PartitionFn | null = null,
  inputFn: InputFn | null = null,
  outputFn: OutputFn | null = null,
): M {
  if (done.has(module)) {
    throw new ShardbookError({
      code: 'SB_DTENSOR_MODULE',
      message: `Cannot distribute a ${module.constructor.name}: it is distributed already`,
      help: 'distribute each module once',
    });
  }
  const mesh = meshOrCurrent(deviceMesh, 'distributeModule');
  for (const [name, part] of module.namedModules()) {
    partitionFn?.(name, part, mesh);
    replicateRest(part, mesh);
  }
  if (inputFn) module.registerForwardPreHook((m, inputs) => inputFn(m, inputs, mesh));
  if (outputFn) module.registerForwardHook((m, _inputs, output) => outputFn(m, output, mesh));
  done.add(module);
  return module;
}

function replicateRest(module: Module, mesh: DeviceMesh): void {
  const whole = mesh.shape.map(() => Replicate());
  for (const [name, parameter] of module.namedParameters('', false)) {
    if (parameter instanceof DTensor) continue;
    const made = distributeTensor(parameter.detach(), mesh, whole);
    module.registerParameter(name, new Parameter(made, parameter.requiresGrad));
  }
  for (const [name, buffer] of module.namedBuffers('', false)) {
    if (buffer instanceof DTensor) continue;
    const persistent = name in module.stateDict();
    module.registerBuffer(name, distributeTensor(buffer.detach(), mesh, whole), persistent);
  }
}
