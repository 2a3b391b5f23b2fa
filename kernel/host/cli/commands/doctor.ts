/** `shardbook doctor`: what works on this machine, each line proved by trying it. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { proveSandbox, sandboxState } from '../../../../grader/index.js';
import type { Command } from '../command.js';
import { packageRoot } from '../paths.js';
import { options } from './options.js';

const usage = `usage: shardbook doctor

Tries what Shardbook needs and says how to mend what does not work.
Exit code 0 when everything essential works, else 1.`;

type Finding = { state: 'ok' | 'missing' | 'broken'; text: string; help?: string };

const GIB = 1024 ** 3;

/** A failure of one of these stops Shardbook from working; the others only take something away. */
const ESSENTIAL: Record<string, () => Finding | Promise<Finding>> = {
  Node: () => {
    const major = Number(process.versions.node.split('.')[0]);
    if (major >= 20) return { state: 'ok', text: process.versions.node };
    return { state: 'broken', text: process.versions.node, help: 'install Node 20 or newer' };
  },
  'shared memory': async () => {
    const shared = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(
      "const { workerData } = require('worker_threads'); Atomics.store(workerData, 0, 1); Atomics.notify(workerData, 0);",
      { eval: true, workerData: shared },
    );
    await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
    if (Atomics.load(shared, 0) === 1) return { state: 'ok', text: 'threads see one memory' };
    return { state: 'broken', text: 'a thread did not see what another wrote' };
  },
  'WASM SIMD': () => {
    // (module (func (result v128) i32.const 0 i8x16.splat)): refused by an engine without SIMD.
    const smallest = [
      0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11,
    ];
    if (WebAssembly.validate(new Uint8Array(smallest))) return { state: 'ok', text: 'available' };
    return { state: 'broken', text: 'this engine has no SIMD', help: 'use a current Node release' };
  },
  ZeroMQ: async () => {
    await import('zeromq');
    return { state: 'ok', text: 'loads' };
  },
};

const OPTIONAL: Record<string, () => Finding | Promise<Finding>> = {
  memory: () => {
    const total = totalmem() / GIB;
    const text = `${total.toFixed(1)} GiB, ${cpus().length} cores`;
    if (total >= 4) return { state: 'ok', text };
    return { state: 'missing', text, help: 'worlds of 8 ranks want 4 GiB' };
  },
  app: () => {
    if (existsSync(`${packageRoot()}/dist/app`)) return { state: 'ok', text: 'built' };
    return { state: 'missing', text: 'the browser app is not built', help: 'npm run build' };
  },
  Jupyter: () => probe('jupyter', ['--version'], 'only needed to use the kernel from JupyterLab'),
};

function probe(command: string, args: string[], help: string): Finding {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
  if (result.error) return { state: 'missing', text: `${command} is not installed`, help };
  if (result.status !== 0) {
    return {
      state: 'missing',
      text: `${command} does not work: ${result.stderr.trim().split('\n')[0] ?? ''}`,
      help,
    };
  }
  return { state: 'ok', text: 'works' };
}

async function examine(check: () => Finding | Promise<Finding>): Promise<Finding> {
  try {
    return await check();
  } catch (error) {
    return { state: 'broken', text: error instanceof Error ? error.message : String(error) };
  }
}

/** The sandbox for submissions: each of its layers is proved by attempting the escape that it stops. */
async function printSandbox(): Promise<void> {
  const line = (state: string, text: string): void =>
    void process.stdout.write(`${state.padEnd(8)} ${text}\n`);
  try {
    const { reason, mend, without } = await sandboxState(packageRoot());
    if (reason !== undefined) {
      line('missing', `sandbox: ${reason}; "grade --untrusted" refuses, trusted grading works`);
      if (mend !== undefined) process.stdout.write(`${' '.repeat(9)}help: ${mend}\n`);
      return;
    }
    for (const { layer, attempt, held, seen } of (await proveSandbox(packageRoot())) ?? [])
      line(held ? 'ok' : 'broken', `sandbox, ${layer}: tried to ${attempt}: ${seen}`);
    for (const layer of without) line('missing', `sandbox without ${layer}`);
  } catch (error) {
    line('broken', `sandbox: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function run(args: string[]): Promise<number> {
  options(() => parseArgs({ args, options: {} }), usage);
  let fit = true;
  const all = [...Object.entries(ESSENTIAL), ...Object.entries(OPTIONAL)];
  for (const [name, check] of all) {
    const { state, text, help } = await examine(check);
    if (name in ESSENTIAL && state !== 'ok') fit = false;
    process.stdout.write(`${state.padEnd(8)} ${name}: ${text}\n`);
    if (state !== 'ok' && help !== undefined) process.stdout.write(`${' '.repeat(9)}help: ${help}\n`);
  }
  await printSandbox();
  process.stdout.write(
    fit ? 'Shardbook works on this machine\n' : 'Shardbook does not work on this machine: see above\n',
  );
  return fit ? 0 : 1;
}

export const command: Command = {
  name: 'doctor',
  summary: 'say what works on this machine',
  usage,
  run,
};
