/** The `dist` namespace: torch.distributed in camelCase, with meshes and what stands on them. */
export * from './group/dist.js';
export { currentMesh, DeviceMesh, initDeviceMesh } from './mesh/index.js';
