/** The kernel's latencies beside tslab's and ipykernel's, through the same front end, kernels taken in turn. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { distEntry } from '../host/world/index.js';
import { KernelClient } from './kernel-client.js';
import { median, percentile, round } from './stats.js';

const STARTS = 5;
const CELLS = 60;

interface Peer {
  name: string;
  command: string[];
  /** Source of an empty cell, one with a declaration, a loop that does not end, and a text to complete. */
  declaration: (i: number) => string;
  loop: string;
  completion: string;
  interruptByMessage: boolean;
}

function peers(): { present: Peer[]; absent: Record<string, string> } {
  const typescript = {
    declaration: (i: number) => `const x${i}: number = ${i};`,
    loop: 'for (;;) {}',
    completion: 'Math.fl',
  };
  const present: Peer[] = [
    {
      ...typescript,
      name: 'shardbook',
      command: [
        process.execPath,
        distEntry('cli.js'),
        'kernel',
        'run',
        '--connection-file',
        '{connection_file}',
        '--world',
        '1',
      ],
      interruptByMessage: true,
    },
  ];
  const absent: Record<string, string> = {};
  try {
    const tslab = join(dirname(createRequire(import.meta.url).resolve('tslab/package.json')), 'bin', 'tslab');
    present.push({
      ...typescript,
      name: 'tslab',
      command: [process.execPath, tslab, 'kernel', '--config-path', '{connection_file}'],
      interruptByMessage: false,
    });
  } catch {
    absent['tslab'] = 'not installed';
  }
  const python = ['/usr/bin/python3', 'python3'].find(
    (name) => spawnSync(name, ['-c', 'import ipykernel']).status === 0,
  );
  if (python === undefined) absent['ipykernel'] = 'not installed';
  else {
    present.push({
      name: 'ipykernel',
      command: [python, '-m', 'ipykernel_launcher', '-f', '{connection_file}'],
      declaration: (i) => `x${i} = ${i}`,
      loop: 'while True: pass',
      completion: 'abs',
      interruptByMessage: false,
    });
  }
  return { present, absent };
}

async function measure(peer: Peer): Promise<Record<string, number>> {
  const starts: number[] = [];
  for (let i = 1; i < STARTS; i++) {
    const client = await KernelClient.start(peer.command);
    starts.push(client.startMs);
    await client.stop();
  }
  const client = await KernelClient.start(peer.command);
  starts.push(client.startMs);
  try {
    const firstCell = await client.execute('1 + 1');
    const sample = async (cell: (i: number) => Promise<number>) => {
      const all: number[] = [];
      for (let i = 0; i < CELLS; i++) all.push(await cell(i));
      return all;
    };
    const empty = await sample(() => client.execute(''));
    const declaration = await sample((i) => client.execute(peer.declaration(i)));
    const completion = await sample(() => client.complete(peer.completion));
    const result: Record<string, number> = {
      startMs: median(starts),
      firstCellMs: firstCell,
      emptyP50Ms: median(empty),
      emptyP95Ms: percentile(empty, 0.95),
      declarationP50Ms: median(declaration),
      completionP50Ms: median(completion),
      residentMiB: client.residentBytes() / 2 ** 20,
    };
    if (peer.name === 'shardbook') {
      await client.execute('%world 4');
      await client.execute('rank');
      result['declaration4RanksP50Ms'] = median(
        await sample((i) => client.execute(peer.declaration(1000 + i))),
      );
      result['residentMiB4Ranks'] = client.residentBytes() / 2 ** 20;
    }
    // Last, because a kernel that cannot be interrupted is of no use afterwards.
    result['interruptMs'] = await client.interruptDuring(peer.loop, peer.interruptByMessage);
    return Object.fromEntries(Object.entries(result).map(([name, value]) => [name, round(value)]));
  } finally {
    await client.stop();
  }
}

export async function benchKernels(): Promise<Record<string, unknown>> {
  const { present, absent } = peers();
  const result: Record<string, unknown> = { ...absent };
  for (const peer of present) {
    process.stderr.write(`bench:   ${peer.name}\n`);
    try {
      result[peer.name] = await measure(peer);
    } catch (error) {
      result[peer.name] = `failed: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
  return result;
}
