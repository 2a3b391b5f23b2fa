/**
 * Messages between two ranks. The sender keeps a message in its own outbox until the receiver has taken it; matching is by group
 * and tag, in the order of the sends. Bytes go through the message's buffer in chunks, two halves in turn.
 */
import { ShardbookError } from '../../base/index.js';
import { OUTBOX_SLOTS, POST_TEXT_BYTES, Post, PostState, Row } from './layout.js';
import type { Steps } from './op.js';
import type { Table } from './table.js';

export interface MessageKey {
  group: number;
  tag: number;
  /** Hash of what both sides must agree on besides the size. */
  print: number;
  /** For error texts. */
  tensor: string;
  /** "recv(f32[3], src 0) of group world at cell 2, line 5". */
  describe: () => string;
}

/** What a receive looks for. */
interface Wanted {
  sources: readonly number[];
  key: MessageKey;
}

interface Found {
  source: number;
  post: number;
}

const CHUNK_MAX = 128 * 1024;

export class Outbox {
  readonly #chunkBytes: number;
  /** Slots that an operation of this rank holds. */
  readonly #held = new Set<number>();
  /** Receives of this rank that have no message yet, in the order in which they were started. */
  readonly #waiting = new Set<Wanted>();
  #order = 0;

  constructor(
    readonly table: Table,
    readonly rank: number,
  ) {
    // All slots together take a half of the segment at most.
    const fair = Math.floor(table.memory.segmentBytes / 4 / OUTBOX_SLOTS / 4096) * 4096;
    this.#chunkBytes = Math.min(CHUNK_MAX, table.memory.chunkBytes, fair);
  }

  /** Withdraws everything. */
  reset(): void {
    this.#held.clear();
    this.#waiting.clear();
    for (let slot = 0; slot < OUTBOX_SLOTS; slot++) {
      Atomics.store(this.table.words, this.table.layout.post(this.rank, slot) + Post.state, PostState.free);
    }
  }

