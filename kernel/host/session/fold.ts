/**
 * Folds what N ranks put out into what one reader wants to see: what all ranks say is said once, what some say is said
 * once with their numbers. Ranks are compared item by item (the first print of one with the first of the others), so
 * an item waits for the slower ranks, but never longer than `patience`: progress is live.
 */
import { isDeepStrictEqual } from 'node:util';
import type { RankDisplay } from './rank/index.js';
import type { CellOutput } from './types.js';

export type FoldItem =
  | { type: 'stream'; name: 'stdout' | 'stderr'; text: string }
  | { type: 'display'; display: RankDisplay; displayId?: string }
  | { type: 'update'; display: RankDisplay; displayId: string }
  | { type: 'clear'; wait: boolean };

export interface FoldOptions {
  worldSize: number;
  /** Ranks that run the cell. */
  ranks: readonly number[];
  emit: (output: CellOutput) => void;
  /** How long an item waits for the other ranks, in milliseconds; default 300, which a busy machine needs. */
  patience?: number;
}

export class OutputFold {
  readonly #options: FoldOptions;
  readonly #queues = new Map<number, FoldItem[]>();
  /** Items that each rank has had shown. */
  readonly #shown = new Map<number, number>();
  readonly #running: Set<number>;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FoldOptions) {
    this.#options = options;
    this.#running = new Set(options.ranks);
    for (const rank of options.ranks) {
      this.#queues.set(rank, []);
      this.#shown.set(rank, 0);
    }
  }

  add(rank: number, item: FoldItem): void {
    const queue = this.#queues.get(rank);
    if (!queue) return;
    queue.push(item);
    this.#advance();
    if (this.#hasItems()) this.#timer ??= setTimeout(() => this.flush(), this.#options.patience ?? 300);
  }

  /** The rank will say nothing more in this cell (what it says later is shown at once). */
  finished(rank: number): void {
    this.#running.delete(rank);
    this.#advance();
  }

  /** Shows everything that waits. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#hasItems())
      this.#show(
        this.#earliest([...this.#queues.keys()].filter((rank) => this.#queues.get(rank)!.length > 0)),
      );
  }

  /** Shows items as far as no running rank could still join them. */
  #advance(): void {
    while (this.#hasItems()) {
      const candidates = [...this.#queues.keys()].filter(
        (rank) => this.#queues.get(rank)!.length > 0 || this.#running.has(rank),
      );
      const ranks = this.#earliest(candidates);
      if (ranks.some((rank) => this.#queues.get(rank)!.length === 0)) return;
      this.#show(ranks);
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #hasItems(): boolean {
    for (const queue of this.#queues.values()) if (queue.length > 0) return true;
    return false;
  }

  #earliest(ranks: readonly number[]): number[] {
    const first = Math.min(...ranks.map((rank) => this.#shown.get(rank)!));
    return ranks.filter((rank) => this.#shown.get(rank) === first);
  }

  #show(ranks: readonly number[]): void {
    const items = ranks.map((rank) => {
      this.#shown.set(rank, this.#shown.get(rank)! + 1);
      return { rank, value: this.#queues.get(rank)!.shift()! };
    });
    const groups = groupEqual(items);
    const together = joinTexts(groups, this.#options.worldSize);
    if (together)
      this.#emit(
        [...ranks].sort((a, b) => a - b),
        together,
        '',
      );
    else for (const { ranks: group, value } of groups) this.#emit(group, value);
  }

  #emit(
    ranks: readonly number[],
    item: FoldItem,
    label = ranks.length === this.#options.worldSize ? '' : rankLabel(ranks),
  ): void {
    const { emit } = this.#options;
    switch (item.type) {
      case 'stream':
        emit({
          type: 'stream',
          name: item.name,
          text: label === '' ? item.text : labelled(label, item.text),
          ranks,
        });
        return;
      case 'clear':
        emit({ type: 'clear_output', wait: item.wait, ranks });
        return;
      case 'update': {
        const { data, metadata } = labelledDisplay(label, item.display);
        emit({ type: 'update_display_data', data, metadata, displayId: item.displayId, ranks });
        return;
      }
      case 'display': {
        if (label !== '' && isRich(item.display))
          emit({ type: 'stream', name: 'stdout', text: `${label}\n`, ranks });
        const { data, metadata } = labelledDisplay(label, item.display);
        const id = item.displayId === undefined ? {} : { displayId: item.displayId };
        emit({ type: 'display_data', data, metadata, ...id, ranks });
        return;
      }
    }
  }
}

/** Displays of one output that differ by rank but are text: one display holds them all, so that it can be updated as one. */
function joinTexts(
  groups: readonly { ranks: number[]; value: FoldItem }[],
  worldSize: number,
): FoldItem | undefined {
  const first = groups[0]!.value;
  if (groups.length === 1 || (first.type !== 'display' && first.type !== 'update')) return undefined;
  const results: { rank: number; value: RankDisplay }[] = [];
  for (const { ranks, value } of groups) {
    if (value.type !== first.type || value.displayId !== first.displayId || isRich(value.display))
      return undefined;
    for (const rank of ranks) results.push({ rank, value: value.display });
  }
  const { data, metadata } = foldResults(results, worldSize)[0]!;
  return { ...first, display: { data, metadata } };
}

/** `[rank 0,2]`. */
export function rankLabel(ranks: readonly number[]): string {
  return `[rank ${ranks.join(',')}]`;
}

/** The label before the first line, the others indented as far, so that columns stay aligned. */
function labelled(label: string, text: string): string {
  const indent = ' '.repeat(label.length + 1);
  return `${label} ${text.replace(/\n(?=.)/g, `\n${indent}`)}`;
}

function isRich(display: RankDisplay): boolean {
  return Object.keys(display.data).some((type) => type !== 'text/plain');
}

function labelledDisplay(label: string, { data, metadata }: RankDisplay): RankDisplay {
  if (label === '') return { data, metadata };
  const plain = data['text/plain'];
  return {
    data: typeof plain === 'string' ? { ...data, 'text/plain': labelled(label, plain) } : data,
    metadata: { ...metadata, shardbook: { label } },
  };
}

/** Groups ranks with equal values, in the order of their lowest rank. */
export function groupEqual<T>(items: readonly { rank: number; value: T }[]): { ranks: number[]; value: T }[] {
  const groups: { ranks: number[]; value: T }[] = [];
  for (const { rank, value } of items) {
    const group = groups.find((candidate) => isDeepStrictEqual(candidate.value, value));
    if (group) group.ranks.push(rank);
    else groups.push({ ranks: [rank], value });
  }
  return groups;
}

/** The value of a cell's last expression, from all ranks; a display when no single text can hold it. */
export function foldResults(
  results: readonly { rank: number; value: RankDisplay }[],
  worldSize: number,
): FoldedResult[] {
  const groups = groupEqual(results);
  const only = groups[0];
  if (only && groups.length === 1 && only.ranks.length === worldSize)
    return [{ kind: 'result', ...only.value, ranks: only.ranks }];
  if (groups.every(({ value }) => !isRich(value))) {
    const text = groups
      .map(({ ranks, value }) => labelled(rankLabel(ranks), String(value.data['text/plain'])))
      .join('\n');
    const ranks = groups.flatMap((group) => group.ranks).sort((a, b) => a - b);
    return groups.length === 0 ? [] : [{ kind: 'result', data: { 'text/plain': text }, metadata: {}, ranks }];
  }
  return groups.map(({ ranks, value }) => ({
    kind: 'display',
    ...labelledDisplay(rankLabel(ranks), value),
    label: rankLabel(ranks),
    ranks,
  }));
}

export type FoldedResult = {
  data: RankDisplay['data'];
  metadata: Record<string, unknown>;
  ranks: number[];
} & ({ kind: 'result' } | { kind: 'display'; label: string });
