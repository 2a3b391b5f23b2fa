import { Cluster, type ClusterOptions } from '../../../runtime/index.js';

/** This thread's number, from 0. */
export let rank = 0;
/** How many ranks run every cell. */
export let worldSize = 1;
/** The machine that `%world N --nodes M --device NAME --link NAME` names: virtual times are of it. Default: one node of H100s. */
export let cluster: Cluster = Cluster.of({ ranksPerNode: 1 });

/** Says which rank of which machine this thread is; before any cell runs. */
export function setPlace(place: { rank: number; worldSize: number }, machine?: ClusterOptions): void {
  rank = place.rank;
  worldSize = place.worldSize;
  cluster = Cluster.of({ ranksPerNode: worldSize, ...machine });
}
