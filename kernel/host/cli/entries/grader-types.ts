import { join } from 'node:path';
import ts from 'typescript';

const GLOBALS_FILE = '/given.d.ts';

/** What a submission finds besides the language and its imports: no DOM, nothing of Node. */
const GLOBALS = `
declare const console: Readonly<
  Record<'log' | 'error' | 'warn' | 'info' | 'debug' | 'table' | 'dir', (...values: unknown[]) => void>
>;
declare const performance: { now(): number };
declare function setTimeout(run: () => void, milliseconds?: number): unknown;
declare function clearTimeout(timer: unknown): void;
declare function queueMicrotask(run: () => void): void;
declare function structuredClone<T>(value: T): T;
`;

/** Prints the type errors of a submission's files as JSON: `[{ file, line, message }]`. */
export function printTypeErrors(declarations: string, files: readonly string[]): void {
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2023.d.ts'],
    types: [],
    // What an author's checks import stands beside.
    paths: {
      shardbook: [declarations],
      'shardbook/grader': [join(declarations, '../../../grader/authoring.d.ts')],
    },
  };
  const host = ts.createCompilerHost(options);
  const onDisk = host.getSourceFile.bind(host);
  host.getSourceFile = (name, ...rest) =>
    name === GLOBALS_FILE
      ? ts.createSourceFile(name, GLOBALS, ts.ScriptTarget.ES2022)
      : onDisk(name, ...rest);
  const program = ts.createProgram([GLOBALS_FILE, ...files], options, host);
  const notes = files.flatMap((name) => {
    const source = program.getSourceFile(name);
    if (source === undefined) return [];
    return ts.getPreEmitDiagnostics(program, source).flatMap((diagnostic) => {
      if (diagnostic.file !== source || diagnostic.start === undefined) return [];
      const { line } = ts.getLineAndCharacterOfPosition(source, diagnostic.start);
      const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
      return [{ file: name, line: line + 1, message }];
    });
  });
  process.stdout.write(JSON.stringify(notes));
}
