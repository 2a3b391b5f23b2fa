/** Arrangements of ranks. */
export { currentMesh, DeviceMesh, type MeshOptions } from './device-mesh.js';
export { initDeviceMesh } from './init.js';
export type { RankTable } from './table.js';
