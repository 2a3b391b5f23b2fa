import { createRequire } from 'node:module';
import ts from 'typescript';
import type { CheckLevel, CompleteResult, InspectResult } from '../../types.js';
import {
  completion,
  describeQuickInfo,
  dropMapUrl,
  inspectedPosition,
  isComplete,
  isSyntax,
} from '../language.js';
import { nodeTypes } from '../node-types.js';
import type { CellDiagnostic, CompileOutcome, Compiler, CompilerSettings, SideFile } from '../types.js';
import { advise, checkerAnswers, readable } from './advice.js';
import { CellFiles } from './program.js';
import { type CellModule, cellModule, extendScope, preloadScope, type Scope } from './scope.js';
import { type CellSource, declaredNames, type NameKind, readCell } from './source.js';
import { cellTransformer, sideFileTransformer } from './transform.js';

/**
 * Of no concern in a cell, which is an asynchronous body of its own: top-level `await` (1375, 1378) and `for await`
 * (1431, 1432), `import.meta` (1343, 1470), the spelling of imports and exports that some module systems want (1205, 1286,
 * 1287, 1295, 1484, 1485), types that declaration files can't name (2527, 2742, 7056), packages without types (7016) and
 * assigning to a name of an earlier cell, which TypeScript sees as an import (2632) and which `assignment` judges.
 */
const NO_MISTAKE = new Set([
  1205, 1286, 1287, 1295, 1343, 1375, 1378, 1431, 1432, 1470, 1484, 1485, 2527, 2742, 7016, 7056,
]);
const ASSIGNED_IMPORT = 2632;

/** `Compiler` by the stock TypeScript. Runs in the compiler thread. */
export function createStockCompiler(settings: CompilerSettings): Compiler {
  return new StockCompiler(settings);
}

class StockCompiler implements Compiler {
  readonly #files: CellFiles;
  readonly #preload: Scope;
  /** Versions of the learner's files that ranks have. */
  readonly #sent = new Map<string, string>();
  #scope: Scope;
  #cells = 0;
  #pending: Scope | undefined;

  constructor(settings: CompilerSettings) {
    this.#files = new CellFiles(settings, nodeTypes(...typeRequires()));
    this.#preload = preloadScope(exportedNames(settings.preloadTypes));
    this.#scope = this.#preload;
  }

