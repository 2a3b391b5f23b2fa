/** What dispatch on DTensors adds to an operation whose strategy is known. */
import { distEntry, World } from '../host/world/index.js';
import { createWorldMemory, superviseWorld } from '../runtime/index.js';
import type { CollectiveWork } from './bench-rank.js';
import { round } from './stats.js';
import { TORCH_ABSENT, torchPeer } from './torch-peer.js';

type Figures = Record<string, { local: number; dtensor: number; added: number }>;

/** The bound that holds for every operation, in microseconds. */
const MOST_ADDED = 20;

export async function benchDTensor(): Promise<Record<string, unknown>> {
  const memory = createWorldMemory({ worldSize: 2 });
  const world = await World.start({
    size: 2,
    entry: distEntry('bench-rank.js'),
    workerData: memory,
    supervisor: superviseWorld(memory),
  });
  // Both ranks make the mesh, one measures: nothing is sent.
  const [figures] = await Promise.all(
    [0, 1].map((rank) =>
      world.request<CollectiveWork, Figures>(rank, { op: 'dtensor', measures: rank === 0 }),
    ),
  );
  await world.stop();
  const peer = torchPeer('dtensor');
  const result: Record<string, unknown> = peer === undefined ? { torch: TORCH_ABSENT } : {};
  for (const [name, { local, dtensor, added }] of Object.entries(figures!)) {
    const theirs = peer?.[name];
    result[name] = {
      localMicros: round(local),
      dtensorMicros: round(dtensor),
      addedMicros: round(added),
      ...(theirs === undefined ? {} : { torchAddedMicros: round(theirs) }),
    };
  }
  const most = Math.max(...Object.values(figures!).map(({ added }) => added));
  result['mostAddedMicros'] = round(most);
  result['withinBound'] = most <= MOST_ADDED;
  return result;
}
