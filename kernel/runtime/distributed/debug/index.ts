/** Subscribers of communication: recorder, trace and replay, counts, flight recorder. */
export { CommDebugMode, type CountedCall } from './comm-debug-mode.js';
export {
  analyzeFlight,
  type FlightDump,
  type FlightEntry,
  type FlightFinding,
  FlightRecorder,
  type FlightRecorderOptions,
} from './flight-recorder.js';
export { ModuleTracker } from './module-tracker.js';
export { CommRecorder, type RecorderOptions } from './recorder.js';
export { type RankReplay, type ReplayedCall, type ReplayedStep, replayCall, replayRank } from './replay.js';
export type { CommStep, RecordedValue } from './step.js';
export { CommTrace, TracedCall, type WireOptions } from './trace.js';
