/** A rank of the collectives benchmark: runs what it is asked and returns its median milliseconds. */
import { connectRank } from '../host/world/index.js';
import {
  attachRank,
  beginWork,
  dist,
  endWork,
  initDeviceMesh,
  torch,
  type WorldMemory,
} from '../runtime/index.js';
import { measureDispatch } from './dtensor-work.js';
import { timeMs } from './stats.js';

export type CollectiveWork =
  | { op: 'barrier' }
  | { op: 'dtensor'; measures: boolean }
  | { op: 'allReduce'; bytes: number }
  /** Plain copies of that many bytes, on all ranks at once. */
  | { op: 'copy'; bytes: number };

const link = connectRank();
attachRank(link.data as WorldMemory, link.rank);

link.serve(async (body) => {
  const work = body as CollectiveWork;
  beginWork();
  try {
    if (work.op === 'dtensor') {
      if (work.measures) return measureDispatch();
      initDeviceMesh([2]);
      return {};
    }
    if (work.op === 'barrier') return timeMs(() => dist.barrier(), 400, 50);
    if (work.op === 'copy') {
      const [from, to] = [new Uint8Array(work.bytes).fill(1), new Uint8Array(work.bytes)];
      dist.barrier();
      return timeMs(() => to.set(from), 15, 3);
    }
    const t = torch.ones([work.bytes / 4]);
    const [runs, warmup] = work.bytes < 1 << 20 ? [200, 50] : [11, 5];
    return timeMs(() => dist.allReduce(t), runs, warmup);
  } finally {
    endWork();
  }
});
