import { expect, test } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

/** Exchanges of every kind, in two groups; at a place that the seed chooses one rank fails, leaves or goes astray. */
const faulty = (seed: number) => `
  const bad = ${seed} % size; const at = ${(seed * 7) % 13};
  const g = state.g ??= dist.newGroup();
  for (let i = 0; i < 15; i++) {
    if (rank === bad && i === at) {
      if (${seed % 4} === 0) throw new TypeError('on purpose');
      if (${seed % 4} === 1) return 'early';
      if (${seed % 4} === 2) { const e = performance.now() + 20; while (performance.now() < e); throw new TypeError('on purpose') }
      dist.barrier({ group: g });
    }
    const all = Array(size).fill(null);
    dist.allGatherObject(all, { rank, i, s: 'y'.repeat((i * 31 + rank) % 200) }, { group: i % 2 ? g : null });
    if (!all.every((o, r) => o.rank === r && o.i === i && o.s.length === (i * 31 + r) % 200)) throw new RangeError('bad objects');
    const next = (rank + 1) % size; const prev = (rank + size - 1) % size; const r = tensor([-1]);
    const ops = [new dist.P2POp(dist.isend, tensor([rank]), next), new dist.P2POp(dist.irecv, r, prev)];
    for (const w of dist.batchIsendIrecv(ops)) w.wait();
    if (r.get()[0] !== prev) throw new RangeError('bad message');
  }
  return 'all'`;
const sound = `
  const a = Array(size).fill(null); dist.allGatherObject(a, { rank });
  const b = Array(size).fill(null); dist.allGatherObject(b, { rank }, { group: state.g });
  return a.concat(b).every((o, r) => o.rank === r % size)`;
const EXPECTED = /^(SB_DEADLOCK|SB_PEER_FAILED|SB_COLLECTIVE_MISMATCH|TypeError on purpose|early)/;

test('after any failure the next cell works, and no rank sees anything but coded errors', async () => {
  const size = 3;
  const cluster = await Cluster.start(size);
  try {
    for (let seed = 0; seed < 16; seed++) {
      const told = (await cluster.run(faulty(seed))).map(textOf);
      for (const text of told) expect(text, `seed ${seed}: ${told.join('\n')}`).toMatch(EXPECTED);
      expect(await cluster.run(sound), `seed ${seed}: ${told.join('\n')}`).toEqual(Array(size).fill(true));
    }
  } finally {
    await cluster.stop();
  }
}, 60_000);

function textOf(result: unknown): string {
  if (!(result instanceof Error)) return String(result);
  return `${(result as { code?: string }).code ?? result.name} ${result.message.split('\n')[0]}`;
}
