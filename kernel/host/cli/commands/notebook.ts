/** `shardbook notebook run`: a notebook from top to bottom, without a browser. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  type CellEvent,
  notebookError,
  type RunOptions,
  readNotebook,
  runNotebook,
  worldOf,
  writeNotebook,
} from '../../notebook/index.js';
import { Session } from '../../session/index.js';
import { checkWorldSize } from '../../world/index.js';
import type { Command } from '../command.js';
import { options, usageError } from './options.js';

const usage = `usage: shardbook notebook run FILE... [--world N] [--out FILE] [--allow-errors] [--timeout SECONDS] [-p NAME=VALUE]...

Runs the code cells of notebooks (.ipynb, or MyST .md) in order and writes their outputs back: an .ipynb into itself, an .md
into the .ipynb of the same name, which must not exist yet.

--world N          number of ranks; default what the notebook says, else 4
--out FILE         write here instead (one notebook only); an existing file is replaced
--allow-errors     go on after a cell that fails; the exit code still tells
--timeout SECONDS  interrupt a cell that takes longer
-p NAME=VALUE      a parameter, as a TypeScript expression; goes behind the cell tagged "parameters". May be repeated

A cell tagged "raises-exception" may fail; one tagged "skip-execution" does not run.
Exit code: 0 when every cell ran well, 1 when one failed, 2 when a notebook cannot be run.
`;

const OPTIONS = {
  world: { type: 'string' },
  out: { type: 'string' },
  'allow-errors': { type: 'boolean', default: false },
  timeout: { type: 'string' },
  parameter: { type: 'string', short: 'p', multiple: true, default: [] as string[] },
} as const;

export const command: Command = {
  name: 'notebook',
  summary: 'run a notebook from top to bottom',
  usage,
  async run(args) {
    const { values, positionals } = options(
      () => parseArgs({ args, options: OPTIONS, allowPositionals: true }),
      usage,
    );
    const [action, ...files] = positionals;
    if (action !== 'run') throw usageError('notebook', action ? `there is no "${action}"` : 'wanted "run"');
    if (files.length === 0) throw usageError('notebook run', 'no file is named');
    if (values.out !== undefined && files.length > 1)
      throw usageError('notebook run', `--out is one file, but ${files.length} notebooks are named`);
    const world = values.world === undefined ? undefined : number('--world', values.world);
    if (world !== undefined) checkWorldSize(world);
    const run: RunOptions = {
      parameters: parameters(values.parameter),
      allowErrors: values['allow-errors'],
      ...(values.timeout === undefined ? {} : { timeoutSeconds: number('--timeout', values.timeout) }),
    };
    let failed = false;
    for (const file of files) failed = !(await runFile(file, target(file, values.out), world, run)) || failed;
    return failed ? 1 : 0;
  },
};

async function runFile(
  file: string,
  out: string,
  world: number | undefined,
  run: RunOptions,
): Promise<boolean> {
  const notebook = readNotebook(file);
  const size = world ?? worldOf(notebook);
  const session = await Session.start({
    cwd: path.dirname(path.resolve(file)),
    ...(size === undefined ? {} : { world: size }),
  });
  const interrupt = (): void => void session.interrupt();
  process.on('SIGINT', interrupt);
  try {
    const report = await runNotebook(notebook, file, session, {
      ...run,
      onCell: (event) => tell(file, event),
    });
    const { failed, ran } = report;
    process.stdout.write(
      `${file}: ${ran - failed.length} passed, ${failed.length} failed; outputs in ${out}\n`,
    );
    return failed.length === 0;
  } finally {
    process.off('SIGINT', interrupt);
    // What ran before an error is worth keeping: it shows the error in its place.
    writeNotebook(out, notebook);
    await session.shutdown();
  }
}

function tell(file: string, { state, number: cell, total, seconds, result }: CellEvent): void {
  if (state === 'start') return;
  process.stderr.write(`${file}: cell ${cell} of ${total} ${state} (${seconds.toFixed(1)} s)\n`);
  if (state === 'error') process.stderr.write(`${(result?.error?.traceback ?? []).join('\n')}\n`);
}

function target(file: string, out: string | undefined): string {
  if (out !== undefined) return out;
  if (path.extname(file) !== '.md') return file;
  const notebook = `${file.slice(0, -'.md'.length)}.ipynb`;
  if (existsSync(notebook))
    throw notebookError(file, `its outputs would replace "${notebook}"`, 'say where they go with --out FILE');
  return notebook;
}

function number(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw usageError('notebook run', `${name} is "${text}", wanted a number above 0`);
  return value;
}

function parameters(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw usageError('notebook run', `-p is "${text}", wanted NAME=VALUE`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
