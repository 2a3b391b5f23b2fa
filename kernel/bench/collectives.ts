/** Collectives over shared memory beside gloo's, on as many ranks. */
import { availableParallelism } from 'node:os';
import { distEntry, World } from '../host/world/index.js';
import { createWorldMemory, superviseWorld } from '../runtime/index.js';
import type { CollectiveWork } from './bench-rank.js';
import { median, round } from './stats.js';
import { TORCH_ABSENT, torchPeer } from './torch-peer.js';

const SIZES: Record<string, number> = { '4KiB': 4 << 10, '16MiB': 16 << 20, '64MiB': 64 << 20 };

async function ours(size: number): Promise<Record<string, number>> {
  const started = performance.now();
  const memory = createWorldMemory({ worldSize: size, cores: availableParallelism() });
  const world = await World.start({
    size,
    entry: distEntry('bench-rank.js'),
    workerData: memory,
    supervisor: superviseWorld(memory),
  });
  const startMs = performance.now() - started;
  const run = async (work: CollectiveWork) => {
    const times = await Promise.all(
      Array.from({ length: size }, (_, rank) => world.request<CollectiveWork, number>(rank, work)),
    );
    return median(times);
  };
  const result: Record<string, number> = { startMs, barrierMs: await run({ op: 'barrier' }) };
  const bytes = SIZES['64MiB']!;
  // What all ranks together read and write a second when they only copy.
  if (size === 2) result['copyGBps'] = (size * 2 * bytes) / (await run({ op: 'copy', bytes })) / 1e6;
  for (const [name, bytes] of Object.entries(SIZES)) {
    result[`allReduce${name}Ms`] = await run({ op: 'allReduce', bytes });
  }
  await world.stop();
  return result;
}

/** Ours and theirs take turns, and the least disturbed round of each counts: the machine may have other work. */
const ROUNDS = 2;

export async function benchCollectives(): Promise<Record<string, unknown>> {
  const result: Record<string, unknown> = {};
  for (const size of [2, 4, 8]) {
    const mine: Record<string, number>[] = [];
    const theirs: Record<string, number>[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      mine.push(await ours(size));
      const gloo = torchPeer('collectives', String(size));
      if (gloo === undefined) result['gloo'] = TORCH_ABSENT;
      else theirs.push(gloo);
    }
    const least = (rounds: Record<string, number>[], name: string) =>
      Math.min(...rounds.flatMap((figures) => figures[name] ?? []));
    const names = Object.keys(mine[0]!).filter((name) => name.endsWith('Ms'));
    result[`world${size}`] = Object.fromEntries(
      names.map((name) => {
        const value = least(mine, name);
        const peer = least(theirs, name);
        if (!Number.isFinite(peer)) return [name, { ours: round(value) }];
        return [name, { ours: round(value), gloo: round(peer), timesFaster: round(peer / value) }];
      }),
    );
    if (size === 2) {
      // Every input is read once and every output written once: 2NS bytes.
      const copyGBps = Math.max(...mine.map((figures) => figures['copyGBps']!));
      const leastMs = (2 * size * SIZES['64MiB']!) / copyGBps / 1e6;
      result['copyGBps'] = round(copyGBps);
      result['allReduce64MiBOf2RanksShareOfCopyBandwidth'] = round(leastMs / least(mine, 'allReduce64MiBMs'));
    }
  }
  return result;
}
