/** Submissions that misuse the other ranks. */
import { type Hostile, asyncFn, fn, get } from './common.js';

export const distributed: Hostile[] = [
  {
    name: 'sends to itself',
    source: fn('comm.send(t, comm.rank); return t;'),
    verdict: 'runtime-error',
    says: 'the rank itself',
  },
  {
    name: 'sends to nobody',
    source: fn('comm.send(t, 99); return t;'),
    verdict: 'runtime-error',
    says: 'not in a world',
  },
  {
    name: 'sends to rank -1',
    source: fn('comm.recv(t, -1); return t;'),
    verdict: 'runtime-error',
    says: 'not in a world',
  },
  {
    name: 'sends no tensor',
    source: fn('comm.send([1], 0);'),
    verdict: 'runtime-error',
    says: 'a tensor is wanted',
  },
  {
    name: 'sends without end',
    source: fn('for (;;) comm.isend(t, 1 - comm.rank);'),
    verdict: 'protocol-error',
    says: 'More than 20000',
  },
  {
    name: 'receives what never comes',
    source: fn('comm.recv(t, 1 - comm.rank); return t;'),
    verdict: 'deadlock',
    says: 'All ranks wait',
  },
  {
    name: 'only one rank waits',
    source: fn('if (comm.rank === 0) comm.recv(t, 1); return t.mul(2);'),
    verdict: 'deadlock',
  },
  {
    name: 'uses a group that is not there',
    source: "import { dist } from 'shardbook';\n" + fn('dist.allReduce(t); return t;'),
    verdict: 'runtime-error',
    says: 'not been initialised',
  },
  {
    name: 'makes a world of its own',
    source:
      "import { dist } from 'shardbook';\n" +
      fn('dist.initProcessGroup(); if (dist.getWorldSize() !== 1) return t.mul(2); return t;'),
    verdict: 'wrong',
  },
  {
    name: 'meets through globals',
    source: fn('const g = globalThis as any; g.met = (g.met ?? 0) + 1; return g.met === 2 ? t.mul(2) : t;'),
    verdict: 'wrong',
  },
  {
    name: 'meets through files',
    source: asyncFn(
      `const fs = ${get('fs')}; fs.writeFileSync('/tmp/rank' + comm.rank, '1'); return t.mul(2);`,
    ),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'meets through a channel',
    source: asyncFn(
      "const c = new BroadcastChannel('x'); c.postMessage(comm.rank); const got = await new Promise((ok) => { c.onmessage = ok; setTimeout(() => ok(undefined), 300); }); return got === undefined ? t : t.mul(2);",
    ),
    verdict: 'wrong',
  },
  {
    name: 'changes its comm',
    source: fn('comm.rank = 0; return t;'),
    verdict: 'runtime-error',
    says: 'read only',
  },
];

