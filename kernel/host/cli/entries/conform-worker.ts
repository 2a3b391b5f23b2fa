/** A rank thread that runs conformance programs. */
import { attachRank } from '../../../runtime/index.js';
import { type ConformRankData, type RankJob, runAsRank } from '../../conform/index.js';
import { connectRank } from '../../world/index.js';

const link = connectRank();
attachRank((link.data as ConformRankData).memory, link.rank);
link.serve((body) => runAsRank(body as RankJob, link.rank, link.worldSize));
