import { checkDeviceType, checkNames, DeviceMesh, type MeshOptions } from './device-mesh.js';
import { meshError } from './errors.js';
import { rowMajor } from './layout.js';

/**
 * A mesh of the first ranks of the world, row by row: `initDeviceMesh([2, 4], { meshDimNames: ['dp', 'tp'] })`. Every rank of
 * the world calls it.
 */
export function initDeviceMesh(shape: readonly number[], options?: MeshOptions): DeviceMesh;
export function initDeviceMesh(
  deviceType: string,
  shape: readonly number[],
  options?: MeshOptions,
): DeviceMesh;
export function initDeviceMesh(
  first: string | readonly number[],
  second?: readonly number[] | MeshOptions,
  third?: MeshOptions,
): DeviceMesh {
  const typed = typeof first === 'string';
  const shape = (typed ? second : first) as readonly number[];
  const names = ((typed ? third : second) as MeshOptions | undefined)?.meshDimNames ?? null;
  if (names) checkNames(names, shape);
  const deviceType = checkDeviceType(typed ? first : 'cpu');
  const bad = shape.find((size) => !Number.isInteger(size) || size < 1);
  if (bad !== undefined) {
    throw meshError(
      'SB_MESH_SHAPE',
      `Cannot make a mesh of shape [${shape.join(', ')}]: ${bad} is no size of an axis`,
      'sizes are whole numbers from 1',
    );
  }
  const total = shape.reduce((n, size) => n * size, 1);
  return new DeviceMesh({
    deviceType,
    layout: rowMajor(shape),
    rankMap: Array.from({ length: total }, (_, rank) => rank),
    names,
    root: null,
    groups: null,
  });
}
