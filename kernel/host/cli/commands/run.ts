/** `shardbook run`: a script on N ranks, as torchrun does for PyTorch. */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { ShardbookError } from '../../../runtime/base/index.js';
import { type LaunchPlan, launch, type StreamChoice, transpileScript } from '../../script/index.js';
import { DEFAULT_WORLD_SIZE } from '../../session/index.js';
import { checkWorldSize } from '../../world/index.js';
import type { Command } from '../command.js';

const usage = `usage: shardbook run [OPTION...] SCRIPT [OPTION...] [ARG...]

Runs a TypeScript or JavaScript file on N ranks (default ${DEFAULT_WORLD_SIZE}). The file imports what it needs from 'shardbook'; the
process group is there already, and the environment has what torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
TORCHELASTIC_RESTART_COUNT and the rest. What a rank prints is marked with its number. Options may stand on both sides of
SCRIPT; what is not an option here, and everything after --, goes to the script.

  --nproc N            ranks of each node (also --nproc-per-node), 1 to 64 in all
  --nnodes M           simulated nodes: LOCAL_RANK and GROUP_RANK count on M nodes of N ranks (default 1)
  --max-restarts K     run the script again, on fresh ranks, up to K times after a failure (default 0)
  --log-dir DIR        write each rank's output to DIR/attempt_K/RANK/stdout.log and stderr.log, and error.json if it fails
  --redirects S        with --log-dir: what goes to the files only; 0 nothing, 1 stdout, 2 stderr, 3 both, or per rank 0:3,1:1
  --tee S              with --log-dir: what goes to the files and here (default 3)
  --local-ranks-filter R,R   show the output of these local ranks only
  --rdzv-id ID         TORCHELASTIC_RUN_ID (default "none")
  --role NAME          ROLE_NAME (default "default")
  --master-addr A, --master-port P   MASTER_ADDR and MASTER_PORT (default localhost and 29500)
  --standalone         accepted: there is one machine

Exit code 0 when every rank finished, else that of the rank that failed first (1 for an error); its cause is printed.`;

const VALUED = [
  'nproc',
  'nproc-per-node',
  'nnodes',
  'max-restarts',
  'log-dir',
  'redirects',
  'tee',
  'local-ranks-filter',
  'rdzv-id',
  'role',
  'master-addr',
  'master-port',
] as const;
const FLAGS = ['standalone'] as const;
/** Short and older spellings. */
const ALIASES: Record<string, string> = { '-r': '--redirects', '-t': '--tee', '-n': '--nproc' };

type Values = Partial<Record<(typeof VALUED)[number], string>>;

/** Our options on both sides of the script; the rest of what follows it is the script's. */
function split(args: readonly string[]): { values: Values; script: string | undefined; argv: string[] } {
  const values: Values = {};
  const argv: string[] = [];
  let script: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = ALIASES[args[i]!] ?? args[i]!;
    if (arg === '--') {
      const rest = args.slice(i + 1);
      if (script === undefined) script = rest.shift();
      argv.push(...rest);
      break;
    }
    const [, written, , attached] = /^--([a-z][a-z_-]*)(=([\s\S]*))?$/.exec(arg) ?? [];
    const name = written?.replaceAll('_', '-');
    if (name !== undefined && (FLAGS as readonly string[]).includes(name) && attached === undefined) continue;
    if (name !== undefined && (VALUED as readonly string[]).includes(name)) {
      const value = attached ?? args[++i];
      if (value === undefined) throw usageError(`Cannot use --${name} without a value`);
      values[name as (typeof VALUED)[number]] = value;
    } else if (script === undefined) {
      if (arg.startsWith('-'))
        throw usageError(`Cannot use option "${arg}" before the script: there is none of that name`);
      script = arg;
    } else {
      argv.push(args[i]!);
    }
  }
  return { values, script, argv };
}

function parse(args: readonly string[]): LaunchPlan {
  const { values, script, argv } = split(args);
  if (script === undefined) {
    throw usageError(
      'Cannot run nothing: the path of a script is wanted',
      'shardbook run script.ts --nproc 4',
    );
  }
  const perNode = wholeNumber(
    values.nproc ?? values['nproc-per-node'] ?? String(DEFAULT_WORLD_SIZE),
    '--nproc',
    1,
  );
  const nodes = wholeNumber(values.nnodes ?? '1', '--nnodes', 1);
  checkWorldSize(nodes * perNode);
  const folder = values['log-dir'];
  if (folder === undefined && (values.redirects !== undefined || values.tee !== undefined)) {
    throw usageError('Cannot write logs: --redirects and --tee want a folder', 'give --log-dir DIR');
  }
  const redirects = streams(values.redirects ?? '0', '--redirects');
  const tee = streams(values.tee ?? (folder === undefined ? '0' : '3'), '--tee');
  const shown = values['local-ranks-filter'];
  const plan = {
    argv,
    nodes,
    perNode,
    maxRestarts: wholeNumber(values['max-restarts'] ?? '0', '--max-restarts', 0),
    runId: values['rdzv-id'] ?? 'none',
    role: values.role ?? 'default',
    masterAddr: values['master-addr'] ?? 'localhost',
    masterPort: wholeNumber(values['master-port'] ?? '29500', '--master-port', 0),
    logs: {
      folder: folder === undefined ? undefined : resolve(folder),
      redirects,
      tee,
      shown:
        shown === undefined
          ? undefined
          : new Set(shown.split(',').map((rank) => wholeNumber(rank, '--local-ranks-filter', 0))),
    },
  };
  const file = resolve(script);
  if (!existsSync(file) || !statSync(file).isFile()) {
    throw new ShardbookError({
      code: 'SB_NO_SCRIPT',
      message: `Cannot run "${script}": there is no such file`,
      help: 'give the path of a .ts or .js file',
    });
  }
  return { ...plan, files: transpileScript(file) };
}

function wholeNumber(text: string, option: string, least: number): number {
  if (/^\d+$/.test(text) && Number(text) >= least) return Number(text);
  throw usageError(`Cannot use ${option} "${text}": a whole number from ${least} is wanted`);
}

/** `3`, or `0:3,1:1` for some local ranks. */
function streams(text: string, option: string): StreamChoice {
  const problem = () => usageError(`Cannot use ${option} "${text}": wanted 0 to 3, or RANK:0-3 with commas`);
  if (/^[0-3]$/.test(text)) return { all: Number(text), ranks: new Map() };
  const ranks = new Map<number, number>();
  for (const part of text.split(',')) {
    const [, rank, choice] = /^(\d+):([0-3])$/.exec(part) ?? [];
    if (rank === undefined || choice === undefined) throw problem();
    ranks.set(Number(rank), Number(choice));
  }
  return { all: 0, ranks };
}

function usageError(message: string, help = 'shardbook run --help tells more'): ShardbookError {
  return new ShardbookError({ code: 'SB_RUN_USAGE', message, help });
}

export const command: Command = {
  name: 'run',
  summary: 'run a script on N ranks',
  usage,
  run: async (args) => launch(parse(args)),
};
