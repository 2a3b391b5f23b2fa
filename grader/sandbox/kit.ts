/**
 * What a sandboxed process may see of Shardbook: a copy of the programs that are started in it and of the files that these load, and
 * nothing else of the build, which also holds the checks. Copied once per grader process, so that a build in between changes nothing.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import * as shardbook from 'shardbook';
import { temporaryFolder } from '../temporary.js';
import { RUNTIME_KEY } from '../wire.js';
import { seccompProgram } from './seccomp.js';

export interface Kit {
  /** Holds `dist/` with the runner, `package.json` and `seccomp.bpf`. */
  readonly folder: string;
  /** Hash of the runtime that submissions are run with. */
  readonly runtime: string;
  readonly seccomp: string | undefined;
}

/** After so long nothing more of a build is written. */
const SETTLED_MS = 500;
const ENTRIES = ['grader-runner.js'];
/** The program of a rank. */
export const PROGRAM = 'grader-rank.cjs';
const IMPORT = /(?:\bfrom\s*|\bimport\s*\(?\s*)["'](\.{1,2}\/[^"']+\.js)["']/g;
const kits = new Map<string, Kit>();

export function makeKit(packageRoot: string): Kit {
  const known = kits.get(packageRoot);
  if (known !== undefined && existsSync(known.folder)) return known;
  const dist = join(realpathSync(packageRoot), 'dist');
  waitForBuild(dist);
  const files = [...closure(dist, ENTRIES), PROGRAM];
  const folder = temporaryFolder('kit');
  const hash = createHash('sha256');
  for (const file of files) {
    const target = join(folder, 'dist', file);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(dist, file), target);
    if (!file.startsWith('chunks/')) hash.update(file);
    hash.update(readFileSync(target));
  }
  // What a submission imports: of the same script as its rank, or it would have another Tensor.
  const names = Object.keys(shardbook).join(', ');
  const given = `export const { ${names} } = globalThis[${JSON.stringify(RUNTIME_KEY)}];\n`;
  writeFileSync(join(folder, 'dist', 'index.js'), given);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  const program = seccompProgram();
  const seccomp = program === undefined ? undefined : join(folder, 'seccomp.bpf');
  if (program !== undefined) writeFileSync(seccomp!, program);
  // An unprivileged user in the sandbox reads it.
  chmodSync(folder, 0o755);
  const kit: Kit = { folder, runtime: hash.digest('hex'), seccomp };
  kits.set(packageRoot, kit);
  return kit;
}

/** A build that is being written would give the runner another runtime than the submission: two kinds of Tensor. */
function waitForBuild(dist: string): void {
  const age = (): number =>
    Math.min(
      ...ENTRIES.map((entry) => join(dist, entry)).map((file) =>
        existsSync(file) ? Date.now() - statSync(file).mtimeMs : Number.POSITIVE_INFINITY,
      ),
    );
  for (let i = 0; i < 20 && age() < SETTLED_MS; i++)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
}

/** The entries and all that they load, relative to `dist`. */
export function closure(dist: string, entries: readonly string[]): string[] {
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    if (!existsSync(join(dist, file))) {
      throw new shardbook.ShardbookError({
        code: 'SB_BUILD_MISSING',
        message: `Cannot grade: "dist/${file}" is not there`,
        help: 'npm run build',
      });
    }
    seen.add(file);
    for (const [, target] of readFileSync(join(dist, file), 'utf8').matchAll(IMPORT)) {
      visit(relative(dist, join(dist, dirname(file), target!)));
    }
  };
  for (const entry of entries) visit(entry);
  return [...seen].sort();
}
