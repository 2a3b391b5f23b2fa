/** TypeScript's view of the disk and of the cells: one cache of parsed files for compiling and for the language service. */
import { statSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import type { CompilerSettings } from '../types.js';
import { PRELOAD_SPECIFIER } from './scope.js';

interface Parsed {
  version: string;
  file: ts.SourceFile;
}

/** The folder of a session with one cell in the work and the declarations of earlier ones. */
export class CellFiles {
  readonly options: ts.CompilerOptions;
  readonly cellPath: string;
  readonly #cwd: string;
  readonly #parsed = new Map<string, Parsed>();
  readonly #declarations = new Map<string, string>();
  readonly #host: ts.CompilerHost;
  readonly #resolutions: ts.ModuleResolutionCache;
  #cell = { text: '', version: 0 };
  /** Files that may change under us: everything else is read once. */
  readonly #learners = new Map<string, string>();
  #program: ts.Program | undefined;
  #service: ts.LanguageService | undefined;

  constructor(settings: CompilerSettings, typeRoots: string[]) {
    this.#cwd = settings.cwd;
    this.cellPath = this.#path('__cell__.ts');
    this.options = {
      strict: true,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.CommonJS,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      allowImportingTsExtensions: true,
      resolveJsonModule: true,
      verbatimModuleSyntax: true,
      preserveConstEnums: true,
      esModuleInterop: true,
      // A package may have its types under `import` only; ranks load it either way.
      customConditions: ['import'],
      lib: ['lib.esnext.d.ts'],
      types: ['node'],
      typeRoots,
      skipLibCheck: true,
      sourceMap: true,
      declaration: true,
      paths: { shardbook: [settings.runtimeTypes], [PRELOAD_SPECIFIER]: [settings.preloadTypes] },
    };
    const base = ts.createCompilerHost(this.options);
    this.#resolutions = ts.createModuleResolutionCache(this.#cwd, (name) => name, this.options);
    this.#host = {
      ...base,
      getCurrentDirectory: () => this.#cwd,
      fileExists: (file) => this.#exists(file),
      readFile: (file) => this.#read(file),
      getSourceFile: (file) => this.#sourceFile(file),
      getModuleResolutionCache: () => this.#resolutions,
    };
  }

  /** The program of a cell's module. */
  compile(text: string): ts.Program {
    this.#setCell(text);
    this.#lookAtLearnersFiles();
    this.#program = ts.createProgram({
      rootNames: [this.cellPath],
      options: this.options,
      host: this.#host,
      ...(this.#program ? { oldProgram: this.#program } : {}),
    });
    return this.#program;
  }

  /** The language service, looking at a cell's module. */
  look(text: string): ts.LanguageService {
    this.#setCell(text);
    this.#service ??= ts.createLanguageService(this.#languageHost(), this.#registry());
    return this.#service;
  }

  /** The file (without extension) that cells import the declarations of cell `id` from. */
  declarationModule(id: number): string {
    return `./__cell_${id}__`;
  }

  /** Keeps the declarations of a cell under `declarationModule(id)`. */
  addDeclarations(id: number, text: string): void {
    this.#declarations.set(this.#path(`__cell_${id}__.d.ts`), text);
  }

  forgetDeclarations(): void {
    for (const file of this.#declarations.keys()) this.#parsed.delete(file);
    this.#declarations.clear();
  }

  /** The learner's own files that a program reads: neither cells nor packages nor declarations. */
  sideFiles(program: ts.Program): ts.SourceFile[] {
    return program
      .getSourceFiles()
      .filter(
        (file) =>
          !file.isDeclarationFile && file.fileName !== this.cellPath && this.#isLearners(file.fileName),
      );
  }

  versionOf(file: string): string {
    return this.#version(file);
  }

  dispose(): void {
    this.#service?.dispose();
  }

  #path(name: string): string {
    return path.join(this.#cwd, name).replaceAll('\\', '/');
  }

  #setCell(text: string): void {
    if (text === this.#cell.text) return;
    this.#cell = { text, version: this.#cell.version + 1 };
  }

  #isLearners(file: string): boolean {
    return !file.includes('/node_modules/') && !path.relative(this.#cwd, file).startsWith('..');
  }

  #exists(file: string): boolean {
    return file === this.cellPath || this.#declarations.has(file) || ts.sys.fileExists(file);
  }

  #read(file: string): string | undefined {
    if (file === this.cellPath) return this.#cell.text;
    return this.#declarations.get(file) ?? ts.sys.readFile(file);
  }

  #version(file: string): string {
    if (file === this.cellPath) return `cell ${this.#cell.version}`;
    return this.#learners.get(file) ?? '';
  }

  /** Files of the learner's are looked at once per compilation; one that came or went makes resolutions stale. */
  #lookAtLearnersFiles(): void {
    let changed = false;
    for (const [file, before] of this.#learners) {
      const now = stamp(file);
      if (now === before) continue;
      changed = true;
      this.#learners.set(file, now);
    }
    if (changed) this.#resolutions.clear();
  }

  #sourceFile(file: string): ts.SourceFile | undefined {
    if (
      file !== this.cellPath &&
      !this.#learners.has(file) &&
      !this.#declarations.has(file) &&
      this.#isLearners(file)
    )
      this.#learners.set(file, stamp(file));
    const version = this.#version(file);
    const known = this.#parsed.get(file);
    if (known && known.version === version) return known.file;
    const text = this.#read(file);
    if (text === undefined) {
      this.#parsed.delete(file);
      return undefined;
    }
    const parsed = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
    (parsed as ts.SourceFile & { version: string }).version = version;
    this.#parsed.set(file, { version, file: parsed });
    return parsed;
  }

  #languageHost(): ts.LanguageServiceHost {
    const snapshots = new WeakMap<ts.SourceFile, ts.IScriptSnapshot>();
    return {
      getCompilationSettings: () => this.options,
      getScriptFileNames: () => [this.cellPath],
      getScriptVersion: (file) => this.#version(file),
      getScriptSnapshot: (file) => {
        const parsed = this.#sourceFile(file);
        if (!parsed) return undefined;
        const snapshot = snapshots.get(parsed) ?? ts.ScriptSnapshot.fromString(parsed.text);
        snapshots.set(parsed, snapshot);
        return snapshot;
      },
      getCurrentDirectory: () => this.#cwd,
      getDefaultLibFileName: (options) => ts.getDefaultLibFilePath(options),
      fileExists: (file) => this.#exists(file),
      readFile: (file) => this.#read(file),
      directoryExists: ts.sys.directoryExists,
      getDirectories: ts.sys.getDirectories,
      ...(ts.sys.realpath ? { realpath: ts.sys.realpath } : {}),
    };
  }

  /** Gives the language service the files that compiling has parsed, instead of copies of its own. */
  #registry(): ts.DocumentRegistry {
    const get = (file: string): ts.SourceFile => {
      const parsed = this.#sourceFile(file);
      if (!parsed) throw new Error(`no such file: ${file}`);
      return parsed;
    };
    return {
      acquireDocument: (file) => get(file),
      acquireDocumentWithKey: (file) => get(file),
      updateDocument: (file) => get(file),
      updateDocumentWithKey: (file) => get(file),
      getKeyForCompilationSettings: () => '' as ts.DocumentRegistryBucketKey,
      releaseDocument: () => {},
      releaseDocumentWithKey: () => {},
      reportStats: () => '',
    };
  }
}

function stamp(file: string): string {
  try {
    const { mtimeMs, size } = statSync(file);
    return `${mtimeMs} ${size}`;
  } catch {
    return 'gone';
  }
}
