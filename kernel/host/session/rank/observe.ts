/** What a front end's cluster panel shows of this rank: memory, calls and meshes of the cell that ran. Never fails a cell. */
import { CommRecorder, DeviceMesh, MemoryLedger } from '../../../runtime/index.js';
import type { MeshView, ObservedCall, RankObservation } from '../types.js';

/** Calls kept of one cell: a picture of more says nothing. */
const MOST_CALLS = 2000;
const MOST_MESHES = 12;

/** Memory is followed from the first watched cell on, calls from the beginning of each. */
export class RankObserver {
  readonly #ledger: MemoryLedger;
  readonly #recorder = new CommRecorder({ modules: false, limit: MOST_CALLS });
  #began = 0;

  constructor(rank: number) {
    this.#ledger = new MemoryLedger({ rank }).start();
  }

  begin(): void {
    this.#ledger.resetPeak();
    this.#began = performance.timeOrigin + performance.now();
    this.#recorder.start();
  }

  /** `scopes`: where the variables are. */
  end(scopes: readonly object[]): RankObservation {
    const ended = performance.timeOrigin + performance.now();
    this.#recorder.stop();
    const calls = this.#recorder.steps.map((step): ObservedCall => {
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
    const { peak } = this.#ledger;
    return {
      began: this.#began,
      took: ended - this.#began,
      calls,
      truncated: (this.#recorder.steps[0]?.index ?? 0) > 0,
      memory: {
        bytes: this.#ledger.total,
        categories: this.#ledger.categories,
        peak: { bytes: peak.bytes, at: peak.at, categories: peak.categories },
      },
      meshes: meshesIn(scopes),
    };
  }
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
