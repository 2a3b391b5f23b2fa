import { availableParallelism } from 'node:os';
import { createWorldMemory, superviseWorld, type WorldMemory } from '../../runtime/index.js';
import { distEntry, type WorldOptions } from '../world/index.js';

/** What a rank thread needs to join its world; the thread's entry reads it. */
export interface ConformRankData {
  memory: WorldMemory;
}

/** How the worlds of conformance programs are started. */
export function worldOptions(size: number): WorldOptions {
  const memory = createWorldMemory({ worldSize: size, cores: availableParallelism() });
  const workerData: ConformRankData = { memory };
  return { size, entry: distEntry('conform-worker.js'), workerData, supervisor: superviseWorld(memory) };
}
