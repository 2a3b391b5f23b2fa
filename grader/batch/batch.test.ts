/** Many submissions: found, graded once each, kept, merged. Needs a build. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DOUBLE, writeFiles } from '../fixtures/exercises.js';
import type { Report } from '../report.js';
import { nothingLeft } from './drain.js';
import {
  type Executor,
  findJobs,
  gradebook,
  type Job,
  type JobOptions,
  mergeResults,
  PoolExecutor,
  Results,
  runBatch,
  shardOf,
} from './index.js';

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));
let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-batch-'));
  options = {
    exercises: join(root, 'exercises'),
    packageRoot,
    seed: 1,
    untrusted: false,
    publicOnly: false,
  };
  writeFiles(root, DOUBLE);
  const right = DOUBLE['solutions/double/reference.ts']!;
  writeFiles(root, {
    'handed-in/ann/double.ts': right,
    'handed-in/bob/double.ts': `${right}\n`,
    'handed-in/cyd/double.ts': right,
    'handed-in/dan/double.ts': 'export const double = 3;',
    'handed-in/.hidden/double.ts': right,
  });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

let options: JobOptions;
const jobs = (seed = 1): Job[] => findJobs(join(root, 'handed-in'), { ...options, seed });

/** Answers from a table, and counts. */
class Told implements Executor {
  graded: string[] = [];
  constructor(private readonly verdicts: (job: Job) => string = () => 'pass') {}
  async run(all: readonly Job[], onResult: (job: Job, report: Report) => void): Promise<void> {
    for (const job of all) {
      this.graded.push(job.learner);
      const verdict = this.verdicts(job);
      onResult(job, { verdict, score: { earned: verdict === 'pass' ? 4 : 0, possible: 4 } } as Report);
    }
  }
  async close(): Promise<void> {}
}

describe('findJobs()', () => {
  it('keeps learners apart whose names are written alike, and letters of every script', () => {
    const folder = join(root, 'alike');
    for (const name of ['\u5f20\u4f1f', '\u674e\u5a1c', 'a:b', 'a;b', '\u001b[2Jx'])
      writeFiles(folder, { [`${name}/double.ts`]: 'export const double = 1;' });
    writeFiles(folder, { 'a:b/double.ipynb': '{}' });
    const names = findJobs(folder, options).map(({ learner }) => learner);
    expect(names.toSorted()).toEqual(
      ['__2Jx', 'a_b', 'a_b (2)', 'a_b (3)', '\u5f20\u4f1f', '\u674e\u5a1c'].toSorted(),
    );
  });

  it('says what it leaves out', () => {
    const folder = join(root, 'left-out');
    writeFiles(folder, {
      'ann/double.ts': 'export const double = 1;',
      'ann/duoble.ts': '',
      'bob/notes.txt': '',
      'work.zip': '',
      'double/cyd.docx': '',
    });
    const left: string[] = [];
    const found = findJobs(folder, { ...options, onIgnored: (path) => left.push(path.slice(folder.length)) });
    expect(found.map(({ learner }) => learner)).toEqual(['ann', 'bob']);
    expect(left.toSorted()).toEqual(['/ann/duoble.ts', '/double/cyd.docx', '/work.zip']);
  });

  it.runIf(process.platform === 'linux')(
    'takes a file whose name is no text, and one that is gone, for a failure of the grader with that one alone',
    async () => {
      const folder = join(root, 'odd-names');
      writeFiles(folder, { 'ann.ts': 'export const double = 1;', 'gone.ts': 'export const double = 2;' });
      writeFileSync(
        Buffer.concat([Buffer.from(join(folder, 'b')), Buffer.from([0xff]), Buffer.from('.ts')]),
        '',
      );
      const found = findJobs(folder, { ...options, only: ['double'] });
      rmSync(join(folder, 'gone.ts'));
      const results = new Results(join(root, 'odd-results'));
      const pool = new PoolExecutor({ packageRoot, version: '0' }, 1);
      const { entries } = await runBatch(found, pool, results);
      expect(entries.map(({ learner, verdict }) => [learner, verdict])).toEqual([
        ['ann', 'load-error'],
        ['b_', 'infra-error'],
        ['gone', 'infra-error'],
      ]);
    },
    120_000,
  );
});

