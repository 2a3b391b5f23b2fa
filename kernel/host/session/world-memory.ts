import { availableParallelism } from 'node:os';
import { createWorldMemory, superviseWorld, type WorldMemory } from '../../runtime/index.js';

/** Shared memory of a world and who keeps it consistent when ranks die or are interrupted. */
export function prepareWorld(size: number): {
  memory: WorldMemory;
  supervisor: ReturnType<typeof superviseWorld>;
} {
  const memory = createWorldMemory({ worldSize: size, cores: availableParallelism() });
  return { memory, supervisor: superviseWorld(memory) };
}
