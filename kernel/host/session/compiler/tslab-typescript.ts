/**
 * Loads tslab's converter with the options a teaching kernel needs. The converter hard-codes its compiler options and
 * stops at type errors; both are changed by giving it a copy of its TypeScript in which four functions are replaced.
 */

import { type FSWatcher, watch as watchPath } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type * as TS from 'typescript';
import { dropMapUrl, isSyntax } from './language.js';
import { nodeTypes } from './node-types.js';
import type { CompilerSettings } from './types.js';

export interface Converter {
  convert(prevDecl: string, src: string): ConvertResult;
  inspect(prevDecl: string, src: string, position: number): TS.QuickInfo | undefined;
  complete(prevDecl: string, src: string, position: number): ConvertCompletion;
  close(): void;
}

interface ConvertPosition {
  offset: number;
  line: number;
  character: number;
}

export interface ConvertDiagnostic {
  start: ConvertPosition;
  end: ConvertPosition;
  messageText: string;
  category: number;
  code: number;
  fileName?: string;
}

export interface ConvertResult {
  output?: string;
  declOutput?: string;
  diagnostics: ConvertDiagnostic[];
  lastExpressionVar?: string;
  sideOutputs?: { path: string; data: string }[];
}

interface ConvertCompletion {
  start: number;
  end: number;
  candidates: string[];
  original?: TS.CompletionInfo;
}

/** What the replaced functions see of one conversion, beside the converter's own result. */
export interface Conversion {
  /** Errors that the check level lets pass. */
  forgiven: TS.Diagnostic[];
  forgive: boolean;
  /** Types are not even looked at. */
  ignoreTypes: boolean;
  firstMap: string;
  secondMap: string;
  /** Names declared by `let` or `var` at the top of the cell. */
  mutable: string[];
}

export interface LoadedConverter {
  converter: Converter;
  ts: typeof TS;
  conversion: Conversion;
  isCompleteCode(code: string): { completed: boolean; indent?: string };
}

/** Messages that are no mistake in a cell: top-level `for await`, `.ts` in a specifier, names of declaration emit. */
const NEVER_MISTAKES = new Set([1103, 5097, 2742, 2527, 7056, 6059]);

export function loadConverter(settings: CompilerSettings): LoadedConverter {
  const require = createRequire(import.meta.url);
  const converterPath = require.resolve('tslab/dist/converter');
  const tslabRequire = createRequire(converterPath);
  const tsPath = tslabRequire.resolve('@tslab/typescript-for-tslab');
  const ts = require(tsPath) as typeof TS & Record<string, unknown>;
  const conversion: Conversion = {
    forgiven: [],
    forgive: false,
    ignoreTypes: false,
    firstMap: '',
    secondMap: '',
    mutable: [],
  };
  const patched = { ...ts, ...replacements(ts, settings, conversion, nodeTypes(require, tslabRequire)) };
  adaptSystem(ts.sys, settings.cwd);
  require.cache[tsPath]!.exports = patched;
  const { createConverter, isCompleteCode } = require(converterPath) as {
    createConverter(): Converter;
    isCompleteCode: LoadedConverter['isCompleteCode'];
  };
  return { converter: createConverter(), ts, conversion, isCompleteCode };
}

/** Worker threads have no working folder of their own, and watching thousands of library files would cost a core. */
function adaptSystem(sys: TS.System, cwd: string): void {
  sys.getCurrentDirectory = () => cwd;
  const nothing: TS.FileWatcher = { close: () => {} };
  const learners = (file: string): boolean =>
    !path.relative(cwd, file).startsWith('..') && !file.includes('node_modules');
  const watchFile = sys.watchFile?.bind(sys);
  sys.watchFile = (file, callback, interval, options) =>
    watchFile && learners(file) ? watchFile(file, callback, interval, options) : nothing;
  sys.watchDirectory = (folder, callback) => {
    if (!learners(folder)) return nothing;
    let watcher: FSWatcher;
    try {
      watcher = watchPath(folder, { persistent: false }, (_event, name) => {
        if (name !== null) callback(path.join(folder, name));
      });
    } catch {
      return nothing;
    }
    watcher.on('error', () => watcher.close());
    return watcher;
  };
}

type Replacements = Pick<typeof TS, 'createWatchCompilerHost' | 'transpileModule'> & {
  getPreEmitDiagnosticsOfFiles(program: TS.Program, files: TS.SourceFile[]): TS.Diagnostic[];
};

