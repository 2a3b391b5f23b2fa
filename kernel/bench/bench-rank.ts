/** A rank of the collectives benchmark: runs what it is asked and returns its median milliseconds. */
import { connectRank } from '../host/world/index.js';
import { attachRank, beginWork, dist, endWork, torch, type WorldMemory } from '../runtime/index.js';
import { timeMs } from './stats.js';

export type CollectiveWork = { op: 'barrier' } | { op: 'allReduce'; bytes: number };

const link = connectRank();
attachRank(link.data as WorldMemory, link.rank);

link.serve(async (body) => {
  const work = body as CollectiveWork;
  beginWork();
  try {
    if (work.op === 'barrier') return timeMs(() => dist.barrier(), 400, 50);
    const t = torch.ones([work.bytes / 4]);
    const runs = work.bytes < 1 << 20 ? 100 : 7;
    return timeMs(() => dist.allReduce(t), runs, 2);
  } finally {
    endWork();
  }
});
