import { expect, test } from 'vitest';
import { Cluster } from '../transport/testing/cluster.js';

/** Rank 0 sends while rank 1 is starting its receives, at another moment of it in each round. */
const ordered = `
  const pause = (turns) => { for (let i = 0; i < turns; i++) Math.sqrt(i); };
  const wrong = [];
  for (let round = 0; round < 1500; round++) {
    dist.barrier();
    if (rank === 0) {
      pause((round * 37) % 2000);
      for (const w of [1, 2, 3].map((n) => dist.isend(tensor([n]), 1))) w.wait();
    } else {
      const into = [1, 2, 3].map(() => tensor([0]));
      const works = into.map((t, i) => dist.irecv(t, i === 1 ? {} : { src: 0 }));
      for (const w of works.reverse()) w.wait();
      const got = into.map((t) => t.get()[0]).join();
      if (got !== '1,2,3') wrong.push(round + ': ' + got);
    }
  }
  return wrong`;

test('irecv() gets messages in the order of the sends, whenever they come and whichever is waited for first', async () => {
  const cluster = await Cluster.start(2);
  try {
    expect(await cluster.run(ordered)).toEqual([[], []]);
  } finally {
    await cluster.stop();
  }
}, 120_000);
