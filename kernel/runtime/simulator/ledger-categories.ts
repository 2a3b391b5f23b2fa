/** What memory is called when several say what it is, and on which side of a rank it lies. */
import { claimOf, type MemoryCategory, storageOf, type Tensor } from '../tensor/index.js';
import type { CollectiveKind } from './algorithms.js';
import { collectiveKind, messageKind } from './calls.js';
import type { Place } from './ledger-book.js';

/** Who says what memory is: a claim or `track` over a gradient over a call's buffer over what autograd saves over what passes by. */
const WEIGHT: Readonly<Record<string, number>> = {
  Temp: 0,
  Activation: 1,
  'All Gather': 2,
  'Reduce Scatter': 2,
  'All Reduce': 2,
  'All To All': 2,
  Communication: 2,
  Gradient: 3,
  'Sharded Grad': 3,
  'Unsharded Grad': 3,
  'Offloaded Grad': 3,
};
const STRONGEST = 4;

/** Of the categories under which memory is held, the heaviest names it. */
export function weightOf(category: MemoryCategory): number {
  return WEIGHT[category] ?? STRONGEST;
}

/** Buffers of a call, from its start until it has been waited for. */
const BUFFERS: Partial<Record<CollectiveKind, MemoryCategory>> = {
  allGather: 'All Gather',
  reduceScatter: 'Reduce Scatter',
  allReduce: 'All Reduce',
  allToAll: 'All To All',
};

/** What the buffers of a call to `op` are counted as. */
export function bufferCategory(op: string): MemoryCategory {
  const kind = messageKind(op) === undefined ? collectiveKind(op) : undefined;
  return (kind && BUFFERS[kind]) ?? 'Communication';
}

/** A gradient is named after what its parameter was claimed as. */
export function gradCategory(leaf: Tensor): MemoryCategory {
  const claim = claimOf(storageOf(leaf))?.category;
  if (claim === 'Sharded Param') return 'Sharded Grad';
  if (claim === 'Offloaded Param') return 'Offloaded Grad';
  return claim === 'Unsharded Param' ? 'Unsharded Grad' : 'Gradient';
}

/** What offloading keeps on the host, and what is computed there in passing. */
export function placeOf(category: MemoryCategory, madeOnHost: boolean): Place {
  return category.startsWith('Offloaded ') || (madeOnHost && category === 'Temp') ? 'host' : 'device';
}
