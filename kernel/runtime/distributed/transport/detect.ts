/**
 * Deadlock from the wait table.
 *
 * A rank *can move* if it runs, or if what it waits for will come from ranks that can move: all missing members of its
 * collective, its peer, or for a receive from any source one of the members. The least set closed under this rule is
 * everybody who can move; sleepers outside it are stuck for good. The table is read twice: if no version changed between, all
 * of it was true at one moment, and being stuck is stable.
 */
import { Cell, Kind, Row, State } from './layout.js';
import type { Table } from './table.js';

export interface Stuck {
  stuck: number[];
  /** Ranks that are not stuck themselves but will not come: idle or dead. */
  absent: number[];
}

interface Seen {
  state: number;
  version: number;
  awake: boolean;
  /** Ranks that it waits for. */
  needs: number[];
  any: boolean;
}

/** The members who have not passed `barrier` of the group in the epoch of `rank`. */
export function missingMembers(
  table: Table,
  group: number,
  barrier: number,
  rank: number,
  members: readonly number[],
): number[] {
  const { words, layout } = table;
  const epoch = Atomics.load(words, layout.cell(group, rank) + Cell.epoch);
  return members.filter((member) => {
    const cell = layout.cell(group, member);
    return (
      Atomics.load(words, cell + Cell.epoch) !== epoch || Atomics.load(words, cell + Cell.arrived) < barrier
    );
  });
}

/** Who is stuck now, `me` among them; undefined if `me` can still hope. */
export function findStuck(table: Table, me: number): Stuck | undefined {
  const seen = Array.from({ length: table.worldSize }, (_, rank) => look(table, rank));
  const moves = seen.map((row) => row.awake);
  for (let changed = true; changed; ) {
    changed = false;
    seen.forEach((row, rank) => {
      if (moves[rank] || row.state !== State.asleep) return;
      const hope = row.any ? row.needs.some((need) => moves[need]) : row.needs.every((need) => moves[need]);
      if (hope) {
        moves[rank] = true;
        changed = true;
      }
    });
  }
  if (moves[me]) return undefined;
  const stuck = seen.flatMap((row, rank) => (row.state === State.asleep && !moves[rank] ? [rank] : []));
  const absent = new Set<number>();
  for (const rank of stuck) {
    for (const need of seen[rank]!.needs)
      if (seen[need]!.state === State.idle || seen[need]!.state === State.dead) absent.add(need);
  }
  const unchanged = [...stuck, ...absent].every((rank) => {
    const again = look(table, rank);
    return again.version === seen[rank]!.version && again.awake === seen[rank]!.awake;
  });
  return unchanged ? { stuck, absent: [...absent].sort((a, b) => a - b) } : undefined;
}

function look(table: Table, rank: number): Seen {
  const version = table.get(rank, Row.version);
  const state = table.get(rank, Row.state);
  const rung = state === State.asleep && table.get(rank, Row.bell) !== table.get(rank, Row.bellAsleep);
  const awake = state === State.running || rung;
  const { needs, any } = state === State.asleep ? wants(table, rank) : { needs: [], any: false };
  return { state, version, awake, needs, any };
}

function wants(table: Table, rank: number): { needs: number[]; any: boolean } {
  const kind = table.get(rank, Row.kind);
  const group = table.get(rank, Row.group);
  if (kind === Kind.recv || kind === Kind.send) return { needs: [table.get(rank, Row.peer)], any: false };
  if (kind === Kind.store) {
    // Any other rank could set the key.
    return {
      needs: Array.from({ length: table.worldSize }, (_, r) => r).filter((r) => r !== rank),
      any: true,
    };
  }
  const members = table.members(group);
  if (kind === Kind.recvAny) return { needs: members.filter((member) => member !== rank), any: true };
  return { needs: missingMembers(table, group, table.get(rank, Row.barrier), rank, members), any: false };
}
