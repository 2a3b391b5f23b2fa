/** A script and the files it imports, as programs for ranks. Types are stripped, not checked: an editor or `tsc` does that. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type TypeScript from 'typescript';
import { ShardbookError } from '../../runtime/base/index.js';

// Not an import: Node would first search nine megabytes for the names that they export.
const ts: typeof TypeScript = createRequire(import.meta.url)('typescript');

export interface ScriptFile {
  /** Path of the source, with its extension replaced by `.js`. */
  path: string;
  source: string;
  code: string;
  /** Source map, JSON. */
  map: string;
  /** Modules that the file names in imports that TypeScript keeps. */
  imports: string[];
}

const EXTENSIONS = ['', '.ts', '.mts', '.tsx', '.js', '.mjs', '/index.ts', '/index.js'];

/** The script first, then what it reaches by relative imports. Throws a coded error at the first syntax error. */
export function transpileScript(entry: string): ScriptFile[] {
  const files = new Map<string, ScriptFile>();
  const queue = [entry];
  for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
    if (files.has(source)) continue;
    const file = transpileFile(source);
    files.set(source, file);
    for (const specifier of file.imports) {
      const found = relativeFile(path.dirname(source), specifier);
      if (found !== undefined) queue.push(found);
    }
  }
  return [...files.values()];
}

function transpileFile(source: string): ScriptFile {
  const result = ts.transpileModule(readFileSync(source, 'utf8'), {
    fileName: source,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.CommonJS,
      esModuleInterop: true,
      sourceMap: true,
      allowJs: true,
      jsx: ts.JsxEmit.React,
    },
  });
  const [problem] = result.diagnostics ?? [];
  if (problem) throw syntaxError(source, problem);
  const code = result.outputText.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n');
  return {
    path: asJs(source),
    source,
    code,
    map: result.sourceMapText ?? '',
    imports: [...code.matchAll(/\b(?:require|import)\("([^"\n]+)"\)/g)].map((match) => match[1]!),
  };
}

const asJs = (file: string): string => file.replace(/\.[mc]?[jt]sx?$/, '.js');

function relativeFile(folder: string, specifier: string): string | undefined {
  if (!/^\.{0,2}\//.test(specifier)) return undefined;
  const base = path.resolve(folder, specifier);
  // `./x.js` in an import may mean the source x.ts.
  const bases = [base, base.replace(/\.([mc]?)js$/, '.$1ts')];
  const candidates = bases.flatMap((name) => EXTENSIONS.map((extension) => name + extension));
  return candidates.find((file) => existsSync(file) && statSync(file).isFile() && !file.endsWith('.json'));
}

function syntaxError(file: string, problem: TypeScript.Diagnostic): ShardbookError {
  const at = problem.file?.getLineAndCharacterOfPosition(problem.start ?? 0);
  const place = at ? `${file}:${at.line + 1}:${at.character + 1}` : file;
  return new ShardbookError({
    code: 'SB_SCRIPT_SYNTAX',
    message: `Cannot run ${place}: ${ts.flattenDiagnosticMessageText(problem.messageText, '\n')}`,
    help: 'mend the line and run it again',
  });
}
