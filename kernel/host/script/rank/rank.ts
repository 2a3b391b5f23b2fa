/** A rank of `shardbook run`: one script in a thread of its own, with the process group there already. */
import { createRequire } from 'node:module';
import path from 'node:path';
import vm from 'node:vm';
import { CellModules, captureStreams, type Decoded, decode, lookUp } from '../../session/rank/index.js';
import type { RankLink } from '../../world/index.js';
import type { ScriptFile } from '../transpile.js';

export interface ScriptRequest {
  files: ScriptFile[];
  argv: string[];
}

/** What a script writes, on its way to the terminal and the log files. */
export interface ScriptOutput {
  stream: 'stdout' | 'stderr';
  text: string;
}

export interface ScriptRankSetup {
  link: RankLink;
  /** What `import ... from 'shardbook'` gives. */
  runtime: object;
  beginWork(): void;
  endWork(error?: unknown): void;
  afterInterrupt(): void;
}

export function runScriptRank(setup: ScriptRankSetup): void {
  const { link, beginWork, endWork, afterInterrupt } = setup;
  link.onInterrupt(afterInterrupt);
  // A thread's own streams arrive later than its messages, and what is still in them when it ends is lost.
  captureStreams((stream, text) => link.emit({ stream, text } satisfies ScriptOutput));
  link.serve(async (body) => {
    const { files, argv } = body as ScriptRequest;
    process.argv = [process.argv[0]!, files[0]!.source, ...argv];
    mapStacks(files);
    beginWork();
    try {
      await Promise.race([uncaught(), runFiles(files, setup.runtime).then(eventLoopEmpty)]);
    } catch (error) {
      endWork(error);
      throw error;
    }
    endWork();
  });
}

const POLL_MS = 5;

/** What a thread's event loop always has: its ports to the main thread, which carry its output too. */
const OWN = new Set(['MessagePort', 'Worker']);

/** Resolves when nothing that the script started is under way: a `main()` that nobody awaits is part of the program. */
function eventLoopEmpty(): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      const busy = process.getActiveResourcesInfo().some((kind) => !OWN.has(kind));
      // Unreferenced, so that looking does not count as work.
      if (busy) setTimeout(look, POLL_MS).unref();
      else resolve();
    };
    setTimeout(look, 0).unref();
  });
}

/** Rejects with what the program throws where nobody catches it. */
function uncaught(): Promise<never> {
  return new Promise((_, reject) => {
    process.on('unhandledRejection', reject);
    process.on('uncaughtException', reject);
  });
}

async function runFiles(files: ScriptFile[], runtime: object): Promise<void> {
  const [main, ...others] = files;
  const folder = path.dirname(main!.path);
  const modules = new CellModules(folder, runtime);
  modules.update(others);
  for (const file of others) await modules.load(file.imports, path.dirname(file.path));
  await modules.load(main!.imports);
  // The main file runs in an async function, so that it may await at its top level.
  const wrapped = `(async function (exports, require, module, __filename, __dirname) {\n${main!.code}\n})`;
  const script = new vm.Script(wrapped, { filename: main!.path, lineOffset: -1 });
  const module = { exports: {} };
  const require = Object.assign(modules.requireFrom(), {
    resolve: createRequire(main!.path).resolve,
  });
  await (script.runInThisContext() as (...args: unknown[]) => Promise<void>)(
    module.exports,
    require,
    module,
    main!.source,
    folder,
  );
}

/** From now on stacks of this thread name lines of the sources. */
function mapStacks(files: readonly ScriptFile[]): void {
  // The runtime's own frames stand above the script's.
  Error.stackTraceLimit = 50;
  const maps = new Map<string, { source: string; map: Decoded }>();
  for (const { path: name, source, map } of files) maps.set(name, { source, map: decode(map) });
  Error.prepareStackTrace = (error, sites) => {
    const frames = sites.map((site) => {
      const entry = maps.get(site.getFileName() ?? '');
      const place =
        entry && lookUp(entry.map, (site.getLineNumber() ?? 1) - 1, (site.getColumnNumber() ?? 1) - 1);
      if (!entry || !place) return `    at ${site}`;
      const where = `${entry.source}:${place.line + 1}:${place.column + 1}`;
      const name = site.getFunctionName();
      return name ? `    at ${name} (${where})` : `    at ${where}`;
    });
    return [`${error.name}: ${error.message}`, ...frames].join('\n');
  };
}
