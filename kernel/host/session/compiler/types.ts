import type { CheckLevel, CompleteResult, InspectResult, IsCompleteResult } from '../types.js';

/** A file of the learner's that a cell imports, as CommonJS. */
export interface SideFile {
  /** Of the JavaScript, which is nowhere written. */
  path: string;
  code: string;
  /** What it was made from; absent for what is no TypeScript, or where the engine does not say. */
  original?: { path: string; text: string; map: string };
}

/** What a rank needs to run a cell. */
export interface CellProgram {
  /** Shown in stack traces, such as `cell 3`. */
  name: string;
  /** Body of `async function (exports, require, importModule)`. */
  code: string;
  /** Source maps of the steps of the transform, from the cell on; decoded only for an error. */
  maps: readonly string[];
  /** Modules to load before the code starts. */
  imports: readonly string[];
  /** Property of `exports` that holds the value of the last expression. */
  resultName?: string;
}

export interface CellDiagnostic {
  /** Undefined for the cell itself. */
  file?: string;
  /** From 1. */
  line: number;
  /** From 1. */
  column: number;
  length: number;
  /** TypeScript's number. */
  code: number;
  message: string;
  /** False for mistakes of syntax, which no check level forgives. */
  forgivable: boolean;
  /** What to write instead, where that can be told. */
  help?: string;
}

export interface CompileOutcome {
  /** Undefined when `diagnostics` stop the cell. */
  program?: CellProgram;
  diagnostics: CellDiagnostic[];
  sideFiles: SideFile[];
}

/**
 * Turns cells into programs and remembers what earlier cells declared. A compiled cell's declarations count only
 * after `commit`: a cell that fails on some rank declares nothing.
 */
export interface Compiler {
  compile(cell: { code: string; name: string; level: CheckLevel }): Promise<CompileOutcome>;
  /** Keeps the declarations of the cell compiled last. */
  commit(): void;
  /** Forgets all declarations. */
  reset(): void;
  complete(code: string, cursor: number): Promise<CompleteResult>;
  inspect(code: string, cursor: number, detail: 0 | 1): Promise<InspectResult>;
  isComplete(code: string): Promise<IsCompleteResult>;
  close(): Promise<void>;
}

/** Who turns cells into programs: the stock TypeScript, or tslab's converter with its own TypeScript 5.0. */
export type CompilerEngine = 'typescript' | 'tslab';

export interface CompilerSettings {
  /** Default: typescript, which knows today's syntax and starts a cell sooner. */
  engine?: CompilerEngine;
  cwd: string;
  /** Declaration file of the names that every cell sees. */
  preloadTypes: string;
  /** Declaration file that `import ... from 'shardbook'` means. */
  runtimeTypes: string;
}
