/** What was seen of the cell that ran last, for a cluster panel. */
import type { RankFailure } from './rank/index.js';
import type { ClusterView, ObservedFailure, RankInfo, RankObservation } from './types.js';

interface Observed {
  name: string;
  seen: Map<number, RankObservation>;
  failures: ObservedFailure[];
  running: boolean;
}

export class ObservedCell {
  #cell: Observed | undefined;

  /** Returns what takes the observations of a cell while it runs. */
  begin(name: string): (rank: number, seen: RankObservation) => void {
    const live: Observed = { name, seen: new Map(), failures: [], running: true };
    this.#cell = live;
    return (rank, seen) => {
      if (live.running) live.seen.set(rank, seen);
    };
  }

  end(
    name: string,
    seen: Iterable<readonly [number, RankObservation]>,
    failures: readonly { rank: number; value: RankFailure }[],
  ): void {
    if (this.#cell) this.#cell.running = false;
    this.#cell = {
      name,
      seen: new Map(seen),
      failures: failures.map(({ rank, value }) => observedFailure(rank, value)),
      running: false,
    };
  }

  forget(): void {
    this.#cell = undefined;
  }

  view(infos: readonly RankInfo[]): Pick<ClusterView, 'cell' | 'running' | 'ranks' | 'failures'> {
    const last = this.#cell;
    const ranks = infos.map((info) => {
      const seen = last?.seen.get(info.rank);
      return { ...info, ...(seen === undefined ? {} : { seen }) };
    });
    return {
      ...(last === undefined ? {} : { cell: last.name }),
      ...(last?.running ? { running: true } : {}),
      ranks,
      failures: last?.failures ?? [],
    };
  }
}

function observedFailure(rank: number, { name, message, code, position }: RankFailure): ObservedFailure {
  return {
    rank,
    name,
    message,
    ...(code === undefined ? {} : { code }),
    ...(position === undefined ? {} : { position }),
  };
}
