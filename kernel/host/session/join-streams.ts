import type { CellOutput } from './types.js';

/** Longest text of one message, so that a front end gets progress in pieces it can draw. */
const TEXT_MAX = 1 << 16;

/** Joins stream outputs that follow each other within `delay` milliseconds: one message for a loop of prints. */
export class StreamJoiner {
  readonly #emit: (output: CellOutput) => void;
  readonly #delay: number;
  #name: 'stdout' | 'stderr' = 'stdout';
  #texts: string[] = [];
  #length = 0;
  #ranks = new Set<number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(emit: (output: CellOutput) => void, delay = 10) {
    this.#emit = emit;
    this.#delay = delay;
  }

  add(output: CellOutput): void {
    if (output.type !== 'stream') {
      this.flush();
      this.#emit(output);
      return;
    }
    if (output.name !== this.#name || this.#length > TEXT_MAX) this.flush();
    this.#name = output.name;
    this.#texts.push(output.text);
    this.#length += output.text.length;
    for (const rank of output.ranks) this.#ranks.add(rank);
    this.#timer ??= setTimeout(() => this.flush(), this.#delay);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#texts.length === 0) return;
    const output: CellOutput = {
      type: 'stream',
      name: this.#name,
      text: this.#texts.join(''),
      ranks: [...this.#ranks].sort((a, b) => a - b),
    };
    this.#texts = [];
    this.#length = 0;
    this.#ranks = new Set();
    this.#emit(output);
  }
}
