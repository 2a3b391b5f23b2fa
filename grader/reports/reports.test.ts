import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { exitCode, REPORT_FORMAT, type Report } from '../report.js';
import {
  codeQualityReport,
  ctrfReport,
  escapeCsv,
  formatReport,
  githubAnnotations,
  gradescopeReport,
  junitReport,
  markdownReport,
  neutralize,
  reportSchema,
} from './index.js';
import { escapeMarkdown, visibleJson } from './text.js';

const EVIL = 'a\u001b[2J<script>]]>&"\n::error file=x::y\u202e\ufffe\ud800 [link](javascript:x) @all |';
const report: Report = {
  format: REPORT_FORMAT,
  exercise: { id: 'demo', title: 'Demo' },
  submission: { name: 'work.ts', kind: 'file', sha256: 'ab' },
  grader: { shardbook: '1', runtime: 'r', spec: 's', node: '20', isolation: 'process', layers: ['process'] },
  seed: 1,
  verdict: 'runtime-error',
  score: { earned: 1.5, possible: 4 },
  checks: [
    {
      id: 'one',
      title: 'One',
      visibility: 'public',
      weight: 1,
      verdict: 'pass',
      earned: 1,
      milliseconds: 12,
    },
    {
      id: 'two',
      title: 'Two',
      visibility: 'public',
      weight: 2,
      verdict: 'runtime-error',
      earned: 0.5,
      feedback: { message: EVIL, line: 3, details: [EVIL], case: 'world 2', seed: 1 },
      milliseconds: 5,
    },
    {
      id: 'three',
      title: 'Three',
      visibility: 'hidden',
      weight: 1,
      verdict: 'blocked',
      earned: 0,
      feedback: { message: 'Needs "Two" first' },
      milliseconds: 0,
    },
  ],
  types: [{ file: 'work.ts', line: 2, message: 'no' }],
  notes: ['Not taken: package.json'],
  prints: [{ rank: 1, text: EVIL }],
  milliseconds: 100,
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/;

describe('every form of a report', () => {
  it('takes the power from what a submission says', () => {
    const forms = {
      text: formatReport(report),
      junit: junitReport([report]),
      ctrf: JSON.stringify(ctrfReport([report], 0)),
      gradescope: JSON.stringify(gradescopeReport(report)),
      markdown: markdownReport([report]),
      github: githubAnnotations(report, 'work.ts').join('\n'),
      codequality: JSON.stringify(codeQualityReport(report, 'work.ts')),
    };
    for (const [name, text] of Object.entries(forms)) {
      expect(text, name).not.toMatch(CONTROL);
      expect(text, name).not.toMatch(/^::error file=x/m);
    }
    expect(forms.junit).not.toMatch(/<script|\]\]>/);
    expect(forms.markdown).not.toMatch(/<script|\]\(javascript|@all/);
  });

  it('is in colours only when asked', () => {
    expect(formatReport(report, { colours: true })).toContain('\u001b[31mruntime-error');
    expect(formatReport(report)).toContain('runtime-error Two (0.5 of 2 points)');
    expect(formatReport(report)).toContain('Verdict: runtime-error, 1.5 of 4 points');
  });
});

describe('junitReport()', () => {
  it('counts failures and skips, and is well-formed', () => {
    const xml = junitReport([report]);
    expect(xml).toContain('<testsuites name="shardbook" tests="3" failures="1" errors="0" skipped="1">');
    expect(xml).toContain('name="One" time="0.012"/>');
    const script = 'import sys, xml.dom.minidom; xml.dom.minidom.parseString(sys.stdin.buffer.read())';
    const python = spawnSync('python3', ['-c', script], { input: xml });
    if (python.error === undefined) expect(python.stderr.toString()).toBe('');
  });

  it('makes a refused submission one failing case, and an infrastructure failure an error', () => {
    const refused: Report = {
      ...report,
      checks: [],
      verdict: 'compile-error',
      feedback: { message: 'does not parse' },
    };
    expect(junitReport([refused])).toContain('<failure type="compile-error" message="does not parse">');
    expect(junitReport([{ ...refused, verdict: 'infra-error' }])).toContain('<error type="infra-error"');
  });
});

