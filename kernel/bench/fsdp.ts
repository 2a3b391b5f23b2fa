/**
 * The first exercise on 4 ranks, 10 steps of FSDP2, beside PyTorch on gloo: whole runs from the command line, start-up included.
 * Both take turns, because the machine may have other work; ratios are of neighbouring runs.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../host/world/index.js';
import { median, round } from './stats.js';
import { TORCH_ABSENT, torchScript } from './torch-peer.js';

const [RANKS, STEPS, ROUNDS] = [4, 10, 2];

interface Run {
  secondsPerStep: number;
  losses: number[];
}
interface Timed extends Run {
  totalSeconds: number;
}

function timed(run: () => unknown): Timed | undefined {
  const started = performance.now();
  const result = run() as Run | undefined;
  return result && { ...result, totalSeconds: (performance.now() - started) / 1000 };
}

function script(...args: string[]): unknown {
  const root = packageRoot();
  const command = [join(root, 'dist', 'cli.js'), 'run', '--nproc', String(RANKS)];
  const path = join(root, 'lessons', 'scripts', 'train-transformer.ts');
  const { status, stdout, stderr } = spawnSync(process.execPath, [...command, path, '--', ...args], {
    encoding: 'utf8',
    timeout: 900_000,
  });
  if (status !== 0) throw new Error(`the script failed: ${stderr || stdout}`);
  return JSON.parse(stdout.slice(stdout.indexOf('{'), stdout.lastIndexOf('}') + 1));
}

export async function benchFsdp(): Promise<Record<string, unknown>> {
  const ours: Timed[] = [];
  const theirs: Timed[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    ours.push(timed(() => script(String(STEPS), 'json'))!);
    const torch = timed(() => torchScript('torch_fsdp.py', String(RANKS), String(STEPS)));
    if (torch) theirs.push(torch);
  }
  const least = (runs: readonly Timed[], name: 'secondsPerStep' | 'totalSeconds') =>
    Math.min(...runs.map((run) => run[name]));
  const figures = (runs: readonly Timed[]) => ({
    secondsPerStep: round(least(runs, 'secondsPerStep')),
    totalSeconds: round(least(runs, 'totalSeconds')),
  });
  const result: Record<string, unknown> = {
    ranks: RANKS,
    steps: STEPS,
    ours: figures(ours),
    peakMemory: script('2', 'memory'),
  };
  if (theirs.length === 0) return { ...result, torch: TORCH_ABSENT };
  const ratios = (name: 'secondsPerStep' | 'totalSeconds') =>
    median(theirs.map((run, i) => ours[i]![name] / run[name]));
  return {
    ...result,
    torch: figures(theirs),
    // Medians of the rounds' ratios.
    secondsPerStepOfTorch: round(ratios('secondsPerStep')),
    totalSecondsOfTorch: round(ratios('totalSeconds')),
    largestLossDifference: round(
      Math.max(...ours[0]!.losses.map((loss, i) => Math.abs(loss - theirs[0]!.losses[i]!))),
    ),
  };
}
