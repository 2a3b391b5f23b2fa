/** The kernel's latencies beside tslab's and ipykernel's, through the same front end, kernels taken in turn. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { distEntry } from '../host/world/index.js';
import { KernelClient } from './kernel-client.js';
import { median, percentile, round } from './stats.js';

const STARTS = 5;
const CELLS = 60;
const INTERRUPTS = 5;

/** Where cells are stuck when they are interrupted, on four ranks. */
const BLOCKED: Record<string, string> = {
  'synchronous loop': 'for (;;) {}',
  'regular expression': "/^(a+)+$/.test('a'.repeat(40) + 'b')",
  'Atomics.wait': 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)',
  'promise that never settles': 'await new Promise(() => {})',
  'microtask loop': 'for (;;) await null',
  sleep: 'await new Promise((done) => setTimeout(done, 1e9))',
  collective: 'if (rank === 0) for (;;) {} else dist.allReduce(torch.ones([4]))',
  receive: 'if (rank === 1) dist.recv(torch.zeros([1]), 0); else for (;;) {}',
};

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
      // Of the same kernel, in turns: what four ranks cost more than one.
      const pairs: [number, number][] = [];
      for (let i = 0; i < CELLS; i++) {
        const four = await client.execute(peer.declaration(1000 + i));
        pairs.push([four, await client.execute(`%%rank 0\n${peer.declaration(2000 + i)}`)]);
      }
      result['declaration4RanksP50Ms'] = median(pairs.map(([four]) => four));
      result['fourRanksMoreThanOneMs'] = median(pairs.map(([four, one]) => four - one));
      result['residentMiB4Ranks'] = client.residentBytes() / 2 ** 20;
      await client.execute('if (!dist.isInitialized()) dist.initProcessGroup()');
      for (const [state, code] of Object.entries(BLOCKED)) {
        const all: number[] = [];
        for (let i = 0; i < INTERRUPTS; i++) all.push(await client.interruptDuring(code, true));
        result[`interruptMs, ${state}`] = median(all);
      }
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
  result['targets'] = targets(result);
  return result;
}

type Figures = Record<string, number>;

/** What is asked for, as ratios of this run: `value` at most `target`. */
function targets(
  result: Record<string, unknown>,
): Record<string, { value: number; target: number; met: boolean }> {
  const figures = (name: string): Figures | undefined =>
    typeof result[name] === 'object' ? (result[name] as Figures) : undefined;
  const [own, tslab, ipykernel] = ['shardbook', 'tslab', 'ipykernel'].map(figures);
  const entries: [string, number | undefined, number][] = [
    ['start / ipykernel', ratio(own?.['startMs'], ipykernel?.['startMs']), 0.7],
    ['empty execute p50 / ipykernel', ratio(own?.['emptyP50Ms'], ipykernel?.['emptyP50Ms']), 0.8],
    ['declaration p50 / tslab', ratio(own?.['declarationP50Ms'], tslab?.['declarationP50Ms']), 1],
    ['four ranks more than one, ms', own?.['fourRanksMoreThanOneMs'], 2],
    ['completion p50, ms', own?.['completionP50Ms'], 10],
    ...Object.keys(BLOCKED).map((state): [string, number | undefined, number] => [
      `interrupt of ${state}, ms`,
      own?.[`interruptMs, ${state}`],
      10,
    ]),
  ];
  return Object.fromEntries(
    entries.flatMap(([name, value, target]) =>
      value === undefined ? [] : [[name, { value: round(value), target, met: value <= target }]],
    ),
  );
}

function ratio(own: number | undefined, peer: number | undefined): number | undefined {
  return own === undefined || peer === undefined ? undefined : own / peer;
}
