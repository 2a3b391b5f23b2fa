/** Authoring: mutants, a new exercise that proves itself, holes that are found. Needs a build. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadExercise } from '../exercise.js';
import { DOUBLE, writeFiles } from '../fixtures/exercises.js';
import { newExercise, type SelfCheckResult, selfCheck } from './index.js';
import { makeMutants } from './mutate.js';

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));
let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-author-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const prove = (id: string, mutants: number): Promise<SelfCheckResult[]> =>
  selfCheck({
    exercise: loadExercise(join(root, 'exercises', id)),
    solutions: join(root, 'solutions', id),
    packageRoot,
    version: '0',
    mutants,
    jobs: 2,
  });
const failures = (results: readonly SelfCheckResult[]): string[] =>
  results.filter(({ passed }) => !passed).map(({ name, outcome }) => `${name}: ${outcome}`);

describe('newExercise()', () => {
  it('writes an exercise that passes its own check', async () => {
    expect(newExercise(root, 'rank-mean')).toContain('exercises/rank-mean/exercise.yaml');
    const results = await prove('rank-mean', 3);
    expect(failures(results)).toEqual([]);
    expect(results.length).toBeGreaterThan(18);
    expect(() => newExercise(root, 'rank-mean')).toThrow('is there already');
    expect(() => newExercise(root, '../up')).toThrow('a name is small letters');
  }, 240_000);
});

describe('selfCheck()', () => {
  it('finds a mutant that no check kills, until the notes explain it', async () => {
    // A check that looks at the shape alone.
    const checks = `import type { CheckKit, CheckTable } from 'shardbook/grader';
export default (kit: CheckKit): CheckTable => {
  const shape = async (context: Parameters<CheckTable[string]>[0]) => {
    const { run, fail } = await kit.runSetting(context, { name: 'one rank', work: { inputs: [[kit.tensor([1, 2])]] } });
    if (run.ranks[0]!.outputs[0]?.shape.join() !== '2') throw fail({ message: 'another shape' });
  };
  return { doubles: shape, other: async () => {} };
};`;
    writeFiles(root, { ...DOUBLE, 'solutions/double/checks.ts': checks });
    const before = failures(await prove('double', 100));
    const survivors = before.filter((line) => line.startsWith('automatic mutant'));
    expect(survivors.some((line) => line.includes('off by one: t.mul([2]) -> 3'))).toBe(true);
    expect(before.some((line) => line.startsWith('mutant factor-0'))).toBe(true);
    const notes = join(root, 'solutions/double/notes.md');
    const labels = survivors.map(
      (line) =>
        /line \\d+, (.*): wanted/.exec(line)?.[1] ??
        line.replace(/^automatic mutant, line \d+, /, '').split(': wanted')[0]!,
    );
    writeFileSync(
      notes,
      `${readFileSync(notes, 'utf8')}\n## Surviving mutants\n\n${labels.map((label) => `- \`${label}\`: only the shape is looked at\n`).join('')}`,
    );
    expect(failures(await prove('double', 100)).filter((line) => line.startsWith('automatic'))).toEqual([]);
  }, 240_000);

  it('finds code in the task that does not compile, types that are wrong and hints that are missing', async () => {
    writeFiles(root, {
      ...DOUBLE,
      'exercises/double/task.md': '# Task\r\n\r\n```ts\r\nconst a = ;\r\n```\r\n',
      'exercises/double/hints.md': `\ufeff## One\n\n\`\`\`ts\n${DOUBLE['solutions/double/reference.ts']}\`\`\`\n`,
      'solutions/double/checks.ts': `${DOUBLE['solutions/double/checks.ts']}export const wrong = (kit: CheckKit): number => kit.nothing;\n`,
      'exercises/double/starter.ts': 'export function double(t: string): number {\n  return t;\n}\n',
    });
    const found = failures(await prove('double', 0)).join('\n');
    for (const words of [
      'code in task.md: block 1, line 1',
      'hints: 1 there',
      'starter.ts:2: Type',
      "checks.ts:16: Property 'nothing' does not exist",
      'code of task and hints, 1: wanted anything but pass: it tells the solution; got pass',
    ])
      expect(found).toContain(words);
  }, 240_000);

  it('finds checks that judge nothing, programs that are there twice, and what names a hidden check', async () => {
    const reference = DOUBLE['solutions/double/reference.ts']!;
    writeFiles(root, {
      ...DOUBLE,
      'exercises/double/task.md': '# Double\n\nWrite `double(t)`. It doubles\nother numbers.\n',
      'solutions/double/alternatives/again.ts': `// The same.\n${reference.replace('return', '  return')}`,
      'solutions/double/mutants.yaml': `${DOUBLE['solutions/double/mutants.yaml']}\ntwin:\n  fails: wrong in doubles\n  edits: [{ find: mul(2), replace: mul( 3 ) }]\n`,
      'solutions/double/checks.ts':
        'export default () => ({ doubles: () => new Promise(() => {}), other: async () => {}, third: async () => {} });\n',
    });
    expect(failures(await prove('double', 0))).toEqual([
      'hidden checks: task, hints or starter name "other"',
      'alternatives: again is the same program as reference',
      'mutants: twin is the same program as factor-0',
      'checks: not in exercise.yaml: third; "doubles" does not end; "other" passes a submission that answers nothing',
    ]);
  }, 120_000);

  it('says that the checks throw before they are asked for', async () => {
    writeFiles(root, { ...DOUBLE, 'solutions/double/checks.ts': 'throw new Error("boom");\n' });
    await expect(prove('double', 0)).rejects.toThrow('it throws before any check is run: Error: boom');
    writeFiles(root, {
      'solutions/double/checks.ts': 'export default (kit) => ({ doubles: kit.nothing() });\n',
    });
    await expect(prove('double', 0)).rejects.toThrow('kit.nothing is not a function');
    writeFiles(root, { 'solutions/double/checks.ts': 'export default () => ({ doubles: 1, other: 2 });\n' });
    await expect(prove('double', 0)).rejects.toThrow('no default export that is a function of the kit');
  }, 120_000);
});

describe('makeMutants()', () => {
  it('makes the mistakes that learners make, each on its line', () => {
    const source = [
      "import { dist, optim, type Tensor, torch } from 'shardbook';",
      'export function step(t: Tensor, rank: number, worldSize: number, adam: optim.Adam): Tensor {',
      '  adam.zeroGrad();',
      '  dist.allReduce(t);',
      '  const right = (rank + 1) % worldSize;',
      '  for (let i = 0; i < worldSize; i++) t.add_(right);',
      '  return torch.cat([t.narrow(0, 0, 2)], 0).div(worldSize);',
      '}',
    ].join('\n');
    const mutants = makeMutants(source);
    const kinds = new Set(mutants.map(({ kind }) => kind));
    for (const kind of [
      'missing zero-grad',
      'swapped call',
      'off by one',
      'stale rank',
      'fixed world',
      'dropped modulo',
      'dropped division',
      'wrong dim',
      'left out',
    ])
      expect(kinds).toContain(kind);
    expect(mutants.find(({ kind }) => kind === 'missing zero-grad')).toMatchObject({ line: 3 });
    expect(mutants.map(({ label }) => label)).toContain('swapped call: dist.[allReduce](t) -> broadcast');
    expect(new Set(mutants.map(({ text }) => text)).size).toBe(mutants.length);
    expect(mutants.every(({ text }) => text !== source)).toBe(true);
  });
});
