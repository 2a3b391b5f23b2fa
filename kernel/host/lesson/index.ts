/** MyST lessons: parse, manifest, notebooks, comparison of outputs, check. */
export { type AnswerKey, answerText, isChecked } from './answers.js';
export { CheckCache, cacheFolder, runtimeName } from './cache.js';
export {
  type CellCheck,
  type CellProblem,
  type CellRun,
  type CheckLessonOptions,
  checkLesson,
  type LessonSession,
  runLesson,
} from './check.js';
export { compareOutput, type OutputMismatch } from './compare.js';
export {
  type Coverage,
  type CoverageCount,
  countItems,
  coverageOf,
  type EntryCoverage,
  type ItemCoverage,
  isComplete,
} from './coverage.js';
export { type CurriculumEntry, type ItemKind, loadCurriculum } from './curriculum.js';
export { formatLesson } from './format.js';
export { type Glossary, loadGlossary, parseGlossary } from './glossary.js';
export { type ImportedNotebook, notebookToLesson } from './import.js';
export { type LintProblem, lintLessons } from './lint/index.js';
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
export { type LessonRecord, RECORD_FILE, twinsHash, writeRecord } from './pytorch/record.js';
export {
  checkTwins,
  findTorch,
  TORCH_PYTHON_VARIABLE,
  TORCH_VERSION,
  type TwinCheck,
} from './pytorch/run.js';
export { newLesson } from './scaffold.js';
export { buildSite, type SiteOptions } from './site/build.js';
export {
  type CodeCell,
  type CoverageMark,
  codeCells,
  type ExerciseCell,
  type ExpectedOutput,
  type FrontMatter,
  type Lesson,
  type LessonCell,
  type Prediction,
  type QuestionCell,
  questions,
  RAISES_EXCEPTION,
  type TaskCell,
  type TextCell,
  type Twin,
  tasks,
} from './types.js';
export { type OutputUpdate, updateOutputs } from './update.js';
