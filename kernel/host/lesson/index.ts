/** MyST lessons: parse, manifest, notebooks, comparison of outputs, check. */
export {
  type CellCheck,
  type CellProblem,
  type CheckLessonOptions,
  checkLesson,
  type LessonSession,
} from './check.js';
export { compareOutput, type OutputMismatch } from './compare.js';
export {
  findLesson,
  loadManifest,
  MANIFEST_FILE,
  type Manifest,
  type ManifestLayer,
  type ManifestLesson,
  manifestLessons,
  shownPath,
} from './manifest.js';
export {
  cellsToNotebook,
  KERNELSPEC,
  lessonToNotebook,
  type Notebook,
  type NotebookCell,
} from './notebook.js';
export { parseCells, parseLesson } from './parse.js';
export { newLesson } from './scaffold.js';
export {
  type CodeCell,
  codeCells,
  type ExerciseCell,
  type ExpectedOutput,
  type FrontMatter,
  type Lesson,
  type LessonCell,
  type Prediction,
  RAISES_EXCEPTION,
  type TextCell,
} from './types.js';
