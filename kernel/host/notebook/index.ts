/** Notebooks without a front end: read, run, write back. */
export { type NotebookFile, notebookError, readNotebook, worldOf, writeNotebook } from './file.js';
export { type CellEvent, type RunOptions, runNotebook } from './run.js';
