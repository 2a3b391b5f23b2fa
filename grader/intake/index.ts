export { compileFiles } from './compile.js';
export { readSubmission, type SourceFile, type Submission, submissionName } from './files.js';
