/** What a front end's cluster panel shows of this rank: memory, calls and meshes of the cell that ran. Never fails a cell. */
import { addCommHook, CommRecorder, DeviceMesh, MemoryLedger } from '../../../runtime/index.js';
import type { MeshView, ObservedCall, RankObservation } from '../types.js';

/** Calls kept of one cell: a picture of more says nothing. */
const MOST_CALLS = 2000;
const MOST_MESHES = 12;
/** While a cell runs: how often it is said what was seen so far, and how many of its calls. */
const LIVE_EVERY_MS = 250;
const LIVE_CALLS = 100;

/** Memory is followed from the first watched cell on, calls from the beginning of each. */
export class RankObserver {
  readonly #ledger: MemoryLedger;
  readonly #recorder = new CommRecorder({ modules: false, limit: MOST_CALLS });
  #began = 0;
  #unhook: (() => void) | undefined;

  constructor(rank: number) {
    this.#ledger = new MemoryLedger({ rank }).start();
  }

  /** `live` is told now and then what was seen so far: at calls, since a rank that computes or waits says nothing. */
  begin(live: (seen: RankObservation) => void): void {
    this.#ledger.resetPeak();
    this.#began = now();
    this.#recorder.start();
    let last = this.#began;
    const tell = () => {
      const time = now();
      if (time - last < LIVE_EVERY_MS) return;
      last = time;
      live(this.#observation([], LIVE_CALLS));
    };
    this.#unhook?.();
    // After the recorder, so that the call which is about to wait is among those told of.
    this.#unhook = addCommHook({ before: tell, done: tell });
  }

  /** `scopes`: where the variables are. */
  end(scopes: readonly object[]): RankObservation {
    this.#unhook?.();
    this.#unhook = undefined;
    this.#recorder.stop();
    return this.#observation(scopes, MOST_CALLS);
  }

  #observation(scopes: readonly object[], most: number): RankObservation {
    const steps = this.#recorder.steps.slice(-most);
    const calls = steps.map((step): ObservedCall => {
      const { op, group, groupRanks, seq, tensors, bytes, async, peer, place, start, end, error } = step;
      return {
        op,
        group,
        groupRanks,
        seq,
        tensors,
        bytes,
        async,
        start,
        ...(end === undefined ? {} : { end }),
        ...(peer === undefined ? {} : { peer }),
        ...(place === undefined ? {} : { place }),
        ...(error === undefined ? {} : { error }),
      };
    });
    const { peak, host } = this.#ledger;
    return {
      began: this.#began,
      took: now() - this.#began,
      calls,
      truncated: (steps[0]?.index ?? 0) > 0,
      memory: {
        bytes: this.#ledger.total,
        categories: this.#ledger.categories,
        peak: { bytes: peak.bytes, at: peak.at, categories: peak.categories },
        ...(host.peak.bytes > 0
          ? {
              host: { bytes: host.bytes, peak: { bytes: host.peak.bytes, categories: host.peak.categories } },
            }
          : {}),
      },
      meshes: meshesIn(scopes),
    };
  }
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

function meshesIn(scopes: readonly object[]): MeshView[] {
  const found = new Map<string, MeshView>();
  for (const scope of scopes) {
    for (const name of Object.keys(scope)) {
      if (found.size >= MOST_MESHES) return [...found.values()];
      try {
        const value = (scope as Record<string, unknown>)[name];
        if (!(value instanceof DeviceMesh)) continue;
        const ranks = (value.mesh.tolist() as unknown[]).flat(Number.POSITIVE_INFINITY) as number[];
        found.set(name, { name, shape: value.shape, dimNames: value.meshDimNames, ranks });
      } catch {
        // A name that cannot be read, or a mesh that this rank is not in, is not shown.
      }
    }
  }
  return [...found.values()];
}
