/**
 * The snapshot that ranks begin with: what a process is once it has loaded the runtime and used it. Made by the grader itself, before
 * anything of a submission is near, once per kit and limit of memory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Kit, PROGRAM } from './kit.js';

const SECONDS = 20;
/** Runs the program under its bare name: traces of a process that begins with its snapshot name no folder of this machine. */
const SCRIPT = `const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const source = readFileSync(process.argv[2], 'utf8');
new Script(\`(function (require) {\${source}\n})\`, { filename: '${PROGRAM}' }).runInThisContext()(require);
`;
const snapshots = new Map<string, Promise<string | undefined>>();
const running = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Flags that the engine wants to be the same for a process and for the snapshot that it begins with. */
export function engineFlags(memoryMb: number): string[] {
  // No eval: what intake refuses to import would be imported from a text.
  return [`--max-old-space-size=${memoryMb}`, '--disallow-code-generation-from-strings'];
}

/**
 * Arguments of Node for a rank with so much memory; `inside` is where it sees the kit. From the script itself where this Node makes no
 * snapshot, or none that a process can begin with.
 */
export async function rankProgram(kit: Kit, memoryMb: number, inside: string): Promise<readonly string[]> {
  const key = `${kit.folder} ${memoryMb}`;
  const snapshot = snapshots.get(key) ?? makeSnapshot(kit, memoryMb);
  snapshots.set(key, snapshot);
  const name = await snapshot;
  return name === undefined ? [`${inside}/dist/${PROGRAM}`] : ['--snapshot-blob', `${inside}/dist/${name}`];
}

/** Its name in the kit. */
async function makeSnapshot(kit: Kit, memoryMb: number): Promise<string | undefined> {
  const dist = join(kit.folder, 'dist');
  const name = `rank-${memoryMb}.blob`;
  const script = join(dist, 'snapshot.cjs');
  writeFileSync(script, SCRIPT);
  const flags = [...engineFlags(memoryMb), '--snapshot-blob', join(dist, name)];
  const made = await outcome([...flags, '--build-snapshot', script, join(dist, PROGRAM)]);
  return made === 0 && (await outcome(flags)) === 'ready' ? name : undefined;
}

/** How a run of Node ends, or that it is ready: a rank says so, and waits for what never comes. */
function outcome(args: readonly string[]): Promise<number | 'ready' | undefined> {
  const child = spawn(process.execPath, args, { env: {}, stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  running.add(child);
  return new Promise((resolve) => {
    const settle = (value: number | 'ready' | undefined): void => {
      clearTimeout(timer);
      running.delete(child);
      child.kill('SIGKILL');
      resolve(value);
    };
    const timer = setTimeout(() => settle(undefined), SECONDS * 1000);
    child.stdio[3]?.once('data', () => settle('ready'));
    child.stdio[3]?.on('error', () => {});
    child.on('error', () => settle(undefined));
    child.on('exit', (code) => settle(code ?? undefined));
  });
}