function replacements(
  ts: typeof TS & Record<string, unknown>,
  settings: CompilerSettings,
  conversion: Conversion,
  typeRoots: string[],
): Replacements {
  const createHost = ts.createWatchCompilerHost as unknown as (
    rootFiles: string[],
    options: TS.CompilerOptions,
    system: TS.System,
    createProgram: TS.CreateProgram<TS.BuilderProgram>,
    ...rest: unknown[]
  ) => unknown;
  const hostOfCells = (
    rootFiles: string[],
    options: TS.CompilerOptions,
    system: TS.System,
    _program: unknown,
    ...rest: unknown[]
  ) =>
    createHost(
      rootFiles,
      {
        ...options,
        strict: true,
        moduleResolution: ts.ModuleResolutionKind.Bundler,
        allowImportingTsExtensions: false,
        lib: ['lib.es2023.d.ts'],
        types: ['node'],
        typeRoots,
        sourceMap: true,
        checkJs: false,
        paths: { shardbook: [settings.runtimeTypes], [PRELOAD_SPECIFIER]: [settings.preloadTypes] },
      },
      system,
      (...args) => observeEmit(ts, lightBuilder(ts, args), conversion),
      ...rest,
    );
  return {
    createWatchCompilerHost: hostOfCells as unknown as Replacements['createWatchCompilerHost'],
    getPreEmitDiagnosticsOfFiles(program, files) {
      // Only what is said of the cell and the learner's files: options and declaration emit are not theirs to mend.
      const found = files
        .flatMap((file) => [
          ...program.getSyntacticDiagnostics(file),
          ...(conversion.ignoreTypes ? [] : program.getSemanticDiagnostics(file)),
        ])
        .filter((d) => !isNoMistake(ts, d));
      const [stopping, passing] = split(found, (d) => !conversion.forgive || isSyntax(d.code));
      conversion.forgiven = passing;
      return stopping;
    },
    transpileModule(input, options) {
      const result = ts.transpileModule(input, {
        ...options,
        compilerOptions: { ...options.compilerOptions, sourceMap: true },
        transformers: { before: [(context) => (file) => toCellModule(ts, file, context, conversion)] },
      });
      conversion.secondMap = result.sourceMapText ?? '';
      return { ...result, outputText: dropMapUrl(result.outputText) };
    },
  };
}

/** Module name by which the seed declaration imports what cells see. */
export const PRELOAD_SPECIFIER = 'shardbook:preload';

function split<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

function isNoMistake(ts: typeof TS, d: TS.Diagnostic): boolean {
  if (d.code >= 4000 && d.code < 5000) return true;
  if (d.code !== 1103) return NEVER_MISTAKES.has(d.code);
  // `for await` is wrong inside a plain function and right at the top, where cells are asynchronous.
  let node = d.file && d.start !== undefined ? tokenAt(ts, d.file, d.start) : undefined;
  while (node) {
    if (ts.isFunctionLike(node)) return false;
    node = node.parent;
  }
  return true;
}

function tokenAt(ts: typeof TS, file: TS.SourceFile, position: number): TS.Node | undefined {
  let found: TS.Node | undefined;
  const visit = (node: TS.Node): void => {
    if (node.getStart(file) <= position && position < node.end) {
      found = node;
      ts.forEachChild(node, visit);
    }
  };
  visit(file);
  return found;
}

/**
 * A builder without the state for incremental emit, which costs half of a compilation and which nobody here reads. The
 * converter only asks it for the source files that a cell depends on.
 */
function lightBuilder(
  ts: typeof TS,
  args: Parameters<TS.CreateProgram<TS.BuilderProgram>>,
): TS.BuilderProgram {
  const builder = ts.createAbstractBuilder(...args);
  // The converter reads the names of these two before any checker has bound them.
  const bind = (ts as unknown as { bindSourceFile(file: TS.SourceFile, options: TS.CompilerOptions): void })
    .bindSourceFile;
  for (const file of builder.getSourceFiles()) {
    if (/__tslab__\.ts$|__prev__\.d\.ts$/.test(file.fileName)) bind(file, builder.getCompilerOptions());
  }
  builder.getAllDependencies = (file) => {
    const found = new Set<string>();
    const visit = (source: TS.SourceFile | undefined): void => {
      if (!source || source.isDeclarationFile || found.has(source.fileName)) return;
      found.add(source.fileName);
      const { resolvedModules } = source as unknown as { resolvedModules?: Map<string, Resolution> };
      resolvedModules?.forEach(({ resolvedModule }) => {
        if (resolvedModule && !resolvedModule.isExternalLibraryImport)
          visit(builder.getSourceFile(resolvedModule.resolvedFileName));
      });
    };
    visit(file);
    return [...found];
  };
  return builder;
}

