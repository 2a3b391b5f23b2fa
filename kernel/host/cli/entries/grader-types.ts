import ts from 'typescript';

/** Prints the type errors of a submission's files as JSON: `[{ file, line, message }]`. */
export function printTypeErrors(declarations: string, files: readonly string[]): void {
  const program = ts.createProgram([...files], {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2023.d.ts'],
    types: [],
    paths: { shardbook: [declarations] },
  });
  const notes = files.flatMap((name) => {
    const source = program.getSourceFile(name);
    if (source === undefined) return [];
    return ts.getPreEmitDiagnostics(program, source).flatMap((diagnostic) => {
      if (diagnostic.file !== source || diagnostic.start === undefined) return [];
      const { line } = ts.getLineAndCharacterOfPosition(source, diagnostic.start);
      const file = name.slice(name.lastIndexOf('/') + 1);
      return [
        { file, line: line + 1, message: ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ') },
      ];
    });
  });
  process.stdout.write(JSON.stringify(notes));
}
