/** Finds out by trying whether the sandbox works here, and what would mend it. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ShardbookError } from 'shardbook';
import { Cage, findProgram, type Launch, type Recipe } from './cage.js';
import { startDeadline } from './deadline.js';
import { type Kit, makeKit } from './kit.js';

export interface SandboxState {
  readonly recipe: Recipe | undefined;
  /** Why there is none. */
  readonly reason?: string;
  /** The command that mends it. */
  readonly mend?: string;
  /** What is left out, and why. */
  readonly without: readonly string[];
}

const INSTALL = 'apt-get install bubblewrap';
const IMAGE = 'use the container image (grader/ci/Dockerfile)';
let known: Promise<SandboxState> | undefined;

/** Tried once per process. */
export function sandboxState(packageRoot: string): Promise<SandboxState> {
  known ??= detect(makeKit(packageRoot));
  return known;
}

/** The recipe, or `SB_SANDBOX_MISSING` with the command that mends it. */
export async function requireSandbox(packageRoot: string): Promise<Recipe> {
  const { recipe, reason, mend } = await sandboxState(packageRoot);
  if (recipe !== undefined) return recipe;
  throw new ShardbookError({
    code: 'SB_SANDBOX_MISSING',
    message: `Cannot grade an untrusted submission: ${reason}`,
    notes: [
      'Without a sandbox a submission could use the network, read files of this user and signal its processes',
    ],
    help: mend ?? IMAGE,
  });
}

async function detect(kit: Kit): Promise<SandboxState> {
  if (process.platform !== 'linux') {
    return {
      recipe: undefined,
      reason: `there is a sandbox for Linux only, this is ${process.platform}; here grading is in trusted mode`,
      mend: IMAGE,
      without: [],
    };
  }
  const bwrap = process.env['SHARDBOOK_BWRAP'] ?? findProgram('bwrap');
  const prlimit = findProgram('prlimit');
  if (bwrap === undefined || !existsSync(bwrap))
    return { recipe: undefined, reason: 'bubblewrap is not installed', mend: INSTALL, without: [] };
  if (prlimit === undefined)
    return {
      recipe: undefined,
      reason: 'prlimit is not installed',
      mend: 'apt-get install util-linux',
      without: [],
    };
  const isRoot = process.getuid?.() === 0;
  const setpriv = isRoot ? findProgram('setpriv') : undefined;
  let refusal = '';
  for (const seccomp of kit.seccomp === undefined ? [false] : [true, false]) {
    for (const user of setpriv === undefined ? [undefined] : [setpriv, undefined]) {
      const recipe: Recipe = { bwrap, prlimit, setpriv: user, seccomp };
      const failure = await attempt(kit, recipe);
      if (failure === undefined) {
        const without = [
          ...(seccomp
            ? []
            : [`seccomp: ${kit.seccomp === undefined ? `no filter for ${process.arch}` : refusal}`]),
          ...(isRoot && user === undefined
            ? [`another user than root outside: ${refusal || 'setpriv is not installed'}`]
            : []),
        ];
        return { recipe, without };
      }
      refusal ||= failure;
    }
  }
  return { recipe: undefined, reason: `bubblewrap does not work: ${refusal}`, mend: mendFor(), without: [] };
}

async function attempt(kit: Kit, recipe: Recipe): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'shardbook-try-'));
  const cage = new Cage(kit, folder, recipe, { memoryMb: 256, ranks: 1 });
  try {
    const { output, errors } = await runCaged(cage, {
      args: ['-e', "process.stdout.write('alive')"],
      folder,
      memoryMb: 256,
      bare: true,
    });
    return output === 'alive'
      ? undefined
      : (errors.trim().split('\n')[0] ?? '').slice(0, 200) || 'it did not start';
  } finally {
    await cage.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface CagedOutput {
  readonly output: string;
  readonly errors: string;
  readonly code: number | null;
  readonly signal: string | undefined;
  readonly timedOut: boolean;
}

/** Runs a process in the cage to its end, or to the end of its time; keeps the first megabyte that it prints. */
export function runCaged(cage: Cage, launch: Launch, seconds = 20): Promise<CagedOutput> {
  return new Promise((resolve) => {
    const caged = cage.spawn(launch);
    let output = '';
    let errors = '';
    let timedOut = false;
    const most = 2 ** 20;
    const cancel = startDeadline(
      seconds,
      () => caged.waitedMs(),
      () => {
        timedOut = true;
        caged.kill();
      },
    );
    const watch = setInterval(() => {
      if ((caged.megabytes() ?? 0) > launch.memoryMb + 256) caged.kill();
    }, 100);
    const end = (code: number | null, signal: NodeJS.Signals | null): void => {
      cancel();
      clearInterval(watch);
      resolve({ output, errors, code, signal: caged.signal(code, signal), timedOut });
    };
    caged.child.stdout?.on('data', (chunk: Buffer) => {
      if (output.length < most) output += chunk.toString('utf8');
      else caged.kill();
    });
    caged.child.stderr?.on('data', (chunk: Buffer) => {
      if (errors.length < most) errors += chunk.toString('utf8');
      else caged.kill();
    });
    caged.child.on('error', (error) => {
      errors += error.message;
      end(null, null);
    });
    caged.child.on('close', end);
  });
}

/** Milliseconds that an empty run of Node takes, in the sandbox or as a bare process, with what is made and removed around it. */
export async function benchCage(packageRoot: string, folder: string, sandboxed: boolean): Promise<number> {
  const recipe = sandboxed ? await requireSandbox(packageRoot) : undefined;
  const started = performance.now();
  const cage = new Cage(makeKit(packageRoot), folder, recipe, { memoryMb: 256, ranks: 1 });
  const { code } = await runCaged(cage, { args: ['-e', '0'], folder, memoryMb: 256, bare: !sandboxed });
  await cage.close();
  if (code !== 0) throw new Error(`an empty run ended with ${code}`);
  return performance.now() - started;
}

/** What most often stands in the way of user namespaces. */
function mendFor(): string {
  const says = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8').trim() : '');
  if (says('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1')
    return 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0';
  if (says('/proc/sys/kernel/unprivileged_userns_clone') === '0')
    return 'sysctl -w kernel.unprivileged_userns_clone=1';
  if (says('/proc/sys/user/max_user_namespaces') === '0') return 'sysctl -w user.max_user_namespaces=10000';
  return existsSync('/.dockerenv')
    ? 'start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined'
    : IMAGE;
}
