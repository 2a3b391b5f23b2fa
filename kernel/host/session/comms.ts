/**
 * Comms, the side channel between widgets of a front end and code on ranks. A target belongs to the ranks that registered
 * it (rank 0 unless the cell says otherwise): what a front end sends goes to all of them, what they send goes out as it is.
 */
import type { CommMessage } from './types.js';

interface OpenComm {
  target: string;
  ranks: Set<number>;
}

export class SessionComms {
  readonly #targets = new Map<string, Set<number>>();
  readonly #open = new Map<string, OpenComm>();
  readonly #broadcast: (message: CommMessage) => void;

  /** `broadcast` takes what belongs to no run: comms that end because their rank did. */
  constructor(broadcast: (message: CommMessage) => void) {
    this.#broadcast = broadcast;
  }

  /** Open comms and their targets. */
  list(): Map<string, string> {
    return new Map([...this.#open].map(([id, { target }]) => [id, target]));
  }

  register(target: string, rank: number): void {
    const ranks = this.#targets.get(target) ?? new Set();
    this.#targets.set(target, ranks.add(rank));
  }

  /** What a rank says on a comm; `say` is the front end of the run that it belongs to. */
  fromRank(rank: number, message: CommMessage, say: ((message: CommMessage) => void) | undefined): void {
    const { type, id } = message;
    if (type === 'open') this.#open.set(id, { target: message.target ?? '', ranks: new Set([rank]) });
    // A comm that is closed stays closed, whatever a late timer says.
    else if (!this.#open.has(id)) return;
    if (type === 'close') this.#open.delete(id);
    (say ?? this.#broadcast)(message);
  }

  /** The ranks that a front end's message is for; undefined when nobody is there for it. */
  fromFrontEnd({ type, id, target }: CommMessage): number[] | undefined {
    if (type === 'open') {
      const ranks = this.#targets.get(target ?? '');
      if (ranks === undefined || ranks.size === 0 || this.#open.has(id)) return undefined;
      this.#open.set(id, { target: target ?? '', ranks: new Set(ranks) });
      return [...ranks].sort((a, b) => a - b);
    }
    const comm = this.#open.get(id);
    if (comm === undefined) return undefined;
    if (type === 'close') this.#open.delete(id);
    return [...comm.ranks].sort((a, b) => a - b);
  }

  /** The rank has no variables any more, so none of its targets and comms. */
  dropRank(rank: number): void {
    for (const [target, ranks] of this.#targets)
      if (ranks.delete(rank) && ranks.size === 0) this.#targets.delete(target);
    for (const [id, { ranks }] of this.#open) {
      if (!ranks.delete(rank) || ranks.size > 0) continue;
      this.#open.delete(id);
      this.#broadcast({ type: 'close', id, data: {}, metadata: {}, buffers: [] });
    }
  }

  dropAll(): void {
    this.#targets.clear();
    const ids = [...this.#open.keys()];
    this.#open.clear();
    for (const id of ids) this.#broadcast({ type: 'close', id, data: {}, metadata: {}, buffers: [] });
  }
}