  /** `data` must stay as it is until the operation is done. */
  *send(to: number, data: Uint8Array, key: MessageKey): Steps<void> {
    let slot = this.#freeSlot();
    while (slot < 0) {
      yield;
      slot = this.#freeSlot();
    }
    this.#held.add(slot);
    const { words } = this.table;
    const post = this.table.layout.post(this.rank, slot);
    try {
      if (Atomics.load(words, post + Post.buffer) === 0) {
        Atomics.store(
          words,
          post + Post.buffer,
          1 + this.table.allocate(this.rank, 2 * this.#chunkBytes) / 64,
        );
      }
      const buffer = (Atomics.load(words, post + Post.buffer) - 1) * 64;
      const chunks = this.#chunks(data.length);
      const fields: [number, number][] = [
        [Post.to, to],
        [Post.tag, key.tag],
        [Post.group, key.group],
        [Post.bytes, data.length],
        [Post.order, ++this.#order],
        [Post.print, key.print],
        [Post.written, 0],
        [Post.read, 0],
        [Post.generation, this.table.get(this.rank, Row.generation)],
      ];
      for (const [word, value] of fields) Atomics.store(words, post + word, value);
      this.#writeText(post + Post.sent, key.tensor);
      for (let chunk = 0; chunk < chunks; chunk++) {
        while (chunk - Atomics.load(words, post + Post.read) >= 2) {
          this.#checkRefused(post, to, key);
          yield;
        }
        const from = chunk * this.#chunkBytes;
        this.table.arena.set(
          data.subarray(from, from + this.#chunkBytes),
          buffer + (chunk & 1) * this.#chunkBytes,
        );
        Atomics.store(words, post + Post.written, chunk + 1);
        if (chunk === 0) Atomics.store(words, post + Post.state, PostState.posted);
        this.table.ring(to);
      }
      while (Atomics.load(words, post + Post.read) < chunks) {
        this.#checkRefused(post, to, key);
        yield;
      }
    } finally {
      Atomics.store(words, post + Post.state, PostState.free);
      this.#held.delete(slot);
    }
  }

  /** Receives from the first of `sources` that has a message; returns which. */
  *receive(sources: readonly number[], out: Uint8Array, key: MessageKey): Steps<number> {
    const { words } = this.table;
    const { source, post } = yield* this.#match({ sources, key });
    const bytes = Atomics.load(words, post + Post.bytes);
    if (bytes !== out.length || Atomics.load(words, post + Post.print) !== key.print) {
      const sent = this.#readText(post + Post.sent);
      this.#writeText(post + Post.wanted, key.tensor);
      Atomics.store(words, post + Post.state, PostState.refused);
      this.table.ring(source);
      throw mismatch(`receive from rank ${source}`, source, sent, this.rank, key.tensor, this.#note(key));
    }
    Atomics.store(words, post + Post.state, PostState.taken);
    const buffer = (Atomics.load(words, post + Post.buffer) - 1) * 64;
    const generation = Atomics.load(words, post + Post.generation);
    const chunks = this.#chunks(bytes);
    for (let chunk = 0; chunk < chunks; chunk++) {
      while (Atomics.load(words, post + Post.written) <= chunk) {
        if (
          this.table.get(source, Row.generation) !== generation ||
          Atomics.load(words, post + Post.state) !== PostState.taken
        ) {
          throw new ShardbookError({
            code: 'SB_PEER_FAILED',
            message: `Cannot receive from rank ${source}: it gave up in the middle of the message`,
          });
        }
        yield;
      }
      const from = chunk * this.#chunkBytes;
      const at = buffer + (chunk & 1) * this.#chunkBytes;
      out.set(this.table.arena.subarray(at, at + Math.min(this.#chunkBytes, bytes - from)), from);
      Atomics.store(words, post + Post.read, chunk + 1);
      this.table.ring(source);
    }
    return source;
  }

  #chunks(bytes: number): number {
    return Math.max(1, Math.ceil(bytes / this.#chunkBytes));
  }

  #freeSlot(): number {
    for (let slot = 0; slot < OUTBOX_SLOTS; slot++) if (!this.#held.has(slot)) return slot;
    return -1;
  }

  *#match(wanted: Wanted): Steps<Found> {
    this.#waiting.add(wanted);
    try {
      for (;;) {
        const found = this.#find(wanted);
        if (found !== undefined) return found;
        yield;
      }
    } finally {
      this.#waiting.delete(wanted);
    }
  }

  #find(wanted: Wanted): Found | undefined {
    for (const source of wanted.sources) {
      // What comes from there is for a receive that was started before, whoever looks first.
      if (this.#isClaimed(source, wanted)) continue;
      // Messages are posted in the order of the sends: what was before the one that is seen is seen when looked for once more.
      if (this.#first(source, wanted.key) < 0) continue;
      return { source, post: this.#first(source, wanted.key) };
    }
    return undefined;
  }

  #isClaimed(source: number, wanted: Wanted): boolean {
    const { group, tag } = wanted.key;
    for (const other of this.#waiting) {
      if (other === wanted) return false;
      if (other.key.group === group && other.key.tag === tag && other.sources.includes(source)) return true;
    }
    return false;
  }

  /** The oldest message that is seen from there, or -1. */
  #first(source: number, key: MessageKey): number {
    const { words, layout } = this.table;
    let best = -1;
    let bestOrder = 0;
    for (let slot = 0; slot < OUTBOX_SLOTS; slot++) {
      const post = layout.post(source, slot);
      if (Atomics.load(words, post + Post.state) !== PostState.posted) continue;
      if (Atomics.load(words, post + Post.to) !== this.rank) continue;
      if (
        Atomics.load(words, post + Post.tag) !== key.tag ||
        Atomics.load(words, post + Post.group) !== key.group
      )
        continue;
      const order = Atomics.load(words, post + Post.order);
      if (best < 0 || order < bestOrder) {
        best = post;
        bestOrder = order;
      }
    }
    return best;
  }

  #checkRefused(post: number, to: number, key: MessageKey): void {
    if (Atomics.load(this.table.words, post + Post.state) !== PostState.refused) return;
    const wanted = this.#readText(post + Post.wanted);
    throw mismatch(`send to rank ${to}`, this.rank, key.tensor, to, wanted, this.#note(key));
  }

  #note(key: MessageKey): string {
    return `rank ${this.rank}: ${key.describe()}`;
  }

  /** Tensors are written in ASCII. */
  #writeText(word: number, text: string): void {
    const bytes = new Uint8Array(this.table.words.buffer, word * 4, POST_TEXT_BYTES).fill(0);
    for (let i = 0; i < Math.min(text.length, POST_TEXT_BYTES); i++) bytes[i] = text.charCodeAt(i);
  }

  #readText(word: number): string {
    const bytes = new Uint8Array(this.table.words.buffer, word * 4, POST_TEXT_BYTES);
    const end = bytes.indexOf(0);
    return String.fromCharCode(...bytes.subarray(0, end < 0 ? POST_TEXT_BYTES : end));
  }
}

function mismatch(
  action: string,
  from: number,
  sent: string,
  to: number,
  wanted: string,
  note: string,
): ShardbookError {
  return new ShardbookError({
    code: 'SB_COLLECTIVE_MISMATCH',
    message: `Cannot ${action}: rank ${from} sends ${sent}, rank ${to} receives ${wanted}`,
    notes: [note],
    help: 'give send and recv tensors of the same size and dtype',
  });
}
