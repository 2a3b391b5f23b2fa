/** The judge: runs a submission in processes of its own and decides outside of them. */
export {
  type CheckSpec,
  EXERCISE_FILE,
  type Exercise,
  type Limits,
  listExercises,
  loadExercise,
} from './exercise.js';
export { type GradeOptions, gradeSubmission } from './grade.js';
export { type CheckReport, exitCode, formatReport, REPORT_FORMAT, type Report } from './report.js';
export { refuseUntrusted } from './sandbox.js';
export { type SelfCheckOptions, type SelfCheckResult, selfCheck } from './self-check.js';
export { type Feedback, type Mismatch, VERDICTS, type Verdict } from './verdict.js';
