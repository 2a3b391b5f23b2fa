/** Questions about what runs the program: backends, launcher, diagnostics. */
import { environment } from '../../platform/index.js';
import { badArgument, requiredGroup } from './args.js';
import type { Group } from './process-group.js';

/** Names of backends. `SHM`, shared memory, is the one that there is. */
export const Backend = {
  UNDEFINED: 'undefined',
  SHM: 'shm',
  GLOO: 'gloo',
  NCCL: 'nccl',
  MPI: 'mpi',
  UCC: 'ucc',
  XCCL: 'xccl',
} as const;

/** Whether there are distributed calls at all: always. */
export function isAvailable(): boolean {
  return true;
}

/** Whether groups can use a backend: shared memory alone. */
export function isBackendAvailable(backend: string): boolean {
  return backend.toLowerCase() === Backend.SHM;
}
/** Never: collectives go through shared memory. */
export const isGlooAvailable = (): boolean => false;
/** Never: collectives go through shared memory. */
export const isNcclAvailable = (): boolean => false;
/** Never: collectives go through shared memory. */
export const isMpiAvailable = (): boolean => false;
/** Never: collectives go through shared memory. */
export const isUccAvailable = (): boolean => false;
/** Never: collectives go through shared memory. */
export const isXcclAvailable = (): boolean => false;

/** Complex tensors do not exist here. */
export const supportsComplex = (): boolean => false;

/** Devices with their backends, as PyTorch writes them. */
export function getBackendConfig(group?: Group | null): string {
  requiredGroup(group, 'getBackendConfig');
  return `cpu:${Backend.SHM}`;
}

/** The backend that groups use for tensors of a device. */
export function getDefaultBackendForDevice(device: string | { type: string }): string {
  const type = (typeof device === 'string' ? device : device.type).split(':')[0]!;
  if (type === 'cpu') return Backend.SHM;
  throw badArgument(
    'getDefaultBackendForDevice',
    `there is no backend for device "${type}"`,
    'the device is cpu',
  );
}

/** Whether a launcher that restarts ranks started this program: `shardbook run` does. */
export function isTorchelasticLaunched(): boolean {
  return environment('TORCHELASTIC_RUN_ID') !== undefined;
}

/** LOCAL_RANK, or the fallback where no launcher set it. */
export function getNodeLocalRank(fallbackRank?: number | null): number {
  const rank = environment('LOCAL_RANK') ?? fallbackRank ?? undefined;
  if (rank !== undefined) return Number(rank);
  throw badArgument(
    'getNodeLocalRank',
    'LOCAL_RANK is not set and no fallback is given',
    'start the program with "shardbook run", or give a fallback rank',
  );
}

/** Levels of TORCH_DISTRIBUTED_DEBUG. */
export type DebugLevel = 'OFF' | 'INFO' | 'DETAIL';
export const DebugLevel = { OFF: 'OFF', INFO: 'INFO', DETAIL: 'DETAIL' } as const;
let debugLevel: DebugLevel | undefined;

/** Calls are compared between ranks at every level; the level is there for programs that ask for it. */
export function getDebugLevel(): DebugLevel {
  const given = debugLevel ?? environment('TORCH_DISTRIBUTED_DEBUG')?.toUpperCase();
  return given === 'INFO' || given === 'DETAIL' ? given : 'OFF';
}

/** Sets what `getDebugLevel` answers. */
export function setDebugLevel(level: DebugLevel): void {
  if (!(level in DebugLevel)) {
    throw badArgument('setDebugLevel', `"${String(level)}" is no level`, 'use OFF, INFO or DETAIL');
  }
  debugLevel = level;
}

/** Back to what the environment says. */
export function setDebugLevelFromEnv(): void {
  debugLevel = undefined;
}
