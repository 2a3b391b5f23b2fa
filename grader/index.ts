/** The judge: runs a submission in processes of its own and decides outside of them. */
export { type CheckSpec, type Exercise, EXERCISE_FILE, type Limits, listExercises, loadExercise } from './exercise.js';
export { gradeSubmission, type GradeOptions } from './grade.js';
export { type CheckReport, exitCode, formatReport, REPORT_FORMAT, type Report } from './report.js';
export { refuseUntrusted } from './sandbox.js';
export { selfCheck, type SelfCheckOptions, type SelfCheckResult } from './self-check.js';
export { type Feedback, type Mismatch, type Verdict, VERDICTS } from './verdict.js';