  async compile({
    code,
    name,
    level,
  }: {
    code: string;
    name: string;
    level: CheckLevel;
  }): Promise<CompileOutcome> {
    this.#pending = undefined;
    const cell = readCell(code);
    const module = cellModule(this.#scope, cell);
    const program = this.#files.compile(module.text);
    const file = program.getSourceFile(this.#files.cellPath)!;
    const side = this.#files.sideFiles(program);
    const found = [...cell.refusals, ...this.#diagnostics(program, file, side, module, level)];
    const diagnostics = this.#advised(found, code);
    if (diagnostics.some((d) => !d.forgivable || level === 'errors')) return { diagnostics, sideFiles: [] };
    const resultName = cell.hasResult ? freshName('cellResult', cell.mentioned) : undefined;
    const { js, map } = emitCell(program, file, module, cell, resultName);
    const sideFiles = this.#emitSideFiles(program, side);
    this.#pending = this.#declare(program, file, cell);
    return {
      program: {
        name,
        code: js,
        maps: [map],
        imports: [...js.matchAll(/\brequire\("([^"\n]+)"\)/g)].map((match) => match[1]!),
        ...(resultName === undefined ? {} : { resultName }),
      },
      diagnostics: level === 'off' ? [] : diagnostics,
      sideFiles,
    };
  }

  commit(): void {
    if (this.#pending) this.#scope = this.#pending;
    this.#pending = undefined;
  }

  reset(): void {
    this.#scope = this.#preload;
    this.#pending = undefined;
    this.#files.forgetDeclarations();
  }

  async complete(code: string, cursor: number): Promise<CompleteResult> {
    const { service, module } = this.#look(code);
    const info = service.getCompletionsAtPosition(this.#files.cellPath, module.start + cursor, {
      includeCompletionsForModuleExports: false,
    });
    const candidates = (info?.entries ?? [])
      .filter(({ kind }) => kind !== ts.ScriptElementKind.warning)
      .map(({ name, kind }) => ({ name, kind: module.visible.get(name)?.kind ?? kind }));
    const span = info?.optionalReplacementSpan;
    const start = span ? span.start - module.start : wordStart(code, cursor);
    return completion(code, cursor, { start, end: span ? start + span.length : cursor }, candidates);
  }

  async inspect(code: string, cursor: number, detail: 0 | 1): Promise<InspectResult> {
    const { service, module } = this.#look(code);
    const position = module.start + inspectedPosition(code, cursor);
    return describeQuickInfo(ts, service.getQuickInfoAtPosition(this.#files.cellPath, position), detail);
  }

  isComplete = async (code: string) => isComplete(ts, code);

  async close(): Promise<void> {
    this.#files.dispose();
  }

  #look(code: string): { service: ts.LanguageService; module: CellModule } {
    const module = cellModule(this.#scope, readCell(code), true);
    return { service: this.#files.look(module.text), module };
  }

  #diagnostics(
    program: ts.Program,
    file: ts.SourceFile,
    side: readonly ts.SourceFile[],
    module: CellModule,
    level: CheckLevel,
  ): CellDiagnostic[] {
    const tell = (d: ts.Diagnostic): CellDiagnostic[] => {
      if (NO_MISTAKE.has(d.code) || !d.file || d.start === undefined) return [];
      if (d.file !== file) return [describe(d, d.file, d.start, d.file.fileName, 0)];
      const inCell = d.start >= module.start && d.start <= module.end;
      const judged = inCell ? assignment(d, file, module) : undefined;
      return judged ? [describe(judged, file, d.start, undefined, 1)] : [];
    };
    const files = [file, ...side];
    const unread = files.flatMap((each) =>
      // What a cell that breaks off lacks is missed behind its end.
      program
        .getSyntacticDiagnostics(each)
        .flatMap((d) => tell(each === file ? { ...d, start: Math.min(d.start, module.end) } : d)),
    );
    // Types of what was not understood would only confuse.
    if (unread.length > 0 || level === 'off') return unread;
    return files.flatMap((each) => program.getSemanticDiagnostics(each).flatMap(tell));
  }

  /** With what helps; a line that is Python's is told so once, whatever else TypeScript makes of it. */
  #advised(diagnostics: CellDiagnostic[], code: string): CellDiagnostic[] {
    if (diagnostics.length === 0) return diagnostics;
    const { service, module } = this.#look(code);
    const lines = ts.createSourceFile('cell.ts', code, ts.ScriptTarget.Latest);
    const explained = new Set<number>();
    const advised = diagnostics.map((d) => {
      if (d.file !== undefined) return d;
      const start = lines.getPositionOfLineAndCharacter(d.line - 1, d.column - 1) + module.start;
      const answers = checkerAnswers(() => service.getProgram()!, this.#files.cellPath, start, d.length);
      const help = advise({ ...d, ...answers, text: module.text, start });
      if (help !== undefined && !d.forgivable) explained.add(d.line);
      return {
        ...d,
        message: readable(d.message, module.text, start),
        ...(help === undefined ? {} : { help }),
      };
    });
    const said = new Set<string>();
    return advised.filter(({ file, line, help }) => {
      if (file !== undefined || (help === undefined && !explained.has(line))) return true;
      const what = explained.has(line) ? String(line) : `${line} ${help}`;
      const first = help !== undefined && !said.has(what);
      said.add(what);
      return first;
    });
  }

  #emitSideFiles(program: ts.Program, side: readonly ts.SourceFile[]): SideFile[] {
    const emitted: SideFile[] = [];
    for (const file of side) {
      const version = this.#files.versionOf(file.fileName);
      if (this.#sent.get(file.fileName) === version) continue;
      this.#sent.set(file.fileName, version);
      let output: SideFile | undefined;
      let map: string | undefined;
      program.emit(
        file,
        (name, text) => {
          if (/\.[cm]?js$|\.json$/.test(name)) output = { path: name, code: dropMapUrl(text) };
          else if (name.endsWith('.map')) map = text;
        },
        undefined,
        false,
        { before: [sideFileTransformer()] },
      );
      if (output === undefined) continue;
      const original = map === undefined ? {} : { original: { path: file.fileName, text: file.text, map } };
      emitted.push({ ...output, ...original });
    }
    return emitted;
  }

  /** Writes the cell's declarations down as a module and gives the scope that holds once the cell has succeeded. */
  #declare(program: ts.Program, file: ts.SourceFile, cell: CellSource): Scope {
    if (cell.names.size === 0) return this.#scope;
    const id = ++this.#cells;
    program.emit(
      file,
      (name, text) => {
        if (name.endsWith('.d.ts')) this.#files.addDeclarations(id, text);
      },
      undefined,
      true,
    );
    return extendScope(this.#scope, cell, this.#files.declarationModule(id));
  }
}

function emitCell(
  program: ts.Program,
  file: ts.SourceFile,
  module: CellModule,
  cell: CellSource,
  resultName: string | undefined,
): { js: string; map: string } {
  let js = '';
  let map = '';
  const transformer = cellTransformer(program.getTypeChecker(), {
    start: module.start,
    end: module.end,
    earlier: module.visible,
    declared: cell.names.keys(),
    resultName,
  });
  program.emit(
    file,
    (name, text) => {
      if (name.endsWith('.js.map')) map = text;
      else if (name.endsWith('.js')) js = dropMapUrl(text);
    },
    undefined,
    false,
    { before: [transformer] },
  );
  return { js, map };
}

function freshName(base: string, taken: ReadonlySet<string>): string {
  let name = base;
  for (let i = 2; taken.has(name); i++) name = `${base}${i}`;
  return name;
}

/** Assigning to what an earlier cell declared by `let` is no mistake; to its constants, functions and imports it is. */
function assignment(d: ts.Diagnostic, file: ts.SourceFile, module: CellModule): ts.Diagnostic | undefined {
  if (d.code !== ASSIGNED_IMPORT) return d;
  const name = file.text.slice(d.start, d.start! + (d.length ?? 0));
  const kind = module.visible.get(name)?.kind;
  if (kind !== 'const') return d;
  return { ...d, code: 2588, messageText: `Cannot assign to '${name}' because it is a constant.` };
}

function describe(
  d: ts.Diagnostic,
  file: ts.SourceFile,
  start: number,
  name: string | undefined,
  prefixLines: number,
): CellDiagnostic {
  const { line, character } = ts.getLineAndCharacterOfPosition(file, start);
  return {
    ...(name === undefined ? {} : { file: name }),
    line: line + 1 - prefixLines,
    column: character + 1,
    length: Math.max(1, d.length ?? 1),
    code: d.code,
    message: ts.flattenDiagnosticMessageText(d.messageText, '\n'),
    forgivable: !isSyntax(d.code),
  };
}

function wordStart(code: string, cursor: number): number {
  return cursor - (/[\w$]*$/.exec(code.slice(0, cursor))?.[0].length ?? 0);
}

/** Node's types come with this package in development and with tslab where it is installed. */
function typeRequires(): NodeJS.Require[] {
  const require = createRequire(import.meta.url);
  return [require, createRequire(require.resolve('tslab/dist/converter'))];
}

/** What the preload's declaration file exports; it lists its names one by one. */
function exportedNames(path: string): [string, NameKind][] {
  const text = ts.sys.readFile(path);
  if (text === undefined) return [];
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest);
  return file.statements.flatMap((statement): [string, NameKind][] => {
    if (ts.isExportDeclaration(statement) && statement.exportClause) {
      const clause = statement.exportClause;
      const names = ts.isNamedExports(clause)
        ? clause.elements.map(({ name }) => name.text)
        : [clause.name.text];
      return names.map((name) => [name, 'import']);
    }
    return declaredNames(statement);
  });
}
