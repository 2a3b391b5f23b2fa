export { compileFiles, refused } from './compile.js';
export { readSubmission, type SourceFile, type Submission } from './files.js';
export { partsOf } from './notebook.js';
