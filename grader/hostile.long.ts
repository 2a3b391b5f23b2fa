/**
 * Every hostile submission gets its exact verdict, in the sandbox: none is forged, nothing leaks, nothing is left behind.
 * Takes minutes, so it runs in `.ci/run` and not in `npm test`. Needs a build and bubblewrap.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WATCHED, writeFiles } from './fixtures/exercises.js';
import { HOSTILE, type Hostile } from './hostile/index.js';
import {
  ctrfReport,
  formatReport,
  githubAnnotations,
  gradeSubmission,
  gradescopeReport,
  junitReport,
  loadExercise,
  markdownReport,
  type Report,
  visibleJson,
} from './index.js';

const packageRoot = fileURLToPath(new URL('..', import.meta.url));
const outside = tmpdir();
let root = '';
let place = '';
beforeAll(() => {
  root = mkdtempSync(join(outside, 'shardbook-hostile-'));
  place = join(root, 'tmp');
  mkdirSync(place);
  // What is left behind is looked for here.
  process.env['TMPDIR'] = place;
  writeFiles(root, WATCHED);
});
afterAll(() => {
  process.env['TMPDIR'] = outside;
  rmSync(root, { recursive: true, force: true });
});

let count = 0;

async function grade({ source, kind = '.ts', file: called, exercise: id }: Hostile): Promise<Report> {
  const exercise = loadExercise(
    id === undefined ? join(root, 'exercises/double') : join(packageRoot, 'exercises', id),
  );
  const isFolder = typeof source !== 'string' && !(source instanceof Uint8Array);
  const file = join(root, `handed-in-${++count}`, called ?? (isFolder ? 'work' : `work${kind}`));
  mkdirSync(join(file, '..'), { recursive: true });
  if (isFolder) writeFiles(file, source);
  else writeFileSync(file, source);
  return gradeSubmission({
    exercise,
    file,
    packageRoot,
    version: '0',
    types: false,
    untrusted: true,
    seed: 987_654_321,
  });
}

/** Everything that a report may become. */
function allForms(report: Report): string[] {
  return [
    formatReport(report),
    junitReport([report]),
    JSON.stringify(ctrfReport([report])),
    JSON.stringify(gradescopeReport(report)),
    markdownReport([report]),
    visibleJson(report),
    githubAnnotations(report, 'work.ts')
      .map((line) => line.replace(/^::error [^:]*::/, ''))
      .join('\n'),
  ];
}

/** Command lines of processes that were started with something of ours. */
function processes(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return line.includes(place) && !line.includes('vitest') ? [line] : [];
      } catch {
        return [];
      }
    });
}

describe('a hostile submission', () => {
  it('is one of at least 110', () => {
    expect(HOSTILE.length).toBeGreaterThanOrEqual(110);
    expect(new Set(HOSTILE.map(({ name }) => name)).size).toBe(HOSTILE.length);
  });

  it.concurrent.each(
    HOSTILE.map((hostile) => [hostile.name, hostile] as const),
  )('%s', async (_name, hostile) => {
    const report = await grade(hostile);
    const failing = report.checks.find((check) => check.verdict !== 'pass');
    const feedback = report.feedback ?? failing?.feedback;
    const said = [feedback?.message, ...(feedback?.details ?? [])].join('\n');
    expect([report.verdict, said]).toEqual([hostile.verdict, expect.stringContaining(hostile.says ?? '')]);
    expect(report.verdict).not.toBe('pass');
    expect(report.grader.isolation).toBe('bubblewrap');
    const forms = allForms(report);
    const json = JSON.stringify(report);
    expect(json.length).toBeLessThan(50_000);
    for (const text of [...forms, json]) {
      // Nothing of this machine, nothing of what a hidden check knows.
      for (const secret of ['root:x:', packageRoot, root, 'hidden0', 'f32[2, 3], wanted'])
        expect(text).not.toContain(secret);
    }
    for (const text of forms) {
      expect(text).not.toMatch(/(?![\t\n])[\p{Cc}\p{Cf}\p{Cs}]/u);
      expect(text).not.toMatch(/^::(set-output|error)/m);
    }
    expect(forms[4]).not.toContain('<script');
    expect(forms[1]).not.toContain('<script');
  });

  it('leaves no process, no folder and no control group behind', async () => {
    await expect.poll(processes, { timeout: 5000 }).toEqual([]);
    expect(readdirSync(place).filter((name) => !name.startsWith('shardbook-kit-'))).toEqual([]);
    const groups = [
      '/sys/fs/cgroup',
      '/sys/fs/cgroup/pids',
      '/sys/fs/cgroup/memory',
      '/sys/fs/cgroup/unified',
    ]
      .filter((folder) => existsSync(folder))
      .flatMap((folder) =>
        readdirSync(folder).filter((name) => name.startsWith(`shardbook-${process.pid}-`)),
      );
    expect(groups).toEqual([]);
  });
});
