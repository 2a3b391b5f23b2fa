/** A rank thread of a session: the executor over this thread's runtime, preload and transport. */
import * as preload from '../../../preload.js';
import * as runtime from '../../../runtime/index.js';
import type { SessionRankData } from '../../session/index.js';
import { inspectAsString, outputGate, runRank, setPlace } from '../../session/rank/index.js';
import { connectRank } from '../../world/index.js';

const link = connectRank();
const { cwd, memory, credit } = link.data as SessionRankData;
setPlace(link);
inspectAsString(runtime.Tensor);
runtime.attachRank(memory as runtime.WorldMemory, link.rank);
const { beginWork, endWork, afterInterrupt } = runtime;
const gate = outputGate(credit, link.rank);
runRank({ link, preload: { ...preload }, runtime, cwd, gate, beginWork, endWork, afterInterrupt });
