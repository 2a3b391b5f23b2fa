/** `shardbook kernel`: Jupyter kernelspec and kernel process. */
import { realpathSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { nearestName, ShardbookError } from '../../../runtime/index.js';
import { installSpec, runKernel, type SpecPlace, uninstallSpec } from '../../protocol/index.js';
import type { CheckLevel } from '../../session/index.js';
import { checkWorldSize } from '../../world/index.js';
import type { Command } from '../command.js';
import { packageRoot } from '../paths.js';
import { packageVersion } from '../version.js';

const ACTIONS = ['install', 'uninstall', 'run'];
const LEVELS: readonly string[] = ['errors', 'warnings', 'off'];

export const command: Command = {
  name: 'kernel',
  summary: 'make Shardbook known to Jupyter, or run as its kernel',
  usage: `usage: shardbook kernel install   [--user | --prefix DIR | --sys-prefix] [--name NAME] [--world N]
       shardbook kernel uninstall [--user | --prefix DIR | --sys-prefix] [--name NAME]
       shardbook kernel run --connection-file FILE [--world N] [--check errors|warnings|off]

install    writes a kernelspec, so that Jupyter offers "TypeScript (Shardbook)"
uninstall  removes it
run        is what Jupyter starts; you do not need it by hand

options
  --user        for this user (the default)
  --prefix DIR  below DIR/share/jupyter
  --sys-prefix  below the prefix of the python3 in use (virtual environments)
  --name NAME   name of the kernelspec (default shardbook)
  --world N     number of ranks (default 4)
  --check WHAT  what type errors do: stop the cell (errors), warn, or nothing (off)`,
  async run(args) {
    const [action, ...rest] = args;
    if (action === undefined || !ACTIONS.includes(action)) {
      const near = action === undefined ? undefined : nearestName(action, ACTIONS);
      throw new ShardbookError({
        code: 'SB_USAGE',
        message: `Cannot run "shardbook kernel${action === undefined ? '' : ` ${action}`}": wanted install, uninstall or run`,
        help: near ? `did you mean "shardbook kernel ${near}"?` : 'shardbook kernel --help tells more',
      });
    }
    const values = parse(rest);
    const world = values.world === undefined ? undefined : worldSize(values.world);
    if (action === 'run') {
      await run(values['connection-file'], world, values.check);
      return 0;
    }
    const name = values.name ?? 'shardbook';
    if (action === 'uninstall') {
      process.stdout.write(`Removed ${uninstallSpec(place(values), name)}\n`);
      return 0;
    }
    const cli = path.join(realpathSync(packageRoot()), 'dist/cli.js');
    const folder = installSpec({
      place: place(values),
      name,
      cli,
      ...(world === undefined ? {} : { world }),
    });
    process.stdout.write(`Installed ${folder}\nJupyter now offers "TypeScript (Shardbook)".\n`);
    return 0;
  },
};

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        user: { type: 'boolean' },
        prefix: { type: 'string' },
        'sys-prefix': { type: 'boolean' },
        name: { type: 'string' },
        world: { type: 'string' },
        check: { type: 'string' },
        'connection-file': { type: 'string', short: 'f' },
      },
    }).values;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('.')[0] : String(cause);
    throw new ShardbookError({
      code: 'SB_USAGE',
      message: `Cannot read the options: ${why}`,
      help: 'shardbook kernel --help lists them',
      cause,
    });
  }
}

function place(values: ReturnType<typeof parse>): SpecPlace {
  const given = [
    values.user && 'user',
    values.prefix !== undefined && 'prefix',
    values['sys-prefix'] && 'sys-prefix',
  ].filter(Boolean);
  if (given.length > 1) {
    throw new ShardbookError({
      code: 'SB_USAGE',
      message: `Cannot use --${given.join(' and --')} together: wanted one place`,
    });
  }
  if (values.prefix !== undefined) return { kind: 'prefix', folder: values.prefix };
  return values['sys-prefix'] ? { kind: 'sys-prefix' } : { kind: 'user' };
}

function worldSize(text: string): number {
  if (!/^\d+$/.test(text)) {
    throw new ShardbookError({
      code: 'SB_USAGE',
      message: `Cannot use --world "${text}": a whole number from 1 to 64 is wanted`,
    });
  }
  checkWorldSize(Number(text));
  return Number(text);
}

async function run(
  connectionFile: string | undefined,
  world: number | undefined,
  check: string | undefined,
): Promise<void> {
  if (connectionFile === undefined) {
    throw new ShardbookError({
      code: 'SB_USAGE',
      message: 'Cannot run the kernel: no --connection-file was given',
      help: 'Jupyter passes it; "shardbook kernel install" makes the kernel known to Jupyter',
    });
  }
  if (check !== undefined && !LEVELS.includes(check)) {
    throw new ShardbookError({
      code: 'SB_USAGE',
      message: `Cannot use check level "${check}": wanted ${LEVELS.join(', ')}`,
    });
  }
  await runKernel({
    connectionFile,
    version: packageVersion(),
    ...(world === undefined ? {} : { world }),
    ...(check === undefined ? {} : { checkLevel: check as CheckLevel }),
  });
}
