/** Faulty programs and what every rank must be told. `code`: one snippet for all ranks, or one per rank. */
export interface FaultyProgram {
  name: string;
  size: number;
  code: string | string[];
  /** Code of the error that each rank gets; null: none. */
  codes: (string | null)[];
  /** Texts that the error of the first failing rank contains; sequence numbers are written #N. */
  says: string[];
}

const D = 'SB_DEADLOCK';
const P = 'SB_PEER_FAILED';
const M = 'SB_COLLECTIVE_MISMATCH';

export const corpus: FaultyProgram[] = [
  {
    name: 'one rank skips an all-reduce',
    size: 4,
    code: 'const t = tensor([1, 2, 3]);\ndist.barrier();\nif (rank !== 2) dist.allReduce(t);',
    codes: [D, D, null, D],
    says: [
      'Cannot finish allReduce #N: ranks 0, 1 and 3 wait and nobody can wake them (deadlock)',
      'rank 0: waits in allReduce #N (f32[3], sum, group world) at line 5 for rank 2',
      'rank 2: has finished its work',
      'first difference: ranks 0, 1 and 3 called allReduce #N of group world at line 5, rank 2 did not',
      'help: rank 2 skipped allReduce #N at line 5: every member of the group must call it',
    ],
  },
  {
    name: 'only one rank calls a barrier',
    size: 3,
    code: 'if (rank === 1) dist.barrier()',
    codes: [null, D, null],
    says: ['rank 1 waits and nobody can wake it', 'ranks 0 and 2 skipped barrier #N'],
  },
  {
    name: 'two ranks return early',
    size: 4,
    code: 'for (let i = 0; i < 5; i++) { if (rank >= 2 && i === 3) return; dist.barrier(); }',
    codes: [D, D, null, null],
    says: ['barrier #N', 'ranks 2 and 3 skipped barrier #N'],
  },
  {
    name: 'both ranks send first',
    size: 2,
    code: 'dist.send(tensor([rank]), 1 - rank); dist.recv(tensor([0]), 1 - rank)',
    codes: [D, D],
    says: [
      'rank 0: waits in send (f32[1], dst 1, group world) at line 3 for rank 1',
      'help: a send returns when its receiver has taken',
    ],
  },
  {
    name: 'a ring of sends',
    size: 4,
    code: 'dist.send(tensor([rank]), (rank + 1) % 4); dist.recv(tensor([0]), (rank + 3) % 4)',
    codes: [D, D, D, D],
    says: [
      'ranks 0, 1, 2 and 3 wait',
      'rank 3: waits in send (f32[1], dst 0, group world) at line 3 for rank 0',
    ],
  },
  {
    name: 'everybody receives',
    size: 3,
    code: 'dist.recv(tensor([0]), (rank + 1) % 3)',
    codes: [D, D, D],
    says: ['every one of these ranks receives and none of them sends'],
  },
  {
    name: 'everybody receives from anybody',
    size: 3,
    code: 'dist.recv(tensor([0]))',
    codes: [D, D, D],
    says: ['rank 1: waits in recv (f32[1], any source, group world) at line 3 for any rank'],
  },
  {
    name: 'tags differ',
    size: 2,
    code: ['dist.send(tensor([1]), 1, { tag: 1 })', 'dist.recv(tensor([1]), 0, { tag: 2 })'],
    codes: [D, D],
    says: ['tag 1', 'tag 2', 'match every send with one recv of the same tag and group'],
  },
  {
    name: 'a receive with no send',
    size: 2,
    code: ['', 'dist.recv(tensor([1]), 0)'],
    codes: [null, D],
    says: ['rank 0: has finished its work', 'rank 1: waits in recv (f32[1], src 0, group world)'],
  },
  {
    name: 'a send that nobody takes',
    size: 3,
    code: ['dist.send(tensor([1]), 2)', '', ''],
    codes: [D, null, null],
    says: ['waits in send (f32[1], dst 2, group world)'],
  },
  {
    name: 'groups crossed',
    size: 2,
    code: `const a = dist.newGroup([0, 1]), b = dist.newGroup([0, 1]);
dist.barrier({ group: rank === 0 ? a : b });
dist.barrier({ group: rank === 0 ? b : a });`,
    codes: [D, D],
    says: [
      'first difference: rank 0 called barrier #N of group',
      'rank 1 did not (rank 1 is in barrier #N',
      'in the same order on every rank',
    ],
  },
  {
    name: 'three groups in a circle',
    size: 3,
    code: `const g = [dist.newGroup([0, 1]), dist.newGroup([1, 2]), dist.newGroup([2, 0])];
dist.barrier({ group: g[[0, 1, 2][rank]] });
dist.barrier({ group: g[[2, 0, 1][rank]] });`,
    codes: [D, D, D],
    says: ['rank 0: waits in barrier #N', 'rank 1: waits in barrier #N', 'rank 2: waits in barrier #N'],
  },
  {
    name: 'a receive against a collective',
    size: 2,
    code: ['dist.recv(tensor([0]), 1)', 'dist.barrier(); dist.send(tensor([0]), 0)'],
    codes: [D, D],
    says: [
      'rank 0: waits in recv',
      'rank 1: waits in barrier #N',
      'rank 1 called barrier #N of group world at line 3, rank 0 did not (rank 0 is in recv at line 3)',
    ],
  },
  {
    name: 'only one rank makes a group',
    size: 2,
    code: 'if (rank === 0) dist.newGroup([0])',
    codes: [D, null],
    says: ['newGroup #N', 'rank 1 skipped newGroup #N'],
  },
  {
    name: 'some ranks are stuck while another works',
    size: 3,
    code: [
      'dist.recv(tensor([0]), 1)',
      'dist.recv(tensor([0]), 0)',
      'await new Promise((r) => setTimeout(r, 300)); return "worked"',
    ],
    codes: [D, D, null],
    says: ['ranks 0 and 1 wait', 'rank 2: runs'],
  },
  {
    name: 'asynchronous work that one rank never starts',
    size: 2,
    code: 'if (rank === 0) { const w = dist.allReduce(tensor([1]), { asyncOp: true });\nw.wait(); }',
    codes: [D, null],
    says: ['waits in allReduce #N (f32[1], sum, group world) at line 3'],
  },
  {
    name: 'a rank throws before a collective',
    size: 3,
    code: 'if (rank === 1) throw new RangeError("no such layer");\ndist.barrier()',
    codes: [P, null, P],
    says: [
      'ranks 0 and 2 wait for rank 1, which failed with RangeError: no such layer',
      'help: mend what stopped rank 1',
    ],
  },
  {
    name: 'a rank throws between messages',
    size: 2,
    code: [
      'dist.recv(tensor([0]), 1); dist.recv(tensor([0]), 1)',
      'dist.send(tensor([0]), 0); throw new Error("half way")',
    ],
    codes: [P, null],
    says: ['rank 0 waits for rank 1, which failed with Error: half way'],
  },
  {
    name: 'a rank dies',
    size: 2,
    code: 'if (rank === 1) process.exit(1);\ndist.barrier()',
    codes: [P, 'SB_RANK_DEAD'],
    says: ['rank 1, which died: its code called process.exit(1)'],
  },
  {
    name: 'a root differs',
    size: 3,
    code: 'dist.broadcast(tensor([1, 2]), { src: rank === 2 ? 1 : 0 })',
    codes: [M, M, M],
    says: [
      'its ranks call broadcast(f32[2], src 0) and broadcast(f32[2], src 1)',
      'rank 2: broadcast(f32[2], src 1) at line 3',
      'same arguments',
    ],
  },
  {
    name: 'shapes differ',
    size: 2,
    code: 'dist.allReduce(tensor(Array(4 + rank).fill(1)))',
    codes: [M, M],
    says: ['allReduce(f32[4], sum) and allReduce(f32[5], sum)'],
  },
  {
    name: 'dtypes differ',
    size: 2,
    code: "dist.allReduce(tensor([1], rank ? 'float64' : 'float32'))",
    codes: [M, M],
    says: ['allReduce(f32[1], sum) and allReduce(f64[1], sum)'],
  },
  {
    name: 'reduce ops differ',
    size: 2,
    code: 'dist.allReduce(tensor([1]), { op: rank ? dist.ReduceOp.MAX : dist.ReduceOp.SUM })',
    codes: [M, M],
    says: ['allReduce(f32[1], sum) and allReduce(f32[1], max)'],
  },
  {
    name: 'operations swapped',
    size: 2,
    code: 'const t = tensor([1]);\nif (rank) { dist.barrier(); dist.allReduce(t); } else { dist.allReduce(t); dist.barrier(); }',
    codes: [M, M],
    says: ['allReduce(f32[1], sum) and barrier()', 'call collectives in the same order on every rank'],
  },
  {
    name: 'groups of other ranks',
    size: 2,
    code: 'dist.newGroup(rank ? [0] : [0, 1])',
    codes: [M, M],
    says: ['newGroup(ranks 0, 1) and newGroup(ranks 0)'],
  },
  {
    name: 'splits that do not fit',
    size: 2,
    code: 'dist.allToAllSingle(tensor([0, 0]), tensor([0, 0]), { inputSplitSizes: rank ? [1, 1] : [2, 0], outputSplitSizes: [1, 1] })',
    codes: [M, M],
    says: [
      'Cannot run allToAllSingle #N of group world: rank 0 sends 8 bytes to rank 0, which expects 4',
      'rank 1: sends 4, 4 bytes to the members in turn and expects 4, 4',
    ],
  },
  {
    name: 'a message of another size',
    size: 2,
    code: ['dist.send(tensor([1, 2]), 1)', 'dist.recv(tensor([0]), 0)'],
    codes: [M, M],
    says: [
      'Cannot send to rank 1: rank 0 sends f32[2], rank 1 receives f32[1]',
      'note: rank 0: send(f32[2], dst 1) of group world at line 3',
    ],
  },
  {
    name: 'a timeout',
    size: 2,
    code: 'const g = dist.newGroup([0, 1], { timeoutMs: 40 });\nif (rank === 0) dist.barrier({ group: g }); else { const end = Date.now() + 200; while (Date.now() < end); }',
    codes: ['SB_TIMEOUT', null],
    says: ['rank 1 did not come within 40 ms'],
  },
  {
    name: 'a bad rank',
    size: 2,
    code: 'dist.send(tensor([1]), 7)',
    codes: ['SB_BAD_ARGUMENT', 'SB_BAD_ARGUMENT'],
    says: ['rank 7 is not in group world (ranks 0, 1)'],
  },
  {
    name: 'a message to itself',
    size: 2,
    code: 'dist.send(tensor([1]), rank)',
    codes: ['SB_BAD_ARGUMENT', 'SB_BAD_ARGUMENT'],
    says: ['rank 0 cannot send to itself'],
  },
  {
    name: 'an average of integers',
    size: 1,
    code: "dist.allReduce(tensor([1], 'int64'), { op: dist.ReduceOp.AVG })",
    codes: ['SB_REDUCE_OP'],
    says: ['"avg" on int64: wanted a floating dtype'],
  },
  {
    name: 'a message of another dtype',
    size: 2,
    code: ["dist.recv(tensor([0], 'int32'), 1)", 'dist.send(tensor([1]), 0)'],
    codes: [M, M],
    says: ['Cannot receive from rank 1: rank 1 sends f32[1], rank 0 receives i32[1]'],
  },
  {
    name: 'a message crosses groups while others wait for both',
    size: 4,
    code: `const a = dist.newGroup([0, 1]), b = dist.newGroup([0, 1]);
if (rank === 0) dist.send(tensor([1]), 1, { group: a });
if (rank === 1) dist.recv(tensor([1]), 0, { group: b });
dist.barrier();`,
    codes: [D, D, D, D],
    says: [
      'rank 0: waits in send (f32[1], dst 1, group 1 (ranks 0, 1)) at line 4 for rank 1',
      'first difference: rank 0 sends to rank 1 in group 1 (ranks 0, 1), tag 0 at line 4, rank 1 receives in group 2 (ranks 0, 1), tag 0 at line 5',
      'help: match every send with one recv of the same tag and group',
    ],
  },
  {
    name: 'a receive from a rank that is done, while others wait at a barrier',
    size: 3,
    code: ['', 'dist.recv(tensor([0]), 0); dist.barrier()', 'dist.send(tensor([0]), 1)'],
    codes: [null, D, D],
    says: [
      'rank 1: waits in recv (f32[1], src 0, group world) at line 3 for rank 0',
      'rank 2: waits in send (f32[1], dst 1, group world) at line 3 for rank 1',
    ],
  },
  {
    name: 'a receive from a rank that is done keeps a collective waiting',
    size: 3,
    code: [
      '',
      'dist.recv(tensor([0]), 0); dist.barrier(dist.newGroup([1, 2]))',
      'const g = dist.newGroup(null);',
    ],
    codes: [null, D, D],
    says: ['rank 0 skipped newGroup #N'],
  },
  {
    name: 'one of sixteen skips a step of a loop',
    size: 16,
    code: 'for (let i = 0; i < 12; i++) {\n  if (rank === 11 && i === 7) continue;\n  dist.allReduce(tensor([1, 2]));\n}',
    codes: Array.from({ length: 16 }, (_, r) => (r === 11 ? null : D)),
    says: [
      'rank 15: waits in allReduce #N (f32[2], sum, group world) at line 5 for rank 11',
      'rank 11: has finished its work',
      'help: rank 11 skipped allReduce #N at line 5',
    ],
  },
  {
    name: 'asynchronous calls started in another order',
    size: 2,
    code: `const a = tensor([1]), b = tensor([1, 2]);
const works = (rank ? [b, a] : [a, b]).map((t) => dist.allReduce(t, { asyncOp: true }));
for (const work of works) work.wait();`,
    codes: [M, M],
    says: ['rank 0: allReduce(f32[1], sum) at line 4', 'rank 1: allReduce(f32[2], sum) at line 4'],
  },
  {
    name: 'an asynchronous send that nobody takes',
    size: 2,
    code: ['dist.isend(tensor([1]), 1, { tag: 5 }).wait()', ''],
    codes: [D, null],
    says: ['rank 0: waits in isend (f32[1], dst 1, group world, tag 5) at line 3 for rank 1'],
  },
  {
    name: 'a gather to two destinations',
    size: 2,
    code: 'dist.gather(tensor([1]), [tensor([0]), tensor([0])], { dst: rank })',
    codes: [M, M],
    says: ['rank 0: gather(f32[1], dst 0) at line 3', 'rank 1: gather(f32[1], dst 1) at line 3'],
  },
  {
    name: 'objects against tensors',
    size: 2,
    code: 'if (rank) dist.allGatherObject([null, null], 1); else dist.allReduce(tensor([1]))',
    codes: [M, M],
    says: ['its ranks call allReduce(f32[1], sum) and allGatherObject()'],
  },
  {
    name: 'a key of the store that nobody sets',
    size: 2,
    code: "if (rank) dist.barrier(); else dist.getStore().get('x')",
    codes: [D, D],
    says: [
      'rank 0: waits in store.wait (keys "x") at line 3 for any rank to set it',
      'rank 1: waits in barrier #N',
    ],
  },
  {
    name: 'the destination gives no list',
    size: 2,
    code: 'dist.gather(tensor([1]), null, { dst: 0 })',
    codes: ['SB_BAD_ARGUMENT', P],
    says: ['Cannot run "gather": this rank is the destination and gives no gatherList'],
  },
  {
    name: 'a rank fails late, out of an await',
    size: 2,
    code: 'if (rank === 0) { await new Promise((r) => setTimeout(r, 60)); throw new Error("late"); }\ndist.barrier()',
    codes: [null, P],
    says: ['rank 1 waits for rank 0, which failed with Error: late'],
  },
];