describe('ctrfReport()', () => {
  it('has the counts and the lines', () => {
    expect(ctrfReport([report], 1000)).toMatchObject({
      reportFormat: 'CTRF',
      results: {
        summary: { tests: 3, passed: 1, failed: 1, skipped: 1, other: 0, start: 900, stop: 1000 },
        tests: [
          { status: 'passed' },
          { status: 'failed', filePath: 'work.ts', line: 3, rawStatus: 'runtime-error' },
          { status: 'skipped' },
        ],
      },
    });
  });
});

describe('gradescopeReport()', () => {
  it('has partial scores, and no results for a failure of the grader', () => {
    expect(gradescopeReport(report)).toMatchObject({
      score: 1.5,
      tests: [
        { score: 1, max_score: 1, status: 'passed' },
        { score: 0.5, max_score: 2, status: 'failed' },
        { score: 0 },
      ],
    });
    expect(() => gradescopeReport({ ...report, verdict: 'infra-error' })).toThrow('must not become a zero');
  });
});

describe('markdownReport()', () => {
  it('has the feedback of every check that failed, and type errors', () => {
    const second = { ...report.checks[1]!, title: 'Four', feedback: { message: 'also off' } };
    const text = markdownReport([{ ...report, checks: [...report.checks, second] }]);
    expect(text).toMatch(/\*\*Two\*\*\n\n- work\.ts:3: a/);
    expect(text).toContain('**Four**\n\n- also off\n');
    expect(text).toContain('**Type errors** (they do not decide the verdict)\n\n- work.ts:2: no\n');
    expect(text).not.toContain('Needs "Two" first');
  });
});

describe('codeQualityReport()', () => {
  it('has a place, a severity and a fingerprint of its own for each finding', () => {
    const twice = { ...report, checks: [report.checks[1]!, report.checks[1]!] };
    const findings = codeQualityReport(twice, 'hw/work.ts') as {
      severity: string;
      fingerprint: string;
      location: unknown;
    }[];
    expect(findings.map(({ severity, location }) => [severity, location])).toEqual([
      ['major', { path: 'hw/work.ts', lines: { begin: 3 } }],
      ['major', { path: 'hw/work.ts', lines: { begin: 3 } }],
      ['minor', { path: 'hw/work.ts', lines: { begin: 2 } }],
    ]);
    expect(new Set(findings.map(({ fingerprint }) => fingerprint)).size).toBe(3);
  });
});

describe('githubAnnotations()', () => {
  it('names the file of a folder, and no line of a notebook', () => {
    const at = (kind: Report['submission']['kind'], file: string): string => {
      const feedback = { message: 'no', line: 3, file };
      const submission = { ...report.submission, kind };
      return githubAnnotations({ ...report, submission, checks: [], feedback }, 'hw/')[0]!;
    };
    expect(at('folder', 'lib/util.ts')).toMatch(/^::error file=hw\/lib\/util\.ts,line=3,/);
    expect(at('notebook', 'hw.ipynb, cell 2')).toMatch(/^::error file=hw\/,title=/);
  });

  it('puts feedback at the line, each command on one line', () => {
    const [line, ...more] = githubAnnotations(report, 'a,b:work.ts');
    expect(more).toEqual(['::warning file=a%2Cb%3Awork.ts,line=2,title=Type error::work.ts:2: no']);
    expect(line).toMatch(/^::error file=a%2Cb%3Awork\.ts,line=3,title=Two::/);
    expect(line).not.toContain('\n');
  });
});

describe('exitCode()', () => {
  it('is 0, 1 or 2', () => {
    expect(
      (['pass', 'wrong', 'not-attempted', 'infra-error'] as const).map((verdict) =>
        exitCode({ ...report, verdict }),
      ),
    ).toEqual([0, 1, 1, 2]);
  });
});