type Resolution = TS.ResolvedModuleWithFailedLookupLocations;

/** Records the source map of a cell and its assignable names, and repairs what the converter's own step gets wrong. */
function observeEmit<P extends TS.BuilderProgram>(ts: typeof TS, builder: P, conversion: Conversion): P {
  const emit = builder.emit.bind(builder);
  builder.emit = (file, write, token, onlyDeclarations, transformers) => {
    if (file && path.basename(file.fileName) === '__tslab__.ts') conversion.mutable = mutableNames(ts, file);
    return emit(
      file,
      (name, text, ...more) => {
        if (name.endsWith('__tslab__.js.map')) conversion.firstMap = text;
        else write?.(name, name.endsWith('.js') ? dropMapUrl(text) : text, ...more);
      },
      token,
      onlyDeclarations,
      {
        ...transformers,
        before: [
          ...(transformers?.before ?? []),
          (context) => (source) =>
            spellOutShorthand(ts, source, context, builder.getProgram().getTypeChecker()),
        ],
      },
    );
  };
  return builder;
}

function mutableNames(ts: typeof TS, file: TS.SourceFile): string[] {
  const names: string[] = [];
  const collect = (name: TS.BindingName): void => {
    if (ts.isIdentifier(name)) names.push(name.text);
    else for (const element of name.elements) if (ts.isBindingElement(element)) collect(element.name);
  };
  for (const statement of file.statements) {
    if (!ts.isVariableStatement(statement) || statement.declarationList.flags & ts.NodeFlags.Const) continue;
    if (statement.modifiers?.some((m) => m.kind === ts.SyntaxKind.DeclareKeyword)) continue;
    for (const declaration of statement.declarationList.declarations) collect(declaration.name);
  }
  return names;
}

/** `{ x }` of an earlier cell's x becomes `{ x: exports.x }`, which the converter forgets. */
function spellOutShorthand(
  ts: typeof TS,
  file: TS.SourceFile,
  context: TS.TransformationContext,
  checker: TS.TypeChecker,
): TS.SourceFile {
  if (path.basename(file.fileName) !== '__tslab__.ts') return file;
  const { factory } = context;
  const visit = (node: TS.Node): TS.Node => {
    if (
      ts.isShorthandPropertyAssignment(node) &&
      isEarlier(checker.getShorthandAssignmentValueSymbol(node))
    ) {
      const name = factory.createPropertyAccessExpression(
        factory.createIdentifier('exports'),
        node.name.text,
      );
      const { objectAssignmentInitializer: otherwise } = node;
      const value = otherwise
        ? factory.createAssignment(name, ts.visitNode(otherwise, visit) as TS.Expression)
        : name;
      return ts.setTextRange(factory.createPropertyAssignment(node.name.text, value), node);
    }
    return ts.visitEachChild(node, visit, context);
  };
  return ts.visitEachChild(file, visit, context);
}

function isEarlier(symbol: TS.Symbol | undefined): boolean {
  return (
    symbol?.declarations?.some((declaration) =>
      declaration.getSourceFile().fileName.endsWith('__prev__.d.ts'),
    ) ?? false
  );
}

/**
 * The step from module to CommonJS: names declared by `let` and `var` are not exported by value (the program
 * publishes accessors for them, so that a later cell and this cell's functions share one variable), and `import()`
 * becomes a call of `importModule`, which can load packages that have no CommonJS form.
 */
function toCellModule(
  ts: typeof TS,
  file: TS.SourceFile,
  context: TS.TransformationContext,
  conversion: Conversion,
): TS.SourceFile {
  const { factory } = context;
  const mutable = new Set(conversion.mutable);
  const visit = (node: TS.Node): TS.Node => {
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const args = node.arguments.map((argument) => ts.visitNode(argument, visit) as TS.Expression);
      return ts.setTextRange(
        factory.createCallExpression(factory.createIdentifier('importModule'), undefined, args),
        node,
      );
    }
    return ts.visitEachChild(node, visit, context);
  };
  const statements = file.statements.map((statement) => {
    if (
      ts.isExportDeclaration(statement) &&
      !statement.moduleSpecifier &&
      statement.exportClause &&
      ts.isNamedExports(statement.exportClause)
    ) {
      const kept = statement.exportClause.elements.filter((element) => !mutable.has(element.name.text));
      return factory.updateExportDeclaration(
        statement,
        statement.modifiers,
        statement.isTypeOnly,
        factory.updateNamedExports(statement.exportClause, kept),
        undefined,
        statement.assertClause,
      );
    }
    return ts.visitNode(statement, visit) as TS.Statement;
  });
  return factory.updateSourceFile(file, statements);
}
