/** What FSDP uses of a mesh: along which axis it shards, along which it replicates, and this rank's groups of both. */
import { type Tensor, torch } from '../../tensor/index.js';
import { dist, type ProcessGroup } from '../group/index.js';
import { DeviceMesh, initDeviceMesh } from '../mesh/index.js';
import { fsdpError } from './errors.js';
import type { DataParallelMeshDims } from './policy.js';

/** This rank's place in the group of one axis. */
export interface AxisPlace {
  readonly group: ProcessGroup;
  readonly size: number;
  readonly rank: number;
}

/** Groups and this rank's place in them. */
export interface MeshInfo {
  readonly mesh: DeviceMesh;
  /** null: parameters are only replicated, as DDP does. */
  readonly shard: AxisPlace | null;
  /** null unless the mesh is HSDP's. */
  readonly replicate: AxisPlace | null;
  /** The mesh of all parallelisms, where `dpMeshDims` names the data-parallel axes of it. */
  readonly full: { readonly mesh: DeviceMesh; readonly dims: DataParallelMeshDims } | null;
  /** A group of its own for reduce-scatters, where one was asked for. */
  reduceScatterGroup: ProcessGroup | null;
}

function place(mesh: DeviceMesh, axis: number): AxisPlace {
  const group = mesh.getGroup(axis);
  return { group, size: group.size(), rank: group.rank() };
}

/** All ranks in one axis: what `fullyShard` uses when no mesh is given. */
export function defaultMesh(): DeviceMesh {
  dist.initProcessGroup();
  return initDeviceMesh([dist.getWorldSize()]);
}

/** Refuses meshes that FSDP has no meaning for, before anything is communicated. */
export function checkMesh(mesh: unknown, dims: DataParallelMeshDims | null): asserts mesh is DeviceMesh {
  if (!(mesh instanceof DeviceMesh)) {
    throw fsdpError(
      'MESH',
      `Cannot shard a module: mesh is ${mesh === null ? 'null' : typeof mesh}, wanted a DeviceMesh`,
      'make one with initDeviceMesh([dist.getWorldSize()])',
    );
  }
  if (dims !== null) {
    const names = mesh.meshDimNames ?? [];
    const unknown = [...dims.shardNames, ...dims.replicateNames].find((name) => !names.includes(name));
    if (unknown !== undefined) {
      throw fsdpError(
        'MESH',
        `Cannot shard a module: ${mesh} has no axis "${unknown}" that dpMeshDims names`,
      );
    }
  } else if (mesh.ndim !== 1 && mesh.ndim !== 2) {
    throw fsdpError(
      'MESH',
      `Cannot shard a module on ${mesh}: it has ${mesh.ndim} axes, wanted 1 (shard) or 2 (replicate, shard)`,
      'slice the data-parallel axes out of it: mesh.get("dp"), or name them with dpMeshDims',
    );
  } else if (mesh.ndim === 2 && mesh.meshDimNames === null) {
    throw fsdpError(
      'MESH',
      `Cannot shard a module on ${mesh}: the axes of a mesh for HSDP must have names`,
      "pass { meshDimNames: ['replicate', 'shard'] } when it is made",
    );
  }
  if (!mesh.isMember) {
    throw fsdpError(
      'MESH',
      `Cannot shard a module on ${mesh}: rank ${dist.getRank()} is not in it`,
      'call fullyShard only on the ranks of the mesh',
    );
  }
}

/** The groups that a mesh shards and replicates over. */
export function meshInfoOf(mesh: DeviceMesh, dims: DataParallelMeshDims | null): MeshInfo {
  if (dims !== null) return namedInfo(mesh, dims);
  if (mesh.ndim === 1) return info(mesh, 0, null, null);
  return info(mesh, 1, 0, null);
}

function info(
  mesh: DeviceMesh,
  shardAxis: number | null,
  replicateAxis: number | null,
  full: MeshInfo['full'],
): MeshInfo {
  return {
    mesh,
    shard: shardAxis === null ? null : place(mesh, shardAxis),
    replicate: replicateAxis === null ? null : place(mesh, replicateAxis),
    full,
    reduceScatterGroup: null,
  };
}

function namedInfo(mesh: DeviceMesh, dims: DataParallelMeshDims): MeshInfo {
  const part = (names: readonly string[]): DeviceMesh =>
    names.length === 1 ? mesh.get(names[0]!) : mesh.get(names).flatten(names.join('_'));
  const full = { mesh, dims };
  if (dims.shardNames.length === 0) return info(part(dims.replicateNames), null, 0, full);
  if (dims.replicateNames.length === 0) return info(part(dims.shardNames), 0, null, full);
  const shard = part(dims.shardNames);
  return info(DeviceMesh.concatenate([part(dims.replicateNames), shard]), 1, 0, full);
}

const smaller = new WeakMap<DeviceMesh, Map<number, MeshInfo>>();

/** Where parameters go after forward: the same mesh, nowhere (null: they stay whole), or groups of `reshard` ranks. */
export function postForwardInfo(reshard: unknown, own: MeshInfo): MeshInfo | null {
  const size = own.shard?.size ?? 1;
  if (typeof reshard === 'boolean') return reshard ? own : null;
  if (typeof reshard !== 'number') {
    throw fsdpError(
      'RESHARD',
      `Cannot shard a module: reshardAfterForward is ${typeof reshard}, wanted a boolean or a group size`,
    );
  }
  if (!Number.isInteger(reshard) || reshard < 1 || reshard > size || size % reshard !== 0) {
    throw fsdpError(
      'RESHARD',
      `Cannot shard a module: reshardAfterForward is ${reshard}, wanted a divisor of ${size} (the ranks of the shard axis)`,
    );
  }
  if (reshard === 1) return null;
  if (reshard === size) return own;
  let bySize = smaller.get(own.mesh);
  if (!bySize) {
    bySize = new Map();
    smaller.set(own.mesh, bySize);
  }
  let made = bySize.get(reshard);
  if (!made) {
    const table: Tensor = torch.reshape(own.mesh.mesh, [-1, reshard]);
    made = info(new DeviceMesh(own.mesh.deviceType, table), 1, 0, null);
    bySize.set(reshard, made);
  }
  return made;
}
