/** Runs a lesson's twins on real PyTorch: one Python process per rank, over gloo, all twins in order in one namespace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CodeCell, codeCells, type Lesson, type Twin } from '../types.js';
import { compareTwin } from './compare.js';
import { PROGRAM } from './program.js';

/** The version that lessons are compared with. */
const TORCH_VERSION = '2.13';
export const TORCH_PYTHON_VARIABLE = 'SHARDBOOK_TORCH_PYTHON';
const LESSON_SECONDS = 180;

export interface TwinCheck {
  readonly cell: CodeCell;
  readonly twin: Twin;
  readonly problem?: { readonly message: string; readonly diff: readonly string[] };
}

interface TwinRun {
  readonly prints: readonly string[];
  readonly error?: string;
}

/** The Python to use and its torch, or why there is none. */
export async function findTorch(python: string): Promise<{ version: string } | { problem: string }> {
  const { code, stdout } = await output(spawn(python, ['-c', 'import torch; print(torch.__version__)']));
  if (code !== 0)
    return { problem: `"${python}" has no PyTorch; set ${TORCH_PYTHON_VARIABLE} to a Python that has` };
  const version = stdout.trim();
  if (version.startsWith(`${TORCH_VERSION}.`)) return { version };
  return { problem: `"${python}" has PyTorch ${version}, wanted ${TORCH_VERSION}` };
}

/** Every twin of a lesson against the output that its cell states. */
export async function checkTwins(lesson: Lesson, python: string): Promise<TwinCheck[]> {
  const cells = codeCells(lesson).filter(
    (cell): cell is CodeCell & { twin: Twin } => cell.twin !== undefined,
  );
  if (cells.length === 0) return [];
  const { runs, problem } = await runTwins(lesson, cells, python);
  return cells.map((cell, index) => {
    const { twin } = cell;
    const ranks = runs.map((run) => run[index]);
    const failed = ranks.findIndex((run) => run?.error !== undefined);
    const check = (message: string, diff: readonly string[]): TwinCheck => ({
      cell,
      twin,
      problem: { message, diff },
    });
    if (failed >= 0)
      return check(
        `the twin failed on rank ${failed}`,
        ranks[failed]!.error!.trimEnd()
          .split('\n')
          .map((l) => `+ ${l}`),
      );
    if (ranks.some((run) => run === undefined)) return check(problem ?? 'the twin did not run', []);
    const diff = compareTwin(
      twin,
      cell.output?.text ?? '',
      ranks.map((run) => run!.prints),
    );
    return diff === undefined ? { cell, twin } : check('PyTorch says otherwise', diff);
  });
}

async function runTwins(
  lesson: Lesson,
  cells: readonly (CodeCell & { twin: Twin })[],
  python: string,
): Promise<{ runs: TwinRun[][]; problem?: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'shardbook-twins-'));
  const children: ChildProcess[] = [];
  try {
    writeFileSync(join(folder, 'program.py'), PROGRAM);
    const twins = cells.map(({ twin }) => ({ source: twin.source, name: `${lesson.file}:${twin.line}` }));
    writeFileSync(join(folder, 'twins.json'), JSON.stringify(twins));
    const ends = Array.from({ length: lesson.world }, (_, rank) => {
      const child = spawn(python, [join(folder, 'program.py'), folder], {
        cwd: folder,
        env: {
          ...process.env,
          RANK: `${rank}`,
          LOCAL_RANK: `${rank}`,
          WORLD_SIZE: `${lesson.world}`,
          LOCAL_WORLD_SIZE: `${lesson.world}`,
          OMP_NUM_THREADS: '1',
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      children.push(child);
      return output(child);
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      for (const child of children) child.kill('SIGKILL');
    }, LESSON_SECONDS * 1000);
    const all = await Promise.all(ends);
    clearTimeout(timer);
    const runs = all.map((_, rank) => readRuns(join(folder, `rank-${rank}.jsonl`)));
    const broken = all.find(({ code }) => code !== 0);
    const problem = late
      ? `the twins did not end within ${LESSON_SECONDS} s`
      : broken && `the program failed: ${broken.stderr.trim().split('\n').at(-1) ?? ''}`;
    return { runs, ...(problem === undefined ? {} : { problem }) };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

function readRuns(file: string): TwinRun[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as TwinRun);
}

function output(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (data: Buffer) => {
      stdout += data.toString();
    });
    child.stderr?.on('data', (data: Buffer) => {
      stderr = (stderr + data.toString()).slice(-10_000);
    });
    child.on('error', () => resolve({ code: null, stdout, stderr }));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}
