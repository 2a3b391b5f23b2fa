import { availableParallelism } from 'node:os';
import { ShardbookError } from '../../../runtime/index.js';

/** An error for a command that was called in a way it cannot be called. */
export function usageError(command: string, problem: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_USAGE',
    message: `Cannot run "${command}": ${problem}`,
    help: `shardbook ${command.split(' ')[0]} --help tells more`,
  });
}

/** Runs `parse` (node:util's parseArgs) and turns what it refuses into a coded error that says where the usage is. */
export function options<T>(parse: () => T, usage: string): T {
  try {
    return parse();
  } catch (error) {
    const problem = (error as Error).message.split(/\.? To specify|\n/)[0]!.replace(/\.$/, '');
    throw new ShardbookError({
      code: 'SB_USAGE',
      message: `Cannot read the command line: ${problem}`,
      help: `${/shardbook \w+/.exec(usage)?.[0] ?? 'shardbook'} --help tells more`,
    });
  }
}

/** The value of `--jobs`; default one for each core. */
export function jobCount(command: string, given: string | undefined): number {
  const jobs = Number(given ?? availableParallelism());
  if (given !== '' && Number.isInteger(jobs) && jobs >= 1 && jobs <= 256) return jobs;
  throw usageError(command, `--jobs is "${given}", wanted a whole number from 1 to 256`);
}

/** The value of `--seed`. */
export function seedOf(command: string, given: string): number {
  const seed = Number(given);
  if (given !== '' && Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) return seed;
  throw usageError(command, `the seed is "${given}", wanted a whole number from 0 to ${2 ** 32 - 1}`);
}

/** Whether what is written to `stream` may be in colours: on a terminal whose user has not set NO_COLOR. */
export function isColourful(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
}

/** A word of a command line as a shell takes it. */
export function quoted(word: string): string {
  return /^[\w./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command that is told to end does so by an exit: what it started and wrote for the while is put away. */
export function exitOnSignals(): void {
  for (const [signal, number] of [
    ['SIGTERM', 15],
    ['SIGINT', 2],
    ['SIGHUP', 1],
  ] as const)
    process.once(signal, () => process.exit(128 + number));
}
