/**
 * Collectives at their limits: 64 ranks reduce 1 MiB, and a thousand collectives of every kind leave nothing behind. Runs
 * scripts by `shardbook run`, as a user would. Ends in "N passed, N failed".
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'shardbook-collectives-'));

const WIDE = `
import { dist, torch } from 'shardbook';
const rank = dist.getRank(), n = (1 << 20) / 4;
const times: number[] = [];
for (let i = 0; i < 5; i++) {
  const t = torch.full([n], rank + 1);
  const started = performance.now();
  dist.allReduce(t);
  times.push(performance.now() - started);
  const wanted = (64 * 65) / 2;
  if (t.min().item() !== wanted || t.max().item() !== wanted) throw new Error('rank ' + rank + ' got ' + t.max().item());
}
if (rank === 0) console.log('64 ranks, 1 MiB: ' + Math.min(...times).toFixed(1) + ' ms');
`;

const MANY = `
import { dist, torch } from 'shardbook';
import v8 from 'node:v8';
import vm from 'node:vm';
v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;
const rank = dist.getRank(), size = dist.getWorldSize();
const world = dist.newGroup();
const near = dist.newGroup([0, 1]);

function round(i: number): void {
  const big = torch.ones([i % 7 === 0 ? 300_000 : 100]);
  const outs = Array.from({ length: size }, () => torch.zeros([10]));
  switch (i % 10) {
    case 0: dist.allReduce(big); break;
    case 1: dist.allReduce(big, { asyncOp: true })!.wait(); break;
    case 2: dist.broadcast(big, i % size); break;
    case 3: dist.allGather(outs, torch.ones([10])); break;
    case 4: dist.reduceScatter(torch.zeros([10]), outs); break;
    case 5: dist.allToAllSingle(torch.zeros([size]), torch.ones([size])); break;
    case 6: dist.allGatherObject(Array.from({ length: size }, () => null), { rank, i }); break;
    case 7: { const g = dist.newGroup(); dist.allReduce(big, { group: g }); dist.destroyProcessGroup(g); break; }
    case 8: {
      const to = (rank + 1) % size, from = (rank + size - 1) % size;
      const ops = [new dist.P2POp(dist.isend, big, to), new dist.P2POp(dist.irecv, torch.zeros([big.numel()]), from)];
      for (const work of dist.batchIsendIrecv(ops)) work.wait();
      break;
    }
    default:
      dist.getStore().set('key' + rank, String(i));
      try { dist.allReduce(torch.ones([1 + (rank % 2)]), { group: world }); } catch {}
      dist.barrier({ group: near });
  }
}

function held(): { heap: number; arrays: number; rss: number } {
  dist.barrier();
  for (let i = 0; i < 3; i++) gc();
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  return { heap: heapUsed, arrays: arrayBuffers, rss };
}

for (let i = 0; i < 500; i++) round(i);
const before = held();
for (let i = 0; i < 1000; i++) round(i);
const after = held();
const grown = { heap: after.heap - before.heap, arrays: after.arrays - before.arrays, rss: after.rss - before.rss };
const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(2) + ' MiB';
if (rank === 0) console.log('after 1000 more: heap ' + mib(grown.heap) + ', arrays ' + mib(grown.arrays) + ', process ' + mib(grown.rss));
if (grown.heap > 2 ** 20) throw new Error('the heap of rank ' + rank + ' grew by ' + mib(grown.heap));
if (grown.arrays > 2 ** 20) throw new Error('arrays of rank ' + rank + ' grew by ' + mib(grown.arrays));
// All ranks are one process; garbage that waits to be collected is part of it.
if (grown.rss > 96 * 2 ** 20) throw new Error('the process grew by ' + mib(grown.rss));
`;

let passed = 0;
let failed = 0;
for (const [name, script, ranks] of [
  ['64 ranks reduce 1 MiB', WIDE, 64],
  ['a thousand collectives leave nothing behind', MANY, 4],
]) {
  const file = join(folder, 'script.ts');
  writeFileSync(file, script);
  const run = spawnSync(process.execPath, [cli, 'run', file, '--nproc', String(ranks)], {
    encoding: 'utf8',
    timeout: 600_000,
  });
  process.stdout.write(run.stdout);
  if (run.status === 0) {
    passed++;
    console.log(`ok: ${name}`);
  } else {
    failed++;
    console.log(`FAILED: ${name} (${run.error?.message ?? `exit code ${run.status}`})\n${run.stderr}`);
  }
}
rmSync(folder, { recursive: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