describe('runBatch()', () => {
  it('grades what is there once, equal submissions too, and knows it the next time', async () => {
    const results = new Results(join(root, 'out-real'));
    const place = { packageRoot, version: '0' };
    const first = await runBatch(jobs(), new PoolExecutor(place, 2), results);
    expect(first.entries.map(({ learner, verdict, earned }) => [learner, verdict, earned])).toEqual([
      ['ann', 'pass', 4],
      ['bob', 'pass', 4],
      ['cyd', 'pass', 4],
      ['dan', 'load-error', 0],
    ]);
    expect(first.kept).toBe(1);
    // Whose it is, also where two have handed in the same.
    expect(first.reports.map(({ submission }) => submission.name)).toEqual(
      ['ann', 'bob', 'cyd', 'dan'].map((name) => `${name}/double.ts`),
    );
    const again = await runBatch(jobs(), new PoolExecutor(place, 2), results);
    expect([again.kept, again.changes]).toEqual([4, []]);
  });

  it('goes on where it was interrupted', async () => {
    const results = new Results(join(root, 'out-resume'));
    const broken = new Told();
    broken.run = async (all, onResult) => {
      onResult(all[0]!, { verdict: 'pass', score: { earned: 4, possible: 4 } } as Report);
      throw new Error('the power went');
    };
    await expect(runBatch(jobs(), broken, results)).rejects.toThrow('the power went');
    const rest = new Told();
    await runBatch(jobs(), rest, results);
    expect(rest.graded).toEqual(['bob', 'dan']);
  });

  it('tries an infrastructure failure again, and never counts it as a zero', async () => {
    const results = new Results(join(root, 'out-infra'));
    const { entries } = await runBatch(
      jobs(),
      new Told(({ learner }) => (learner === 'dan' ? 'infra-error' : 'pass')),
      results,
    );
    const row = gradebook(entries)
      .split('\n')
      .find((line) => line.startsWith('dan'));
    expect(row).toBe('dan,,infra-error,0,0');
    const next = new Told();
    await runBatch(jobs(), next, results);
    expect(next.graded).toEqual(['dan']);
  });

  it('shows what a regrade changed', async () => {
    const results = new Results(join(root, 'out-regrade'));
    await runBatch(jobs(), new Told(), results);
    const { changes } = await runBatch(
      jobs(2),
      new Told(({ learner }) => (learner === 'dan' ? 'wrong' : 'pass')),
      results,
    );
    expect(changes).toEqual([
      { learner: 'dan', exercise: 'double', before: 'pass, 4 of 4 points', after: 'wrong, 0 of 4 points' },
    ]);
  });
});

describe('runBatch() on results that are there', () => {
  const verdictOf = (verdict: 'pass' | 'wrong' | 'infra-error') =>
    new Told(({ learner }) => (learner === 'dan' ? verdict : 'pass'));

  it('takes what a regrade gives for the same key, but not a failure of the grader', async () => {
    const results = new Results(join(root, 'out-again'));
    await runBatch(jobs(), verdictOf('wrong'), results);
    const changed = (await runBatch(jobs(), verdictOf('pass'), results, { again: true })).changes;
    expect(changed.map(({ learner, before, after }) => [learner, before, after])).toEqual([
      ['dan', 'wrong, 0 of 4 points', 'pass, 4 of 4 points'],
    ]);
    const { entries, changes } = await runBatch(jobs(), verdictOf('infra-error'), results, { again: true });
    expect([entries.find(({ learner }) => learner === 'dan')!.verdict, changes]).toEqual(['pass', []]);
  });

  it('keeps the first of two results that differ, says so, and goes on with the others', async () => {
    const results = new Results(join(root, 'out-conflict'));
    const other = verdictOf('wrong');
    const run = other.run.bind(other);
    // Somebody else grades into the same folder in the meantime.
    other.run = async (all, onResult) => {
      await runBatch(jobs(), verdictOf('pass'), results);
      await run(all, onResult);
    };
    const { conflicts, entries } = await runBatch(jobs(), other, results);
    expect(conflicts.map(({ code }) => code)).toEqual(['SB_RESULTS_DIFFER']);
    expect(entries.map(({ verdict }) => verdict)).toEqual(['pass', 'pass', 'pass', 'pass']);
  });

  it('says which manifest cannot be read', () => {
    const results = new Results(join(root, 'out-manifest'));
    writeFileSync(join(results.folder, 'manifest.json'), '{"a"');
    expect(() => results.manifest()).toThrow(/Cannot read ".*manifest\.json": it is not a list of results/);
    writeFileSync(join(results.folder, 'manifest.json'), '{}');
    expect(() => results.manifest()).toThrow('it is not a list of results');
  });
});

