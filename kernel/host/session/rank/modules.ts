/** Modules as cells import them: the learner's files, packages of either kind, and `shardbook` itself. */
import { createRequire, isBuiltin } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';
import { ShardbookError } from '../../../runtime/index.js';
import type { SideFile } from '../compiler/index.js';

type Exports = Record<string, unknown>;

export interface ImportModule {
  (specifier: string): Promise<unknown>;
  meta: { url: string; filename: string; dirname: string; resolve(specifier: string): string };
}

export class CellModules {
  readonly #cwd: string;
  readonly #runtime: Exports;
  readonly #sideFiles = new Map<string, string>();
  readonly #sideModules = new Map<string, { exports: Exports }>();
  readonly #esModules = new Map<string, Exports>();

  /** `runtime` is what `import ... from 'shardbook'` gives: the very module that this thread runs. */
  constructor(cwd: string, runtime: object) {
    this.#cwd = cwd;
    this.#runtime = asCommonJs(runtime);
  }

  /** Newer texts of the learner's files; modules loaded from older ones are forgotten. */
  update(files: readonly SideFile[]): void {
    for (const { path: file, code } of files) this.#sideFiles.set(file, code);
    if (files.length > 0) this.#sideModules.clear();
  }

  /** Loads what `specifiers` name, so that `require` can give it at once. Only packages without a CommonJS form need it. */
  async load(specifiers: readonly string[], folder = this.#cwd): Promise<void> {
    for (const specifier of specifiers) {
      if (specifier === 'shardbook' || isBuiltin(specifier)) continue;
      const file = this.#sideFile(folder, specifier);
      if (file !== undefined) {
        const imports = [...this.#sideFiles.get(file)!.matchAll(/\brequire\("([^"\n]+)"\)/g)].map(
          (m) => m[1]!,
        );
        await this.load(
          imports.filter((name) => name !== specifier),
          path.dirname(file),
        );
        continue;
      }
      const key = `${folder}\0${specifier}`;
      if (this.#esModules.has(key)) continue;
      const url = this.#resolve(folder, specifier);
      if (url !== undefined) this.#esModules.set(key, asCommonJs(await import(url)));
    }
  }

  /** `require` of the cells (in the session's folder) or of one of the learner's files. */
  requireFrom(folder = this.#cwd): (specifier: string) => unknown {
    const native = createRequire(path.join(folder, 'cell.js'));
    return (specifier) => {
      if (specifier === 'shardbook') return this.#runtime;
      const file = this.#sideFile(folder, specifier);
      if (file !== undefined) return this.#runSideFile(file);
      return this.#esModules.get(`${folder}\0${specifier}`) ?? native(specifier);
    };
  }

  /** `import()` and, as its property, `import.meta` of the cells or of one of the learner's files. */
  importerFrom(file = path.join(this.#cwd, 'cell.ts')): ImportModule {
    const folder = path.dirname(file);
    const importModule = async (specifier: string): Promise<unknown> => {
      if (isBuiltin(specifier)) return import(specifier);
      await this.load([specifier], folder);
      return this.requireFrom(folder)(specifier);
    };
    const { href: url } = pathToFileURL(file);
    const resolve = (specifier: string): string =>
      isBuiltin(specifier) ? specifier : pathToFileURL(createRequire(file).resolve(specifier)).href;
    return Object.assign(importModule, { meta: { url, filename: file, dirname: folder, resolve } });
  }

  #sideFile(folder: string, specifier: string): string | undefined {
    if (!/^\.{0,2}\//.test(specifier)) return undefined;
    const base = path.resolve(folder, specifier);
    const candidates = [base, base.replace(/\.[mc]?tsx?$/, '.js'), `${base}.js`, path.join(base, 'index.js')];
    return candidates.find((file) => this.#sideFiles.has(file));
  }

  #runSideFile(file: string): Exports {
    const loaded = this.#sideModules.get(file);
    if (loaded) return loaded.exports;
    const module: { exports: Exports } = { exports: {} };
    this.#sideModules.set(file, module);
    const wrapped = `(function (exports, require, module, importModule) {\n${this.#sideFiles.get(file)}\n})`;
    const run = new vm.Script(wrapped, { filename: file, lineOffset: -1 }).runInThisContext() as (
      ...args: unknown[]
    ) => void;
    try {
      run(module.exports, this.requireFrom(path.dirname(file)), module, this.importerFrom(file));
    } catch (error) {
      this.#sideModules.delete(file);
      throw error;
    }
    return module.exports;
  }

  /** URL of an ES module to import; undefined when `require` can load it. */
  #resolve(folder: string, specifier: string): string | undefined {
    const native = createRequire(path.join(folder, 'cell.js'));
    let file: string | undefined;
    try {
      file = native.resolve(specifier);
      if (!isEsModule(file, native)) return undefined;
    } catch (error) {
      file = importOnlyEntry(folder, specifier);
      if (file === undefined) throw missingModule(specifier, folder, error);
    }
    return pathToFileURL(file).href;
  }
}

/** A module namespace as the compiler's interop helpers want it: marked, and with `default` where there is one. */
function asCommonJs(namespace: object): Exports {
  const result: Exports = {};
  Object.defineProperty(result, '__esModule', { value: true });
  for (const name of Object.keys(namespace)) {
    Object.defineProperty(result, name, {
      enumerable: true,
      configurable: true,
      get: () => (namespace as Exports)[name],
    });
  }
  return result;
}

function isEsModule(file: string, native: NodeJS.Require): boolean {
  if (file.endsWith('.mjs')) return true;
  if (!file.endsWith('.js')) return false;
  return nearestManifest(path.dirname(file), native)?.['type'] === 'module';
}

function nearestManifest(from: string, native: NodeJS.Require): Record<string, unknown> | undefined {
  for (let folder = from; ; folder = path.dirname(folder)) {
    try {
      return native(path.join(folder, 'package.json')) as Record<string, unknown>;
    } catch {
      if (path.dirname(folder) === folder || path.basename(folder) === 'node_modules') return undefined;
    }
  }
}

/** The entry of a package whose `exports` has no `require` condition. */
function importOnlyEntry(from: string, specifier: string): string | undefined {
  const [, name, rest] = /^((?:@[^/]+\/)?[^/]+)(\/.*)?$/.exec(specifier) ?? [];
  if (name === undefined || specifier.startsWith('.')) return undefined;
  for (let folder = from; ; folder = path.dirname(folder)) {
    const root = path.join(folder, 'node_modules', name);
    let manifest: { exports?: unknown; main?: string; module?: string };
    try {
      manifest = createRequire(path.join(root, 'x.js'))('./package.json') as typeof manifest;
    } catch {
      if (path.dirname(folder) === folder) return undefined;
      continue;
    }
    const target =
      pick(manifest.exports, `.${rest ?? ''}`) ??
      (rest === undefined ? (manifest.module ?? manifest.main) : undefined);
    return target === undefined ? undefined : path.join(root, target);
  }
}

function pick(exported: unknown, subpath: string): string | undefined {
  if (typeof exported === 'string') return subpath === '.' ? exported : undefined;
  if (typeof exported !== 'object' || exported === null) return undefined;
  const map = exported as Record<string, unknown>;
  const isSubpaths = Object.keys(map).some((key) => key.startsWith('.'));
  return condition(isSubpaths ? map[subpath] : subpath === '.' ? map : undefined);
}

function condition(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(condition).find((found) => found !== undefined);
  if (typeof value !== 'object' || value === null) return undefined;
  const map = value as Record<string, unknown>;
  for (const name of Object.keys(map)) {
    if (['node', 'import', 'module-sync', 'default'].includes(name)) {
      const found = condition(map[name]);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function missingModule(specifier: string, folder: string, cause: unknown): ShardbookError {
  return new ShardbookError({
    code: 'SB_NO_MODULE',
    message: `Cannot import "${specifier}": there is no such ${/^[./]/.test(specifier) ? 'file' : 'package'} for "${folder}"`,
    help: /^[./]/.test(specifier)
      ? 'paths start at the folder of the notebook'
      : `install it there: npm install ${specifier}`,
    cause,
  });
}
