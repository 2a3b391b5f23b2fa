/** The embedded Jupyter server: REST, kernel WebSockets and the browser app, on 127.0.0.1. */
export type {
  CheckResult,
  CheckView,
  CurriculumView,
  ExerciseProvider,
  LayerView,
  LessonProvider,
  LessonView,
  RankView,
} from './kernel-port.js';
export type { LessonProgress, ProgressChange } from './progress.js';
export { startServer } from './server.js';
export { sessionKernelProvider } from './session-kernel.js';
