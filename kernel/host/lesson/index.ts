/** MyST lessons: parse, manifest, notebooks, comparison of outputs, check. */
export { CheckCache, cacheFolder, runtimeName } from './cache.js';
export { checkLesson, runLesson } from './check.js';
export { type Coverage, countItems, coverageOf, isComplete } from './coverage.js';
export { type ItemKind, loadCurriculum } from './curriculum.js';
export { formatLesson } from './format.js';
export { type Glossary, loadGlossary } from './glossary.js';
export { type ImportedNotebook, notebookToLesson } from './import.js';
export { lintLessons } from './lint/index.js';
export {
  findLesson,
  loadManifest,
  type Manifest,
  type ManifestLesson,
  manifestLessons,
  shownPath,
} from './manifest.js';
export { cellsToNotebook, lessonToNotebook, type Notebook, type NotebookCell } from './notebook.js';
export { parseCells, parseLesson } from './parse.js';
export { type LessonRecord, twinsHash, writeRecord } from './pytorch/record.js';
export { checkTwins, findTorch, TORCH_PYTHON_VARIABLE } from './pytorch/run.js';
export { newLesson } from './scaffold.js';
export { buildSite } from './site/build.js';
export { type Lesson, RAISES_EXCEPTION } from './types.js';
export { type OutputUpdate, updateOutputs } from './update.js';
