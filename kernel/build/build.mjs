/**
 * Builds `dist/`. Options: `--no-types` leaves out the declarations, `--no-app` the browser app (both for quick rounds
 * while developing; neither leaves a stamp, so that `npm start` builds the rest), `--skip=NAME` one entry.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { sourceHash, writeStamp } from './stamp.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const dist = join(root, 'dist');
const flags = new Set(process.argv.slice(2));
const hash = sourceHash(root);

/** Name in dist/ -> source. Flat, so that a thread finds its entry beside the file that starts it. */
const ENTRIES = {
  index: 'kernel/runtime/index.ts',
  cli: 'kernel/host/cli/cli.ts',
  'rank-worker': 'kernel/host/cli/entries/rank-worker.ts',
  'compiler-worker': 'kernel/host/cli/entries/compiler-worker.ts',
  'conform-worker': 'kernel/host/cli/entries/conform-worker.ts',
  'run-worker': 'kernel/host/cli/entries/run-worker.ts',
  'grader-runner': 'kernel/host/cli/entries/grader-runner.ts',
  bench: 'kernel/bench/bench.ts',
  'bench-rank': 'kernel/bench/bench-rank.ts',
};

async function buildEntries() {
  const entryPoints = Object.fromEntries(
    Object.entries(ENTRIES).filter(
      ([name, source]) => !flags.has(`--skip=${name}`) && existsSync(join(root, source)),
    ),
  );
  const result = await build({
    absWorkingDir: root,
    entryPoints,
    outdir: dist,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    alias: { shardbook: join(root, 'kernel/runtime/index.ts') },
    sourcemap: true,
    sourcesContent: false,
    chunkNames: 'chunks/[name]-[hash]',
    // Names of classes and functions are shown to learners (modules print theirs, errors name operations).
    keepNames: true,
    metafile: true,
    logLevel: 'warning',
  });
  pruneChunks(new Set(Object.keys(result.metafile.outputs)));
}

/** The program of a submission's rank: one script, with no chunk beside it. */
async function buildRankProgram() {
  await build({
    absWorkingDir: root,
    entryPoints: { 'grader-rank': 'kernel/host/cli/entries/grader-rank.ts' },
    outdir: dist,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    // A snapshot is made of a script that has `require` and nothing else of a module.
    format: 'iife',
    platform: 'node',
    target: 'node20',
    keepNames: true,
    logLevel: 'warning',
  });
}

/** Chunks of earlier builds go, but not under a process that may still be loading them. */
function pruneChunks(current) {
  const folder = join(dist, 'chunks');
  if (!existsSync(folder)) return;
  const old = Date.now() - 10 * 60_000;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (!current.has(`dist/chunks/${name}`) && statSync(path).mtimeMs < old) rmSync(path);
  }
}

/** Declarations of what is published, and of what cells see. */
async function buildTypes() {
  const { default: ts } = await import('typescript');
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const sources = ['kernel/runtime/index.ts', 'kernel/preload.ts', 'grader/authoring.ts'].map((file) =>
    join(root, file),
  );
  const program = ts.createProgram(
    sources.filter((file) => existsSync(file)),
    { ...options, incremental: false, tsBuildInfoFile: undefined, emitDeclarationOnly: true, noEmit: false },
  );
  program.emit();
}

mkdirSync(dist, { recursive: true });
const started = Date.now();
const kernels = join(root, 'kernel/build/build-wasm.mjs');
if (existsSync(kernels)) await (await import('./build-wasm.mjs')).buildWasm(root);
await (await import('./build-reduce.mjs')).buildReduce(root);
await buildEntries();
await buildRankProgram();
if (!flags.has('--no-types')) await buildTypes();
const app = join(root, 'kernel/build/build-app.mjs');
if (!flags.has('--no-app') && existsSync(app)) {
  await (await import('./build-app.mjs')).buildApp({ outdir: join(dist, 'app'), minify: true });
}
if (flags.size === 0) writeStamp(root, hash);
process.stderr.write(`shardbook: built in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
