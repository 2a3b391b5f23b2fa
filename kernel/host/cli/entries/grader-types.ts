import ts from 'typescript';

/** Prints the type errors of a submission as JSON: `[{ line, message }]`. */
export function printTypeErrors(file: string, declarations: string): void {
  const program = ts.createProgram([file], {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2023.d.ts'],
    types: [],
    paths: { shardbook: [declarations] },
  });
  const source = program.getSourceFile(file);
  const notes = ts.getPreEmitDiagnostics(program, source).flatMap((diagnostic) => {
    if (diagnostic.file !== source || diagnostic.start === undefined) return [];
    const { line } = ts.getLineAndCharacterOfPosition(diagnostic.file!, diagnostic.start);
    return [{ line: line + 1, message: ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ') }];
  });
  process.stdout.write(JSON.stringify(notes));
}