describe('nothingLeft()', () => {
  it('ends with the error of what takes the results, and ends the work', async () => {
    let ended = false;
    const waiting = nothingLeft(['a'], async (_settle, _left, fail) => {
      fail(new Error('the disk is full'));
      return () => {
        ended = true;
      };
    });
    await expect(waiting).rejects.toThrow('the disk is full');
    expect(ended).toBe(true);
  });
});

describe('findJobs()', () => {
  it('reads the other two layouts as well', () => {
    const options = {
      exercises: join(root, 'exercises'),
      packageRoot,
      seed: 1,
      untrusted: false,
      publicOnly: false,
    };
    writeFiles(root, {
      'by-exercise/double/eve.ts': 'export const a = 1;',
      'flat/fay.ts': 'export const a = 1;',
    });
    mkdirSync(join(root, 'flat/gus'));
    writeFileSync(join(root, 'flat/gus/submission.ts'), '');
    const names = (folder: string, only?: string[]) =>
      findJobs(join(root, folder), { ...options, ...(only === undefined ? {} : { only }) }).map(
        ({ learner, exercise }) => `${learner} ${exercise}`,
      );
    expect(names('by-exercise')).toEqual(['eve double']);
    expect(names('flat', ['double'])).toEqual(['fay double', 'gus double']);
    mkdirSync(join(root, 'nothing'));
    expect(() => names('nothing')).toThrow('it holds no submissions');
  });

  it('has another key when the exercise, the seed or the submission changes', () => {
    const before = jobs();
    expect(new Set([...before, ...jobs(2)].map(({ key }) => key)).size).toBe(6);
    const checks = join(root, 'solutions/double/checks.ts');
    const text = readFileSync(checks, 'utf8');
    writeFileSync(checks, `${text}// changed\n`);
    expect(jobs()[0]!.key).not.toBe(before[0]!.key);
    writeFileSync(checks, text);
    expect(jobs()[0]!.key).toBe(before[0]!.key);
  });
});

describe('mergeResults()', () => {
  it('puts shards together into what one run gives', async () => {
    const parts = [1, 2, 3].map((i) => join(root, `shard-${i}`));
    for (const [i, part] of parts.entries())
      await runBatch(shardOf(jobs(), i + 1, 3), new Told(), new Results(part));
    mergeResults(parts, join(root, 'merged'));
    const whole = new Results(join(root, 'whole'));
    await runBatch(jobs(), new Told(), whole);
    expect(new Results(join(root, 'merged')).manifest()).toEqual(whole.manifest());
    expect(() => mergeResults([join(root, 'nothing')], join(root, 'merged'))).toThrow('Cannot merge');
  });
});

describe('Results.write()', () => {
  const report = (verdict: string): Report => ({ verdict, score: { earned: 0, possible: 1 } }) as Report;

  it('keeps the first result and refuses another verdict for the same key', () => {
    const results = new Results(join(root, 'out-write'));
    expect(results.write('k', report('wrong')).verdict).toBe('wrong');
    expect(results.write('k', report('infra-error')).verdict).toBe('wrong');
    expect(() => results.write('k', report('pass'))).toThrow('Cannot keep a second result');
  });

  it('takes a half written result for none', () => {
    const results = new Results(join(root, 'out-half'));
    writeFileSync(join(results.folder, 'reports/k.json'), '{"verdict": "pa');
    expect(results.read('k')).toBeUndefined();
    expect(results.write('k', report('pass')).verdict).toBe('pass');
    expect(results.read('k')?.verdict).toBe('pass');
  });
});

describe('gradebook()', () => {
  it('makes no formula of a name', () => {
    const entry = {
      learner: '=cmd|x',
      exercise: 'double',
      key: 'k',
      verdict: 'pass',
      earned: 1.5,
      possible: 4,
    };
    expect(gradebook([entry])).toBe("learner,double,double verdict,total,possible\n'=cmd|x,1.5,pass,1.5,4\n");
  });
});
