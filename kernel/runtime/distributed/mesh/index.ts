/** Arrangements of ranks. */
export { currentMesh } from './current.js';
export { DeviceMesh, type MeshOptions } from './device-mesh.js';
export { initDeviceMesh } from './init.js';
export type { RankTable } from './table.js';
