export { compileFiles } from './compile.js';
export { readSubmission, type SourceFile, type Submission } from './files.js';
