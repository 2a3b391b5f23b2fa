/** The judge: runs a submission in processes of its own and decides outside of them. */
export {
  namedMutants,
  newExercise,
  type SelfCheckOptions,
  type SelfCheckResult,
  selfCheck,
} from './author/index.js';
export {
  type BatchProgress,
  BullmqExecutor,
  type Change,
  type Executor,
  findJobs,
  gradebook,
  type Job,
  mergeResults,
  PoolExecutor,
  Results,
  runBatch,
  shardOf,
  startWorker,
} from './batch/index.js';
export { type CheckKit, type CheckTable, checksOf, solutionsOf, specHash } from './checks/index.js';
export {
  type CheckSpec,
  EXERCISE_FILE,
  type Exercise,
  type Limits,
  listExercises,
  loadExercise,
} from './exercise.js';
export { type GradeOptions, gradeSubmission } from './grade.js';
export {
  type CheckWorkOptions,
  checkWork,
  nextHint,
  solutionText,
  startExercise,
  type Work,
} from './learner.js';
export { type CheckReport, exitCode, REPORT_FORMAT, type Report } from './report.js';
export {
  codeQualityReport,
  ctrfReport,
  formatReport,
  githubAnnotations,
  gradescopeReport,
  junitReport,
  markdownReport,
  neutralize,
  reportSchema,
  visibleJson,
} from './reports/index.js';
export {
  benchCage,
  findProgram,
  type Proof,
  proveSandbox,
  requireSandbox,
  sandboxState,
} from './sandbox/index.js';
export { type Feedback, type Mismatch, VERDICTS, type Verdict } from './verdict.js';