describe('reportSchema', () => {
  it('names every field of a report', () => {
    const { properties, required } = reportSchema as { properties: object; required: string[] };
    expect(Object.keys(properties).sort()).toEqual([...Object.keys(report), 'feedback'].sort());
    expect(required).not.toContain('feedback');
    // The validator is Debian's; where it is not, the shape above is all that is looked at.
    const script =
      'import json, sys, jsonschema; d = json.load(sys.stdin); jsonschema.validate(d["report"], d["schema"])';
    const python = spawnSync('python3', ['-c', script], {
      input: JSON.stringify({
        report: { ...report, prints: [], checks: report.checks.slice(0, 1) },
        schema: reportSchema,
      }),
    });
    if (python.error === undefined && !python.stderr.toString().includes('ModuleNotFoundError'))
      expect(python.stderr.toString()).toBe('');
  });
});

describe('escaping', () => {
  it('hides what has no width, turns text around or is half a character', () => {
    for (const hidden of ['\u00ad', '\u061c', '\u180e', '\u200d', '\ufffa', '\u{e0041}', '\ud83d', '\u0085'])
      expect([hidden, neutralize(`a${hidden}b`)]).toEqual([hidden, 'a\u00b7b']);
    expect(neutralize('\u{1f600} \u00e9 \u0623')).toBe('\u{1f600} \u00e9 \u0623');
    const value = { text: '\u009b2J\u202e\u{e0041}\n\u{1f600}' };
    expect(visibleJson(value)).toContain(String.raw`"\u009b2J\u202e\udb40\udc41\n😀"`);
    expect(JSON.parse(visibleJson(value))).toEqual(value);
  });

  it('makes no formula, no markup and no command', () => {
    expect(escapeCsv('=1+1')).toBe("'=1+1");
    expect(escapeCsv('-3.5')).toBe('-3.5');
    expect(escapeCsv('a,"b"')).toBe('"a,""b"""');
    expect(escapeMarkdown('![x](http://y) <b>')).toBe('\\!\\[x\\]\\(http&#58;//y\\) &lt;b&gt;');
    expect(neutralize('##[error]x')).toBe('# #[error]x');
  });
});

describe('the files for CI', () => {
  const read = (name: string): string =>
    readFileSync(fileURLToPath(new URL(`../ci/${name}`, import.meta.url)), 'utf8');

  it('run on pull requests without secrets, with tools of the base branch, in the sandbox', () => {
    const workflow = parse(read('github.yml')) as {
      on: object;
      permissions: object;
      jobs: { grade: { steps: { uses?: string; run?: string; with?: { ref?: string } }[] } };
    };
    expect(Object.keys(workflow.on)).toEqual(['pull_request']);
    expect(workflow.permissions).toEqual({ contents: 'read' });
    const { steps } = workflow.jobs.grade;
    // A tag can be moved to other code, a commit cannot.
    for (const { uses } of steps) if (uses !== undefined) expect(uses).toMatch(/@[0-9a-f]{40}$/);
    expect(steps[0]!.with!.ref).toContain('base.sha');
    expect(steps.find(({ run }) => run?.includes('shardbook grade'))!.run).toContain('--untrusted');
    expect(read('github.yml')).not.toMatch(
      /secrets\.|\$\{\{ github\.event\.pull_request\.(title|body|head\.ref)/,
    );
    const job = (parse(read('gitlab.yml')) as { grade: { script: string[]; artifacts: { reports: object } } })
      .grade;
    expect(job.script.join(' ')).toContain('--untrusted');
    expect(job.artifacts.reports).toEqual({
      junit: 'reports/*.xml',
      codequality: 'reports/*.codequality.json',
    });
  });

  it('are scripts that a shell can read', () => {
    for (const name of ['gradescope/setup.sh', 'gradescope/run_autograder']) {
      const bash = spawnSync('bash', ['-n'], { input: read(name) });
      if (bash.error === undefined) expect(bash.stderr.toString()).toBe('');
    }
    expect(read('gradescope/run_autograder')).toContain('mode=--untrusted');
    expect(read('Dockerfile')).toContain('bubblewrap');
  });
});
