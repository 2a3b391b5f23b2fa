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
    const problem = (error as Error).message.split('. To specify')[0]!.replace(/\.$/, '');
    throw new ShardbookError({
      code: 'SB_USAGE',
      message: `Cannot read the command line: ${problem}`,
      help: `${/shardbook \w+/.exec(usage)?.[0] ?? 'shardbook'} --help tells more`,
    });
  }
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
