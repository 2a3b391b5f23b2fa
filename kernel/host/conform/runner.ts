import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Executor } from './executor.js';
import { type ProgramSource, splitFile } from './format.js';
import type { ProgramResult } from './report.js';

export interface ConformOptions {
  /** How many worlds work at once; by default as many as there are cores. */
  jobs?: number | undefined;
  /** Only programs whose `suite/name` holds this text. */
  filter?: string | undefined;
  /** How long one program may take. */
  timeoutMs?: number | undefined;
  /** Called as programs end, in the order in which they do. */
  onResult?: ((result: ProgramResult) => void) | undefined;
}

const TIMEOUT_MS = 90_000;

/** Reads program files; each program becomes one entry. */
export function readPrograms(files: readonly string[], filter?: string): ProgramSource[] {
  const all = files.flatMap((file) => splitFile(readFileSync(file, 'utf8'), file));
  return filter === undefined ? all : all.filter(({ suite, name }) => `${suite}/${name}`.includes(filter));
}

/** Runs every program of the files and returns the results in the order of the files. */
export async function conformFiles(
  files: readonly string[],
  options: ConformOptions = {},
): Promise<ProgramResult[]> {
  const programs = readPrograms(files, options.filter);
  const results = new Map<ProgramSource, ProgramResult>();
  const queue = new Queue(programs);
  const jobs = Math.max(1, Math.min(options.jobs ?? availableParallelism(), programs.length));
  await Promise.all(
    Array.from({ length: jobs }, () =>
      work(queue, options.timeoutMs ?? TIMEOUT_MS, (source, result) => {
        results.set(source, result);
        options.onResult?.(result);
      }),
    ),
  );
  return programs.map((program) => results.get(program)!);
}

/** Programs by world size: a worker stays with a size as long as there are programs of it, to keep its world. */
class Queue {
  private readonly bySize = new Map<number, ProgramSource[]>();

  constructor(programs: readonly ProgramSource[]) {
    // The largest worlds first, so that the end of the run is made of small ones.
    for (const program of [...programs].sort((a, b) => a.world - b.world)) {
      const list = this.bySize.get(program.world) ?? [];
      if (list.length === 0) this.bySize.set(program.world, list);
      list.push(program);
    }
    for (const list of this.bySize.values()) list.reverse();
  }

  next(size: number | undefined): ProgramSource | undefined {
    const same = size === undefined ? undefined : this.bySize.get(size)?.pop();
    if (same) return same;
    const sizes = [...this.bySize].filter(([, list]) => list.length > 0).map(([s]) => s);
    return sizes.length === 0 ? undefined : this.bySize.get(Math.max(...sizes))!.pop();
  }
}

async function work(
  queue: Queue,
  timeoutMs: number,
  done: (source: ProgramSource, result: ProgramResult) => void,
): Promise<void> {
  let executor: Executor | undefined;
  try {
    for (;;) {
      const program = queue.next(executor?.size);
      if (!program) return;
      if (executor?.size !== program.world) {
        await executor?.stop();
        executor = new Executor(program.world, timeoutMs);
      }
      done(program, await executor.run(program));
    }
  } finally {
    await executor?.stop();
  }
}
