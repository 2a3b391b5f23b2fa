/**
 * Where what ranks say goes: every print, display and question carries the number of the run that it came from, so that
 * a timer of an earlier cell speaks below that cell, also while another one runs.
 */
import type { World } from '../world/index.js';
import type { SessionComms } from './comms.js';
import type { OutputFold } from './fold.js';
import type { ProgressBars } from './progress-bars.js';
import type { RankEvent, RankRequest } from './rank/index.js';
import type { CellOutput, CommMessage, ExecuteOptions } from './types.js';

/** What one run of code says, and to whom. */
export interface Sink {
  seq: number;
  fold: OutputFold;
  bars: ProgressBars;
  onOutput: (output: CellOutput) => void;
  onInput: ExecuteOptions['onInput'];
  onComm: ((message: CommMessage) => void) | undefined;
  onObservation?: (rank: number, event: Extract<RankEvent, { type: 'observation' }>) => void;
}

/** Late output of so many runs finds its cell; of older ones it comes out below the last. */
const RUNS_KEPT = 128;

export class OutputRouter {
  readonly #sinks = new Map<number, Sink>();
  readonly #comms: SessionComms;
  readonly #answer: (world: World, rank: number, request: RankRequest) => Promise<unknown>;
  #last: Sink | undefined;

  constructor(
    comms: SessionComms,
    answer: (world: World, rank: number, request: RankRequest) => Promise<unknown>,
  ) {
    this.#comms = comms;
    this.#answer = answer;
  }

  /** The run that spoke or runs last. */
  get last(): Sink | undefined {
    return this.#last;
  }

  begin(sink: Sink): void {
    this.#sinks.set(sink.seq, sink);
    this.#last = sink;
    if (this.#sinks.size > RUNS_KEPT) this.#sinks.delete(this.#sinks.keys().next().value!);
  }

  clear(): void {
    this.#sinks.clear();
    this.#last = undefined;
  }

  route(world: World, rank: number, event: RankEvent): void {
    if (event.type === 'comm-target') {
      this.#comms.register(event.target, rank);
      return;
    }
    const sink = this.#sinks.get(event.seq) ?? this.#last;
    switch (event.type) {
      case 'comm':
        this.#comms.fromRank(rank, event.message, sink?.onComm);
        return;
      case 'input':
        void this.#ask(world, rank, event, sink);
        return;
      case 'observation':
        sink?.onObservation?.(rank, event);
        return;
      case 'progress':
        sink?.bars.add(rank, event);
        return;
      default: {
        const { seq: _seq, ...item } = event;
        sink?.fold.add(rank, item);
      }
    }
  }

  async #ask(
    world: World,
    rank: number,
    event: Extract<RankEvent, { type: 'input' }>,
    sink: Sink | undefined,
  ): Promise<void> {
    sink?.fold.flush();
    const { id, prompt, password } = event;
    const label = world.size > 1 ? `[rank ${rank}] ` : '';
    let value: string | undefined;
    try {
      value = await sink?.onInput?.({ prompt: `${label}${prompt}`, password });
    } catch {
      value = undefined;
    }
    await this.#answer(world, rank, { type: 'input', id, value });
  }
}
