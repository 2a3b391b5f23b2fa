export { compileFiles } from './compile.js';
export {
  readSubmission,
  type SourceFile,
  SUBMISSION_MISSING,
  type Submission,
  submissionName,
} from './files.js';
