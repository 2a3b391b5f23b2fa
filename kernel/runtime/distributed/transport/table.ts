/** Reading and writing the wait table: typed access to the shared words, the bells, and the texts of the ranks. */

import { ShardbookError } from '../../base/index.js';
import {
  ARENA_START,
  Global,
  GROUPS_MAX,
  Layout,
  RANK_TEXT_BYTES,
  Row,
  readMask,
  Slot,
  State,
  TEXT_BYTES,
  type WorldMemory,
} from './layout.js';

export class Table {
  readonly layout: Layout;
  readonly words: Int32Array;
  readonly arena: Uint8Array;
  readonly worldSize: number;
  readonly #text: Uint8Array;

  constructor(readonly memory: WorldMemory) {
    this.worldSize = memory.worldSize;
    this.layout = new Layout(memory.worldSize);
    this.words = new Int32Array(memory.words);
    this.arena = new Uint8Array(memory.arena.buffer);
    this.#text = new Uint8Array(memory.text);
  }

  get(rank: number, word: number): number {
    return Atomics.load(this.words, this.layout.row(rank) + word);
  }

  set(rank: number, word: number, value: number): void {
    Atomics.store(this.words, this.layout.row(rank) + word, value);
  }

  setState(rank: number, state: number): void {
    const row = this.layout.row(rank);
    Atomics.store(this.words, row + Row.state, state);
    Atomics.add(this.words, row + Row.version, 1);
  }

  /** Makes a rank look again. The order matters: the sleeper says that it sleeps, then compares the bell. */
  ring(rank: number): void {
    const row = this.layout.row(rank);
    Atomics.add(this.words, row + Row.bell, 1);
    if (Atomics.load(this.words, row + Row.state) === State.asleep)
      Atomics.notify(this.words, row + Row.bell);
  }

  ringAll(except = -1): void {
    for (let rank = 0; rank < this.worldSize; rank++) if (rank !== except) this.ring(rank);
  }

  members(group: number): number[] {
    return readMask(this.words, this.layout.group(group) + Slot.membersLow);
  }

  groupEpoch(group: number): number {
    return Atomics.load(this.words, this.layout.group(group) + Slot.epoch);
  }

  /** Takes `bytes` from the rank's segment of the arena, for good. Returns the offset. */
  allocate(rank: number, bytes: number): number {
    const { segmentBytes } = this.memory;
    const units = Math.ceil(bytes / 64);
    const used = this.get(rank, Row.arenaNext);
    if ((used + units) * 64 > segmentBytes) {
      throw new ShardbookError({
        code: 'SB_STAGING_FULL',
        message: `Cannot give rank ${rank} room for another transfer: all ${segmentBytes >> 20} MiB of it are taken`,
        help: 'use fewer groups and messages at once (destroyProcessGroup gives room back), or restart the world',
      });
    }
    this.set(rank, Row.arenaNext, used + units);
    return ARENA_START + rank * segmentBytes + used * 64;
  }

  /** A group that nobody is in any more gives its id, and counts from zero when it is given again. */
  freeGroup(group: number): void {
    const slot = this.layout.group(group);
    for (let word = Slot.words; word < this.layout.groupWords; word++)
      Atomics.store(this.words, slot + word, 0);
    for (const word of [Slot.epoch, Slot.membersLow, Slot.membersHigh, Slot.left]) {
      Atomics.store(this.words, slot + word, 0);
    }
    Atomics.add(this.words, slot + Slot.generation, 1);
    Atomics.store(this.words, slot + Slot.free, 1);
    Atomics.add(this.words, Global.groupsFree, 1);
  }

  /** The id of a group that was freed, or a new one. */
  takeGroup(): number {
    if (Atomics.load(this.words, Global.groupsFree) > 0) {
      const made = Math.min(GROUPS_MAX, Atomics.load(this.words, Global.groupsMade));
      for (let group = 1; group < made; group++) {
        if (Atomics.compareExchange(this.words, this.layout.group(group) + Slot.free, 1, 0) === 1) {
          Atomics.sub(this.words, Global.groupsFree, 1);
          return group;
        }
      }
    }
    return Atomics.add(this.words, Global.groupsMade, 1);
  }

  setDescription(rank: number, text: string): void {
    this.#write(rank, 0, Row.descriptionBytes, text);
  }

  description(rank: number): string {
    return this.#read(rank, 0, Row.descriptionBytes);
  }

  /** Why the rank will not come: the error that ended its work, or how it died. */
  setLastWords(rank: number, text: string): void {
    this.#write(rank, 1, Row.lastWordsBytes, text);
  }

  lastWords(rank: number): string {
    return this.#read(rank, 1, Row.lastWordsBytes);
  }

  setReport(rank: number, text: string): void {
    this.#write(rank, 2, Row.reportBytes, text);
  }

  report(rank: number): string {
    return this.#read(rank, 2, Row.reportBytes);
  }

  #write(rank: number, which: 0 | 1 | 2, word: number, text: string): void {
    const bytes = new TextEncoder().encode(text).subarray(0, TEXT_BYTES[which]);
    this.#text.set(bytes, textAt(rank, which));
    this.set(rank, word, bytes.length);
  }

  #read(rank: number, which: 0 | 1 | 2, word: number): string {
    const at = textAt(rank, which);
    return new TextDecoder().decode(this.#text.slice(at, at + this.get(rank, word)));
  }
}

function textAt(rank: number, which: 0 | 1 | 2): number {
  const before = which === 0 ? 0 : which === 1 ? TEXT_BYTES[0] : TEXT_BYTES[0] + TEXT_BYTES[1];
  return rank * RANK_TEXT_BYTES + before;
}
