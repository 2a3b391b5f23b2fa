/** The embedded Jupyter server: REST, kernel WebSockets and the browser app, on 127.0.0.1. */
export type {
  CheckResult,
  CheckView,
  CurriculumView,
  ExerciseProvider,
  KernelHandle,
  KernelProvider,
  KernelStartOptions,
  LayerView,
  LessonProvider,
  LessonView,
  RankView,
  WireMessage,
} from './kernel-port.js';
export type { LessonProgress, ProgressChange, ProgressView } from './progress.js';
export { DEFAULT_PORT, type RunningServer, type ServerOptions, startServer } from './server.js';
export { type SessionKernelParts, sessionKernelProvider } from './session-kernel.js';
