/** A rank thread of a session: the executor over this thread's runtime, preload and transport. */
import * as preload from '../../../preload.js';
import * as runtime from '../../../runtime/index.js';
import type { SessionRankData } from '../../session/index.js';
import { outputGate, runRank, setPlace } from '../../session/rank/index.js';
import { connectRank } from '../../world/index.js';

const link = connectRank();
const { cwd, memory, credit, cluster } = link.data as SessionRankData;
setPlace(link, cluster);
runtime.attachRank(memory as runtime.WorldMemory, link.rank);
const { beginWork, endWork, afterInterrupt } = runtime;
const gate = outputGate(credit, link.rank);
runRank({
  link,
  preload: { ...preload },
  runtime,
  cwd,
  gate,
  beginWork,
  endWork,
  afterInterrupt,
  instruments: {
    trace: () => {
      const recorder = new runtime.CommRecorder().start();
      return {
        stop: () => recorder.stop(),
        // All ranks have the same trace: one shows it.
        show: () => {
          if (!runtime.dist.isInitialized()) return recorder.trace();
          const trace = recorder.gather();
          return link.rank === 0 ? trace : undefined;
        },
      };
    },
    ledger: () => {
      const ledger = new runtime.MemoryLedger({ cluster: preload.cluster, rank: link.rank }).start();
      return { stop: () => ledger.stop(), show: () => ledger };
    },
  },
});
