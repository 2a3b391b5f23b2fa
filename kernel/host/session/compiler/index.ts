export { serveCompiler, startCompiler } from './thread.js';
export type {
  CellDiagnostic,
  CellProgram,
  CompileOutcome,
  Compiler,
  CompilerSettings,
  SideFile,
} from './types.js';
