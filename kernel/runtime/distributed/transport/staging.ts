/**
 * One rank's staging areas. A group keeps its small area; a large one goes from group to group. An area is given away only when
 * all members of the group that used it last have finished that call (or are past its epoch): nobody reads it any more.
 */
import { Cell, Row, Slot, SMALL_BYTES, State } from './layout.js';
import type { Table } from './table.js';

/** A chunk, and beside it the slice of a reduced one: a half of it at most, since alone nobody reduces. */
export function largeHalfBytes(chunkBytes: number): number {
  return chunkBytes + chunkBytes / 2;
}

export interface Area {
  readonly at: number;
  readonly size: AreaSize;
  user: AreaUser | undefined;
  /** Whether a call uses it now. */
  busy: boolean;
  /** The use that must be over before another group gets it. */
  last:
    | { group: number; generation: number; epoch: number; barrier: number; ranks: readonly number[] }
    | undefined;
}

export type AreaSize = 'small' | 'large';

export interface AreaUser {
  readonly id: number;
  readonly epoch: number;
  readonly ranks: readonly number[];
}

export class StagingPool {
  readonly #areas: Record<AreaSize, Area[]> = { small: [], large: [] };
  #scratch: Uint8Array | undefined;

  constructor(
    private readonly table: Table,
    readonly rank: number,
  ) {}

  /** An area for a call; `held`: the one that the group had last, which the call before it may still be read in. */
  lease(user: AreaUser, size: AreaSize, held: Area | undefined): Area {
    let area = held?.user === user ? held : undefined;
    area ??= this.#areas[size].find((a) => this.#isFree(a));
    if (area === undefined) {
      const at = this.table.allocate(this.rank, this.#bytes(size));
      area = { at, size, user, busy: true, last: undefined };
      this.#areas[size].push(area);
    }
    area.user = user;
    area.busy = true;
    return area;
  }

  /** The call that used the area is over on this rank. */
  settle(area: Area, barrier: number): void {
    area.busy = false;
    const { user } = area;
    if (user === undefined) return;
    const generation = this.#generation(user.id);
    area.last = { group: user.id, generation, epoch: user.epoch, barrier, ranks: user.ranks };
  }

  /** The group does not want the area any more. */
  release(area: Area, user: AreaUser, barrier: number): void {
    if (area.user !== user) return;
    this.settle(area, barrier);
    area.user = undefined;
  }

  scratch(): Uint8Array {
    this.#scratch ??= new Uint8Array(
      this.table.arena.buffer,
      this.table.allocate(this.rank, SMALL_BYTES),
      SMALL_BYTES,
    );
    return this.#scratch;
  }

  #bytes(size: AreaSize): number {
    return size === 'small' ? 2 * SMALL_BYTES : 2 * largeHalfBytes(this.table.memory.chunkBytes);
  }

  #isFree(area: Area): boolean {
    if (area.busy || (area.size === 'small' && area.user !== undefined)) return false;
    if (area.last === undefined) return true;
    const { group, generation, epoch, barrier, ranks } = area.last;
    if (this.#generation(group) !== generation) return true;
    const { words, layout } = this.table;
    return ranks.every((rank) => {
      if (rank === this.rank) return true;
      const cell = layout.cell(group, rank);
      const now = Atomics.load(words, cell + Cell.epoch);
      if (now > epoch || (now === epoch && Atomics.load(words, cell + Cell.finished) >= barrier)) return true;
      const state = this.table.get(rank, Row.state);
      return state === State.idle || state === State.dead;
    });
  }

  #generation(group: number): number {
    return Atomics.load(this.table.words, this.table.layout.group(group) + Slot.generation);
  }
}
