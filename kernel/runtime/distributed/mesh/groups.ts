/** The process groups of a mesh axis. */
import { dist, type Group, ProcessGroup } from '../group/index.js';
import { type AxisLayout, blocks, sizeOf } from './layout.js';

/**
 * Makes the groups of one axis, on all ranks of the world in the same order, and returns this rank's. An axis that holds the
 * whole world uses the default group, so that nothing is made twice.
 */
export function makeAxisGroup(axis: AxisLayout, rankMap: readonly number[], name: string): Group | null {
  if (sizeOf(axis) === dist.getWorldSize()) return dist.group.WORLD;
  let own: Group | null = null;
  for (const block of blocks(axis, rankMap.length)) {
    const ranks = block.map((at) => rankMap[at]!);
    const group = dist.newGroup(ranks, {
      groupDesc: `mesh axis ${name} (ranks ${[...ranks].sort((a, b) => a - b).join(', ')})`,
    });
    if (group instanceof ProcessGroup) own = group;
  }
  return own;
}
