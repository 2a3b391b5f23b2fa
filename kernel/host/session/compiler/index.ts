export { serveCompiler, startCompiler } from './thread.js';
export type { CellDiagnostic, CellProgram, Compiler, CompileOutcome, CompilerSettings, SideFile } from './types.js';
