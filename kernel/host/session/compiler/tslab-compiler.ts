import type * as TS from 'typescript';
import type { CheckLevel, CompleteResult, InspectResult } from '../types.js';
import { completion, describeQuickInfo, inspectedPosition, isComplete, isSyntax } from './language.js';
import { type LoadedConverter, loadConverter, PRELOAD_SPECIFIER } from './tslab-typescript.js';
import type { CellDiagnostic, CompileOutcome, Compiler, CompilerSettings } from './types.js';

/** `Compiler` by tslab's converter. Runs in the compiler thread. */
export function createTslabCompiler(settings: CompilerSettings): Compiler {
  const loaded = loadConverter(settings);
  const names = exportedNames(loaded.ts, settings.preloadTypes);
  const seed = names.length === 0 ? '' : `import { ${names.join(', ')} } from '${PRELOAD_SPECIFIER}';\n`;
  let declared = seed;
  let pending: string | undefined;
  return {
    async compile({ code, name, level }) {
      pending = undefined;
      const { declarations, outcome } = compileCell(loaded, declared, code, name, level);
      pending = declarations;
      return outcome;
    },
    commit() {
      if (pending !== undefined) declared = pending;
      pending = undefined;
    },
    reset() {
      declared = seed;
      pending = undefined;
    },
    complete: async (code, cursor) => complete(loaded, declared, code, cursor),
    inspect: async (code, cursor, detail) => inspect(loaded, declared, code, cursor, detail),
    isComplete: async (code) => isComplete(loaded.ts, code),
    close: async () => loaded.converter.close(),
  };
}

/** What the preload's declaration file exports; it lists its names one by one. */
function exportedNames(ts: typeof TS, path: string): string[] {
  const text = ts.sys.readFile(path);
  if (text === undefined) return [];
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest);
  return file.statements.flatMap((statement) => {
    if (ts.isExportDeclaration(statement) && statement.exportClause) {
      const clause = statement.exportClause;
      return ts.isNamedExports(clause) ? clause.elements.map(({ name }) => name.text) : [clause.name.text];
    }
    if (ts.isVariableStatement(statement)) {
      return statement.declarationList.declarations.flatMap(({ name }) =>
        ts.isIdentifier(name) ? [name.text] : [],
      );
    }
    const { name } = statement as { name?: TS.Node };
    return name && ts.isIdentifier(name) ? [name.text] : [];
  });
}

function compileCell(
  loaded: LoadedConverter,
  declared: string,
  code: string,
  name: string,
  level: CheckLevel,
): { declarations: string | undefined; outcome: CompileOutcome } {
  const { converter, conversion, ts } = loaded;
  Object.assign(conversion, {
    forgive: level !== 'errors',
    ignoreTypes: level === 'off',
    forgiven: [],
    firstMap: '',
    secondMap: '',
    mutable: [],
  });
  const result = converter.convert(declared, withoutExport(code));
  const diagnostics = joinChains(result.diagnostics.map(toDiagnostic));
  const sideFiles = (result.sideOutputs ?? []).map(({ path, data }) => ({ path, code: data }));
  if (diagnostics.length > 0) return { declarations: undefined, outcome: { diagnostics, sideFiles } };
  const { output = '', lastExpressionVar } = result;
  return {
    declarations: result.declOutput ?? declared,
    outcome: {
      program: {
        name,
        code: publish(conversion.mutable) + output,
        maps: [conversion.firstMap, conversion.secondMap],
        imports: [...output.matchAll(/\brequire\("([^"\n]+)"\)/g)].map((match) => match[1]!),
        ...(lastExpressionVar === undefined ? {} : { resultName: lastExpressionVar }),
      },
      diagnostics: level === 'warnings' ? conversion.forgiven.flatMap((d) => fromTypeScript(ts, d)) : [],
      sideFiles,
    },
  };
}

/** Accessors for assignable names, on the program's first line so that no line moves. */
function publish(names: readonly string[]): string {
  return [...new Set(names)]
    .map(
      (name) =>
        `Object.defineProperty(exports, "${name}", { configurable: true, enumerable: true, get: () => ${name}, set: (value) => { ${name} = value; } });`,
    )
    .join(' ');
}

/** In a cell everything is exported; the keyword is blanked, keeping columns. */
function withoutExport(code: string): string {
  return code.replace(
    /(?<=^|[;}][ \t]*)export(?=\s+(?:const|let|var|function|async|class|abstract|type|interface|enum|namespace|declare)\b)/gm,
    '      ',
  );
}

function toDiagnostic(d: {
  start: { line: number; character: number; offset: number };
  end: { offset: number };
  messageText: string;
  code: number;
  fileName?: string;
}): CellDiagnostic {
  return {
    ...(d.fileName === undefined ? {} : { file: d.fileName }),
    line: d.start.line + 1,
    column: d.start.character + 1,
    length: Math.max(1, d.end.offset - d.start.offset),
    code: d.code,
    message: d.messageText,
    forgivable: !isSyntax(d.code),
  };
}

/** The converter lists the links of a message chain one by one; a learner reads them as one message. */
function joinChains(diagnostics: CellDiagnostic[]): CellDiagnostic[] {
  const joined: CellDiagnostic[] = [];
  for (const d of diagnostics) {
    const last = joined.at(-1);
    if (
      last &&
      last.file === d.file &&
      last.line === d.line &&
      last.column === d.column &&
      last.length === d.length
    ) {
      last.message += `\n${d.message}`;
    } else joined.push({ ...d });
  }
  return joined;
}

/** The converter puts one line before the cell. */
const PREFIX_LINES = 1;

function fromTypeScript(ts: typeof TS, d: TS.Diagnostic): CellDiagnostic[] {
  if (!d.file || d.start === undefined || !d.file.fileName.endsWith('__tslab__.ts')) return [];
  const { line, character } = ts.getLineAndCharacterOfPosition(d.file, d.start);
  return [
    {
      line: line + 1 - PREFIX_LINES,
      column: character + 1,
      length: Math.max(1, d.length ?? 1),
      code: d.code,
      message: ts.flattenDiagnosticMessageText(d.messageText, '\n'),
      forgivable: !isSyntax(d.code),
    },
  ];
}

function complete(
  { converter }: LoadedConverter,
  declared: string,
  code: string,
  cursor: number,
): CompleteResult {
  const { start, end, candidates, original } = converter.complete(declared, code, cursor);
  const kindOf = new Map(original?.entries.map((entry) => [entry.name, entry.kind as string]));
  return completion(
    code,
    cursor,
    { start, end },
    candidates.map((name) => ({ name, kind: kindOf.get(name) ?? '' })),
  );
}

function inspect(
  { converter, ts }: LoadedConverter,
  declared: string,
  code: string,
  cursor: number,
  detail: 0 | 1,
): InspectResult {
  return describeQuickInfo(ts, converter.inspect(declared, code, inspectedPosition(code, cursor)), detail);
}
