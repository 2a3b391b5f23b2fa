/**
 * What a sandboxed process may see of Shardbook: a copy of the programs that are started in it and of the files that these load, and
 * nothing else of the build, which also holds the checks. Copied once per grader process, so that a build in between changes nothing.
 */
import { type ChildProcess, execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import * as shardbook from 'shardbook';
import { RUNTIME_KEY } from '../wire.js';
import { seccompProgram } from './seccomp.js';

export interface Kit {
  /** Holds `dist/` with the runner, `package.json` and `seccomp.bpf`. */
  readonly folder: string;
  readonly packageRoot: string;
  /** Hash of the runtime that submissions are run with. */
  readonly runtime: string;
  readonly seccomp: string | undefined;
}

/** After so long nothing more of a build is written. */
const SETTLED_MS = 500;
const ENTRIES = ['grader-runner.js'];
const PROGRAM = 'grader-rank.cjs';
const SNAPSHOT_SECONDS = 20;
/** Runs the program under its bare name: traces of a process that begins with its snapshot name no folder of this machine. */
const SNAPSHOT_SCRIPT = `const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const source = readFileSync(process.argv[2], 'utf8');
new Script(\`(function (require) {\${source}\n})\`, { filename: '${PROGRAM}' }).runInThisContext()(require);
`;
const IMPORT = /(?:\bfrom\s*|\bimport\s*\(?\s*)["'](\.{1,2}\/[^"']+\.js)["']/g;
const kits = new Map<string, Kit>();

process.on('exit', () => {
  for (const { folder } of kits.values()) rmSync(folder, { recursive: true, force: true });
});

export function makeKit(packageRoot: string): Kit {
  const known = kits.get(packageRoot);
  if (known !== undefined && existsSync(known.folder)) return known;
  const dist = join(realpathSync(packageRoot), 'dist');
  waitForBuild(dist);
  sweep();
  const files = [...closure(dist, ENTRIES), PROGRAM];
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `shardbook-kit-${process.pid}-`)));
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
  writeFileSync(join(folder, 'dist', 'snapshot.cjs'), SNAPSHOT_SCRIPT);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  const program = seccompProgram();
  const seccomp = program === undefined ? undefined : join(folder, 'seccomp.bpf');
  if (program !== undefined) writeFileSync(seccomp!, program);
  // An unprivileged user in the sandbox reads it.
  chmodSync(folder, 0o755);
  const kit: Kit = { folder, packageRoot: realpathSync(packageRoot), runtime: hash.digest('hex'), seccomp };
  kits.set(packageRoot, kit);
  return kit;
}

/** Flags that the engine wants to be the same for a process and for the snapshot that it begins with. */
export function engineFlags(memoryMb: number): string[] {
  // No eval: what intake refuses to import would be imported from a text.
  return [`--max-old-space-size=${memoryMb}`, '--disallow-code-generation-from-strings'];
}

const snapshots = new Map<string, Promise<string | undefined>>();
const building = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of building) child.kill('SIGKILL');
});

/**
 * Arguments of Node for a rank with so much memory; `inside` is where it sees the kit. It begins with a snapshot, made the first time, or
 * from the script itself where this Node makes none.
 */
export async function rankProgram(kit: Kit, memoryMb: number, inside: string): Promise<readonly string[]> {
  const key = `${kit.folder} ${memoryMb}`;
  const snapshot = snapshots.get(key) ?? makeSnapshot(kit, memoryMb);
  snapshots.set(key, snapshot);
  const name = await snapshot;
  return name === undefined ? [`${inside}/dist/${PROGRAM}`] : ['--snapshot-blob', `${inside}/dist/${name}`];
}

/** Its name in the kit; undefined where it could not be made. Nothing of a submission is near. */
async function makeSnapshot(kit: Kit, memoryMb: number): Promise<string | undefined> {
  const name = `rank-${memoryMb}.blob`;
  const dist = join(kit.folder, 'dist');
  const flags = [...engineFlags(memoryMb), '--snapshot-blob', join(dist, name), '--build-snapshot'];
  const scripts = [join(dist, 'snapshot.cjs'), join(dist, PROGRAM)];
  return new Promise((resolve) => {
    const options = { env: {}, timeout: SNAPSHOT_SECONDS * 1000, killSignal: 'SIGKILL' } as const;
    const child = execFile(process.execPath, [...flags, ...scripts], options, (error) => {
      building.delete(child);
      resolve(error === null ? name : undefined);
    });
    building.add(child);
  });
}

/** Copies of graders that were killed. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const [, pid] = /^shardbook-kit-(\d+)-/.exec(name) ?? [];
    if (pid === undefined || isAlive(Number(pid))) continue;
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    } catch {
      // It is another user's, or another grader sweeps it at this moment.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
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
