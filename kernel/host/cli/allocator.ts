/**
 * A process whose C library keeps the memory that it has once got. Node takes the data of tensors from malloc, and glibc by default
 * gives large blocks back to the system at every free: a training step then spends its time on page faults, on the same pages
 * again and again. glibc reads its settings when a process begins, so they need a process of their own.
 */
import { spawn } from 'node:child_process';

/** One arena for all threads, which neither maps large blocks apart nor shrinks; it grows by 64 MiB. */
const SETTINGS: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '1000000000',
  MALLOC_TRIM_THRESHOLD_: '4000000000',
  MALLOC_TOP_PAD_: String(64 * 2 ** 20),
};
/** In the environment of such a process: the names of the settings that are ours. */
const MARK = 'SHARDBOOK_ALLOCATOR';

/**
 * Runs this same command in such a process and resolves to its exit code; undefined where there is none to be had, or where this
 * is it. Signals are passed on, and the process ends with this one, however this one ends.
 */
export async function inKeepingProcess(): Promise<number | undefined> {
  const mark = process.env[MARK];
  if (mark !== undefined) {
    // What the user's code starts gets the environment that the user gave.
    for (const name of [MARK, ...mark.split(',')]) delete process.env[name];
    if (process.channel !== undefined) {
      process.once('disconnect', () => process.exit(1));
      process.channel?.unref();
    }
    return undefined;
  }
  if (process.platform !== 'linux') return undefined;
  const ours = Object.keys(SETTINGS).filter((name) => process.env[name] === undefined);
  const [, ...args] = process.argv;
  const child = spawn(process.execPath, [...process.execArgv, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...SETTINGS, ...process.env, [MARK]: ours.join(',') },
  });
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, pass);
  try {
    return await new Promise<number | undefined>((resolve) => {
      // No process to be had: the command runs in this one.
      child.once('error', () => child.pid === undefined && resolve(undefined));
      child.once('exit', (code, signal) => {
        if (signal === null) return resolve(code ?? 1);
        for (const each of signals) process.off(each, pass);
        process.kill(process.pid, signal);
      });
    });
  } finally {
    for (const signal of signals) process.off(signal, pass);
  }
}
