export { serveCompiler, startCompiler } from './thread.js';
export type {
  CellDiagnostic,
  CellProgram,
  CompileOutcome,
  Compiler,
  CompilerEngine,
  CompilerSettings,
  SideFile,
} from './types.js';
