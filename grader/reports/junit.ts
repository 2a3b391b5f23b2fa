import type { Report } from '../report.js';
import { escapeXml, feedbackLines } from './text.js';

/** JUnit XML as CI systems read it: a suite per submission, a case per check. */
export function junitReport(reports: readonly Report[]): string {
  const suites = reports.map(suite);
  const total = suites.reduce(
    (sum, { tests, failures, errors, skipped }) => [
      sum[0]! + tests,
      sum[1]! + failures,
      sum[2]! + errors,
      sum[3]! + skipped,
    ],
    [0, 0, 0, 0],
  );
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="shardbook" tests="${total[0]}" failures="${total[1]}" errors="${total[2]}" skipped="${total[3]}">`,
    ...suites.map(({ xml }) => xml),
    '</testsuites>',
    '',
  ].join('\n');
}

function suite(report: Report) {
  const name = escapeXml(`${report.exercise.id} ${report.submission.name}`);
  // What ended the grading before any check is a case of its own.
  const checks =
    report.checks.length > 0
      ? report.checks
      : [
          {
            id: 'submission',
            title: 'The submission can be graded',
            verdict: report.verdict,
            feedback: report.feedback,
            milliseconds: report.milliseconds,
          },
        ];
  let failures = 0;
  let errors = 0;
  let skipped = 0;
  const cases = checks.map(({ title, verdict, feedback, milliseconds }) => {
    const head = `    <testcase classname="${name}" name="${escapeXml(title)}" time="${(milliseconds / 1000).toFixed(3)}"`;
    if (verdict === 'pass') return `${head}/>`;
    const message = escapeXml(feedback?.message ?? '');
    const body = feedback === undefined ? '' : escapeXml(feedbackLines(feedback, report).join('\n'));
    if (verdict === 'blocked' || verdict === 'not-attempted') {
      skipped++;
      return `${head}>\n      <skipped message="${message}"/>\n    </testcase>`;
    }
    const tag = verdict === 'infra-error' ? 'error' : 'failure';
    if (tag === 'error') errors++;
    else failures++;
    return `${head}>\n      <${tag} type="${verdict}" message="${message}">${body}</${tag}>\n    </testcase>`;
  });
  const output = report.prints.map(({ rank, text }) => `rank ${rank}:\n${text}`).join('\n');
  const xml = [
    `  <testsuite name="${name}" tests="${checks.length}" failures="${failures}" errors="${errors}" skipped="${skipped}" time="${(report.milliseconds / 1000).toFixed(3)}">`,
    ...cases,
    ...(output === '' ? [] : [`    <system-out>${escapeXml(output)}</system-out>`]),
    '  </testsuite>',
  ].join('\n');
  return { xml, tests: checks.length, failures, errors, skipped };
}
