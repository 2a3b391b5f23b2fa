/** Virtual time and peak memory as conditions of an exercise. Needs a build: the ranks are processes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Files, writeFiles } from './fixtures/exercises.js';
import { gradeSubmission, loadExercise, type Report } from './index.js';

const packageRoot = fileURLToPath(new URL('..', import.meta.url));
const TIMEOUT = 180_000;

const EXERCISE: Files = {
  'exercises/frugal/exercise.yaml': `id: frugal
title: Little time, little memory
exports: [spread, total]
imports: [shardbook]
comm: links
worlds: [4]
limits: { caseSeconds: 60, loadSeconds: 60, memoryMb: 1024 }
checks:
  - { id: time, title: Time }
  - { id: memory, title: Memory }
`,
  'exercises/frugal/starter.ts': 'export function spread(): void {}\nexport function total(): void {}\n',
  'solutions/frugal/checks.ts': `import type { CheckKit, CheckTable } from 'shardbook/grader';

export default (kit: CheckKit): CheckTable => ({
  time: async (context) => {
    const inputs = [0, 1, 2, 3].map((rank) => [kit.tensor(new Array(250).fill(rank))]);
    const outcome = await kit.runSetting(context, { name: 'spread', work: { inputs, call: 'spread' } });
    // Rank 0 sends two at once, 1000 bytes each at 1 GB/s, 10 microseconds; rank 1 one after that.
    kit.requireTime(outcome, { atMost: 23e-6, hypothesis: 'does one rank send all?' });
  },
  memory: async (context) => {
    const outcome = await kit.runSetting(context, { name: 'total', work: { inputs: [[4]], call: 'total', memory: true } });
    kit.requirePeak(outcome, { atMost: 88 * 2 ** 20, hypothesis: 'is everything kept?' });
  },
});
`,
};
const TREE = `if (comm.rank >= 2) comm.recv(t, comm.rank - 2);
  else if (comm.rank === 1) comm.recv(t, 0);
  if (comm.rank === 0) comm.send(t, 1);
  if (comm.rank < 2) comm.send(t, comm.rank + 2);`;
const FRUGAL = `let sum = 0;
  for (let i = 0; i < n; i++) sum += torch.ones([2 ** 23]).sum().item() as number;
  return sum;`;

function submission(spread: string, total: string, before = ''): string {
  return `import { torch } from 'shardbook';
${before}
export function spread(t: any, comm: any): void {
  ${spread}
}
export async function total(n: number): Promise<number> {
  ${total}
}
`;
}

/** Whether this system counts the memory of a process. */
function countsMemory(): boolean {
  try {
    return /^VmHWM:/m.test(readFileSync('/proc/self/status', 'utf8'));
  } catch {
    return false;
  }
}

let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-side-'));
  writeFiles(root, EXERCISE);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function grade(source: string): Promise<Report> {
  const file = join(root, 'work.ts');
  writeFileSync(file, source);
  const exercise = loadExercise(join(root, 'exercises/frugal'));
  return gradeSubmission({ exercise, file, packageRoot, version: '0.0.0', types: false });
}

const of = (report: Report, id: string): string => {
  const { verdict, feedback } = report.checks.find((check) => check.id === id)!;
  return `${verdict}: ${feedback?.message ?? ''} ${feedback?.hypothesis ?? ''}`;
};

describe('side conditions', () => {
  it(
    'judges the virtual time of what went over the links',
    async () => {
      expect((await grade(submission(TREE, FRUGAL))).verdict).toBe('pass');
      // Handed from rank to rank: three messages, one after the other.
      const chain =
        'if (comm.rank > 0) comm.recv(t, comm.rank - 1); if (comm.rank < 3) comm.send(t, comm.rank + 1);';
      expect(of(await grade(submission(chain, FRUGAL)), 'time')).toBe(
        'wrong: It takes 33 µs of virtual time, wanted at most 23 µs does one rank send all?',
      );
    },
    TIMEOUT,
  );

  it.skipIf(!countsMemory())(
    'judges the memory that a rank holds at once, whatever it says of it',
    async () => {
      const all =
        'const all = []; for (let i = 0; i < n; i++) all.push(torch.ones([2 ** 23])); return all.length;';
      expect(of(await grade(submission(TREE, all)), 'memory')).toMatch(
        /^wrong: The memory of rank 0 rises by 1\d\d\.\d MiB, wanted at most 88\.0 MiB is everything kept\?/,
      );
      // Put by while it is loaded, so that it is there already when counting begins.
      const stock = submission(
        TREE,
        'return stock.length;',
        'const stock = [1, 2, 3, 4].map(() => torch.ones([2 ** 23]));',
      );
      expect(of(await grade(stock), 'memory')).toMatch(/^wrong: The memory of rank 0 rises by/);
      // Begins the counting anew after the peak.
      const again = `const all = [1, 2, 3, 4].map(() => torch.ones([2 ** 23])).length;
  const fs = await import(['node', 'fs'].join(':') as string);
  const text = new TextEncoder().encode(JSON.stringify({ type: 'measure', run: 2 }));
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setUint32(0, text.length, true);
  fs.writeSync(3, prefix);
  fs.writeSync(3, text);
  return all;`;
      expect(of(await grade(submission(TREE, again)), 'memory')).toBe(
        'protocol-error: Rank 0 answered the grader with something out of turn ',
      );
    },
    TIMEOUT,
  );
});
