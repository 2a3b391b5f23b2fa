/** The main thread's hand on the wait table: which ranks work, which will not come any more. It never blocks. */
import {
  Global,
  GROUPS_MAX,
  Kind,
  OUTBOX_SLOTS,
  Post,
  PostState,
  Row,
  Slot,
  State,
  type WorldMemory,
} from './layout.js';
import { Table } from './table.js';

/** What the main thread says of ranks, and may ask. */
export interface WorldMemorySupervisor {
  /** The rank has been given work. Said before the work is sent, so that no rank is thought absent that is only late. */
  started(rank: number): void;
  ended(rank: number): void;
  interrupted(rank: number): void;
  dead(rank: number, reason: string): void;
  restarted(rank: number): void;
  /** What the rank sleeps for, in words; undefined while it works. */
  waitsFor(rank: number): string | undefined;
}

/** The wait table of a world, seen from the main thread. */
export function superviseWorld(memory: WorldMemory): WorldMemorySupervisor {
  const table = new Table(memory);
  const storeLock = new Int32Array(memory.store, 0, 1);

  /** Whatever the rank was in the middle of is void: its groups start a new epoch, its messages are withdrawn. */
  function cutOff(rank: number, state: number, lastWords: string): void {
    table.setLastWords(rank, lastWords);
    table.set(rank, Row.generation, table.get(rank, Row.generation) + 1);
    for (let slot = 0; slot < OUTBOX_SLOTS; slot++) {
      Atomics.store(table.words, table.layout.post(rank, slot) + Post.state, PostState.free);
    }
    const made = Math.min(GROUPS_MAX, Atomics.load(table.words, Global.groupsMade));
    for (let group = 0; group < made; group++) {
      if (table.members(group).includes(rank))
        Atomics.add(table.words, table.layout.group(group) + Slot.epoch, 1);
    }
    Atomics.compareExchange(storeLock, 0, 1 + rank, 0);
    Atomics.compareExchange(table.words, Global.judge, 1 + rank, 0);
    table.set(rank, Row.verdict, 0);
    table.setState(rank, state);
    table.ringAll(rank);
  }

  return {
    started(rank) {
      if (table.get(rank, Row.state) !== State.idle) return;
      table.setLastWords(rank, '');
      table.setState(rank, State.running);
    },
    ended(rank) {
      if (table.get(rank, Row.state) !== State.running) return;
      table.setState(rank, State.idle);
      table.ringAll(rank);
    },
    interrupted: (rank) => cutOff(rank, State.idle, 'was interrupted'),
    dead: (rank, reason) => cutOff(rank, State.dead, `died: ${reason}`),
    restarted(rank) {
      cutOff(rank, State.idle, 'was restarted');
      // The fresh thread begins its segment of the arena anew.
      table.set(rank, Row.arenaNext, 0);
      for (let slot = 0; slot < OUTBOX_SLOTS; slot++) {
        Atomics.store(table.words, table.layout.post(rank, slot) + Post.buffer, 0);
      }
    },
    waitsFor(rank) {
      if (table.get(rank, Row.state) !== State.asleep) return undefined;
      const peer = table.get(rank, Row.peer);
      const who = peer < 0 ? 'any rank' : `rank ${peer}`;
      switch (table.get(rank, Row.kind)) {
        case Kind.collective:
          return `the other ranks in collective #${table.get(rank, Row.seq)}`;
        case Kind.send:
          return `${who} to receive`;
        case Kind.recv:
          return `${who} to send`;
        default:
          return 'the store';
      }
    },
  };
}
