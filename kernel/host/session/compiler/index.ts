export { serveCompiler, startCompiler } from './thread.js';
export type {
  CellDiagnostic,
  CellProgram,
  CompileOutcome,
  Compiler,
  CompilerEngine,
  SideFile,
} from './types.js';
