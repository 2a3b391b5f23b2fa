/** Types for `solutions/ID/checks.ts`: `import type { CheckKit, CheckTable } from 'shardbook/grader'`. There is nothing to run here. */
export type { Check, CheckContext, CheckTable } from './checks/check.js';
export type {
  Case,
  CaseRun,
  CheckKit,
  Expectation,
  Feedback,
  HostTensor,
  HostValue,
  Mismatch,
  RankResult,
  Schedule,
  Setting,
  Tolerance,
  WireDType,
} from './checks/kit.js';
export type { CollectiveRecord, Transfer } from './exchange.js';
