import { afterAll, expect, test } from 'vitest';
import { corpus } from './deadlock.corpus.js';
import { Cluster } from './testing/cluster.js';

const clusters = new Map<number, Promise<Cluster>>();
afterAll(async () => {
  for (const cluster of clusters.values()) await (await cluster).stop();
});

function clusterOf(size: number): Promise<Cluster> {
  const known = clusters.get(size) ?? Cluster.start(size);
  clusters.set(size, known);
  return known;
}

const codeOf = (result: unknown) =>
  result instanceof Error && 'code' in result ? String(result.code) : null;

/** One world per size serves all programs: every one of them also shows that the world is usable after the ones before. */
test.each(corpus)('$name: every rank is told, and the world stays usable', async ({
  size,
  code,
  codes,
  says,
}) => {
  const cluster = await clusterOf(size);
  const results = await cluster.run(code);
  expect(results.map(codeOf), results.map(String).join('\n')).toEqual(codes);
  const text = (results.find((r) => codeOf(r) !== null) as Error).message.replace(/#\d+/g, '#N');
  for (const part of says) expect(text).toContain(part);
  const dead = cluster.world.status().filter((s) => s.state === 'dead');
  for (const { rank } of dead) await cluster.world.restart(rank);
  const after = await cluster.run(
    'const t = tensor([1]); dist.allReduce(t); dist.barrier(); return t.get()[0]',
  );
  expect(after).toEqual(Array(size).fill(size));
});

const asleep = (cluster: Cluster) => (): number[] =>
  cluster.waiting().flatMap((what, rank) => (what === undefined ? [] : [rank]));

test('a deadlock is found within 50 ms', async () => {
  const cluster = await clusterOf(2);
  const code =
    'const start = performance.now(); try { dist.recv(tensor([0]), 1 - rank) } catch {} return performance.now() - start';
  // The machine may be busy with other things: the least disturbed of many counts.
  const longest = async () => Math.max(...((await cluster.run(code)) as number[]));
  await expect.poll(longest, { timeout: 50_000, interval: 1 }).toBeLessThan(50);
});

test('an endless loop on one rank: interrupt frees all of them', async () => {
  const cluster = await clusterOf(4);
  const running = cluster.run('if (rank === 3) for (;;) {} dist.allReduce(tensor([1]))');
  await expect.poll(asleep(cluster), { timeout: 50_000 }).toEqual([0, 1, 2]);
  const report = await cluster.world.interrupt();
  expect(report.ranks.map((r) => r.outcome)).toEqual(Array(4).fill('state kept'));
  const codes = (await running).map(codeOf);
  expect(codes[3]).toBe('SB_INTERRUPTED');
  for (const code of codes) expect(['SB_INTERRUPTED', 'SB_PEER_FAILED']).toContain(code);
  expect(await cluster.run('const t = tensor([1]); dist.allReduce(t); return t.get()[0]')).toEqual([
    4, 4, 4, 4,
  ]);
});

test('interrupting only the looping rank tells those who wait for it', async () => {
  const cluster = await clusterOf(3);
  const running = cluster.run('if (rank === 1) for (;;) {} dist.barrier()');
  await expect.poll(asleep(cluster), { timeout: 50_000 }).toEqual([0, 2]);
  await cluster.world.interrupt({ ranks: [1] });
  const results = await running;
  expect(results.map(codeOf)).toEqual(['SB_PEER_FAILED', 'SB_INTERRUPTED', 'SB_PEER_FAILED']);
  expect(String(results[0])).toContain('rank 1, which was interrupted');
});

test('an error that a program catches leaves its groups usable in the same cell', async () => {
  const cluster = await clusterOf(2);
  const code = `
    try { dist.allReduce(tensor(Array(1 + rank).fill(0))) } catch (e) { state.code = e.code }
    const t = tensor([rank + 1]); dist.allReduce(t); return [state.code, t.get()[0]]`;
  expect(await cluster.run(code)).toEqual([
    ['SB_COLLECTIVE_MISMATCH', 3],
    ['SB_COLLECTIVE_MISMATCH', 3],
  ]);
});
