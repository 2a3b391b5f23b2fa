/** Tables of ranks as users write them. */
import { Tensor } from '../../tensor/index.js';
import { meshError } from './errors.js';

/** Ranks in nested lists, one level for each axis. */
export type RankTable = readonly (number | RankTable)[];

export interface ReadTable {
  shape: number[];
  /** Row by row. */
  ranks: number[];
}

export function readTable(given: RankTable | Tensor): ReadTable {
  const nested = given instanceof Tensor ? (given.tolist() as RankTable) : given;
  const shape: number[] = [];
  for (let at: unknown = nested; Array.isArray(at); at = at[0]) shape.push(at.length);
  const ranks: number[] = [];
  collect(nested, shape, 0, ranks);
  const twice = ranks.find((rank, i) => ranks.indexOf(rank) !== i);
  if (twice !== undefined)
    throw meshError('SB_MESH_TABLE', `Cannot make a mesh: rank ${twice} is in its table twice`);
  if (ranks.length === 0) throw meshError('SB_MESH_TABLE', 'Cannot make a mesh: its table of ranks is empty');
  return { shape, ranks };
}

function collect(at: unknown, shape: readonly number[], depth: number, out: number[]): void {
  if (depth === shape.length) {
    const rank = typeof at === 'bigint' ? Number(at) : at;
    if (typeof rank !== 'number' || !Number.isInteger(rank)) {
      throw meshError('SB_MESH_TABLE', `Cannot make a mesh: its table holds ${String(at)}, wanted ranks`);
    }
    out.push(rank);
    return;
  }
  if (!Array.isArray(at) || at.length !== shape[depth]) {
    throw meshError('SB_MESH_TABLE', 'Cannot make a mesh: the rows of its table differ in length');
  }
  for (const entry of at) collect(entry, shape, depth + 1, out);
}
