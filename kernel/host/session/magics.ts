/** Commands at the top of a cell: `%name arguments` on lines of their own, `%%name` for the whole cell. */
import { nearestName, ShardbookError } from '../../runtime/index.js';
import type { CheckLevel } from './types.js';

export type Magic =
  | { name: 'world'; size: number; cluster: ClusterWish }
  | { name: 'check'; level: CheckLevel | undefined }
  | { name: 'restart'; rank: number | undefined }
  | { name: 'who' }
  | { name: 'reset' }
  | { name: 'help' };

/** The machine that virtual times are of, in parts by name. */
export interface ClusterWish {
  nodes?: number;
  device?: string;
  /** Link inside a node. */
  link?: string;
  /** Link between nodes. */
  across?: string;
}

/** What can watch a cell: its communication, its memory. */
export type Instrument = 'trace' | 'ledger';

export interface CellPlan {
  /** To obey before the code, in order. */
  magics: Magic[];
  /** `%%rank`: only these run the cell. */
  ranks: number[] | undefined;
  /** `%%time`. */
  time: boolean;
  /** `%trace`, `%ledger`: what watches this cell and is shown after it. */
  instruments: Instrument[];
  /** The code with commands blanked, so that lines keep their numbers. */
  code: string;
  /** `name?`: show what is known of it. */
  question?: string;
}

const LEVELS: readonly CheckLevel[] = ['errors', 'warnings', 'off'];

interface MagicSpec {
  usage: string;
  summary: string;
  /** Means nothing without code below it. */
  aboutCode?: true;
  /** Adds to the plan. */
  apply(plan: CellPlan, argument: string): void;
}

const MAGICS: Record<string, MagicSpec> = {
  '%world': {
    usage: '%world N [--nodes M] [--device NAME] [--link NAME] [--across NAME]',
    summary: 'start again with N ranks; `cluster` is the machine that virtual times are of',
    apply: (plan, argument) => void plan.magics.push({ name: 'world', ...worldWish(argument) }),
  },
  '%%rank': {
    usage: '%%rank 0,2',
    aboutCode: true,
    summary: 'run this cell on these ranks only (0-3 is a range)',
    apply(plan, argument) {
      plan.ranks = rankList(argument);
    },
  },
  '%check': {
    usage: '%check errors|warnings|off',
    summary: 'what type errors do: stop the cell, warn, or nothing',
    apply(plan, argument) {
      if (argument !== '' && !LEVELS.includes(argument as CheckLevel)) {
        throw badArgument('%check', argument, `one of ${LEVELS.join(', ')}`, nearestName(argument, LEVELS));
      }
      plan.magics.push({ name: 'check', level: argument === '' ? undefined : (argument as CheckLevel) });
    },
  },
  '%restart': {
    usage: '%restart [RANK]',
    summary: 'fresh ranks without variables, or one fresh rank',
    apply: (plan, argument) =>
      void plan.magics.push({
        name: 'restart',
        rank: argument === '' ? undefined : wholeNumber('%restart', argument, 'a rank'),
      }),
  },
  '%who': {
    usage: '%who',
    summary: 'list the variables',
    apply: (plan) => void plan.magics.push({ name: 'who' }),
  },
  '%reset': {
    usage: '%reset',
    summary: 'forget all variables',
    apply: (plan) => void plan.magics.push({ name: 'reset' }),
  },
  '%%time': {
    usage: '%%time',
    aboutCode: true,
    summary: 'say how long this cell took, on each rank too',
    apply(plan) {
      plan.time = true;
    },
  },
  '%trace': {
    usage: '%trace',
    aboutCode: true,
    summary: 'show the communication of this cell: timeline, and who sent how much to whom',
    apply: (plan) => void plan.instruments.push('trace'),
  },
  '%ledger': {
    usage: '%ledger',
    aboutCode: true,
    summary: 'show the memory of this cell by category, with its peak',
    apply: (plan) => void plan.instruments.push('ledger'),
  },
  '%help': { usage: '%help', summary: 'this list', apply: (plan) => void plan.magics.push({ name: 'help' }) },
};

