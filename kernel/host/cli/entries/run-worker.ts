/** A rank thread of `shardbook run`. */
import * as runtime from '../../../runtime/index.js';
import { runScriptRank } from '../../script/rank/index.js';
import { connectRank } from '../../world/index.js';

const link = connectRank();
runtime.attachRank(link.data as runtime.WorldMemory, link.rank);
const { beginWork, endWork, afterInterrupt } = runtime;
runScriptRank({ link, runtime, beginWork, endWork, afterInterrupt });