/** Splits a cell into its commands and its code. */
export function planCell(source: string): CellPlan {
  const plan: CellPlan = { magics: [], ranks: undefined, time: false, instruments: [], code: source };
  const question = /^\s*(?:\?{1,2}\s*([\w$.]+)|([\w$.]+)\s*\?{1,2})\s*$/.exec(source);
  if (question) return { ...plan, code: '', question: (question[1] ?? question[2])! };
  const lines = source.split('\n');
  let lonely: string | undefined;
  for (const [index, line] of lines.entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('//')) continue;
    const match = /^(%{1,2}[^\s\d%]\S*)\s*(.*)$/.exec(trimmed);
    if (!match) break;
    const [, name, rest] = match as unknown as [string, string, string];
    const spec = MAGICS[name];
    if (!spec) throw unknownMagic(name);
    if (spec.aboutCode) lonely = name;
    spec.apply(
      plan,
      rest
        .replace(/\s*\/\/.*$/, '')
        .replace(/;$/, '')
        .trim(),
    );
    lines[index] = '';
  }
  plan.code = lines.join('\n');
  if (lonely !== undefined && plan.code.trim() === '') {
    throw new ShardbookError({
      code: 'SB_MAGIC_ARGUMENT',
      message: `Cannot obey "${lonely}": no code follows it in this cell`,
      help: 'it stands above the code that it is about, in one cell with it',
    });
  }
  return plan;
}

export function magicHelp(): string {
  const width = Math.max(...Object.values(MAGICS).map(({ usage }) => usage.length));
  return [
    'Commands, at the top of a cell:',
    ...Object.values(MAGICS).map(({ usage, summary }) => `  ${usage.padEnd(width)}  ${summary}`),
    `  ${'name?'.padEnd(width)}  what is known of a name`,
    '',
    'Every cell runs on all ranks at once. `rank` and `worldSize` tell them apart; what all ranks print alike is shown once.',
  ].join('\n');
}

/** Names for completion. */
export function magicNames(): string[] {
  return Object.keys(MAGICS);
}

function unknownMagic(name: string): ShardbookError {
  const doubled = name.startsWith('%%') ? name.slice(1) : `%${name}`;
  const near = MAGICS[doubled] ? doubled : nearestName(name, Object.keys(MAGICS));
  return new ShardbookError({
    code: 'SB_UNKNOWN_MAGIC',
    message: `Cannot obey "${name}": there is no such command`,
    help: near ? `did you mean "${MAGICS[near]!.usage}"?` : '"%help" lists the commands',
  });
}

function badArgument(name: string, argument: string, wanted: string, near?: string): ShardbookError {
  const got = argument === '' ? 'nothing follows it' : `"${argument}"`;
  return new ShardbookError({
    code: 'SB_MAGIC_ARGUMENT',
    message: `Cannot obey "${name}": ${got}, wanted ${wanted}`,
    help: near ? `did you mean "${near}"?` : `write it as "${MAGICS[name]!.usage}"`,
  });
}

function wholeNumber(name: string, argument: string, wanted: string): number {
  if (!/^[+-]?\d+$/.test(argument)) throw badArgument(name, argument, wanted);
  return Number(argument);
}

const WORLD_OPTIONS = ['nodes', 'device', 'link', 'across'] as const;

function worldWish(argument: string): { size: number; cluster: ClusterWish } {
  const [count = '', ...words] = argument.split(/\s+/);
  const size = wholeNumber('%world', count, 'a number of ranks');
  const cluster: ClusterWish = {};
  for (let i = 0; i < words.length; i += 2) {
    const [word, value] = [words[i]!, words[i + 1]];
    const option = WORLD_OPTIONS.find((name) => word === `--${name}`);
    if (!option) {
      const known = WORLD_OPTIONS.map((name) => `--${name}`);
      throw badArgument('%world', word, `one of ${known.join(', ')}`, nearestName(word, known));
    }
    if (value === undefined || value.startsWith('--'))
      throw badArgument('%world', word, `a value behind ${word}`);
    if (option === 'nodes') cluster.nodes = wholeNumber('%world', value, 'a number of nodes');
    else cluster[option] = value;
  }
  if (cluster.nodes !== undefined && (cluster.nodes < 1 || size % cluster.nodes !== 0))
    throw badArgument('%world', `--nodes ${cluster.nodes}`, `a number of nodes that divides ${size} ranks`);
  return { size, cluster };
}

function rankList(argument: string): number[] {
  const ranks = new Set<number>();
  for (const part of argument.replace(/^\[|\]$/g, '').split(/[\s,]+/)) {
    const range = /^(\d+)(?:[-:](\d+))?$/.exec(part);
    if (!range) throw badArgument('%%rank', argument, 'ranks such as 0,2 or 0-3');
    const first = Number(range[1]);
    const last = Number(range[2] ?? range[1]);
    if (last - first > 10_000) throw badArgument('%%rank', argument, 'ranks of this world');
    for (let rank = first; rank <= last; rank++) ranks.add(rank);
  }
  return [...ranks].sort((a, b) => a - b);
}
