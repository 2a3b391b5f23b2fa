import type { Report } from '../report.js';
import type { Verdict } from '../verdict.js';
import { feedbackLines, neutralize } from './text.js';

/** Common Test Report Format. Times are milliseconds; start and stop are since the epoch. */
export function ctrfReport(reports: readonly Report[], stop = Date.now()): Record<string, unknown> {
  const tests = reports.flatMap((report) => {
    const suite = neutralize(`${report.exercise.id} ${report.submission.name}`);
    const checks =
      report.checks.length > 0
        ? report.checks
        : [
            {
              title: 'The submission can be graded',
              verdict: report.verdict,
              feedback: report.feedback,
              milliseconds: report.milliseconds,
            },
          ];
    return checks.map(({ title, verdict, feedback, milliseconds }) => ({
      name: neutralize(title),
      status: statusOf(verdict),
      duration: milliseconds,
      suite: [suite],
      rawStatus: verdict,
      ...(feedback === undefined
        ? {}
        : {
            message: neutralize(feedback.message),
            trace: feedbackLines(feedback, report).map(neutralize).join('\n'),
          }),
      ...(feedback?.line === undefined
        ? {}
        : { filePath: neutralize(feedback.file ?? report.submission.name), line: feedback.line }),
    }));
  });
  const count = (status: string): number => tests.filter((test) => test.status === status).length;
  const duration = reports.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return {
    reportFormat: 'CTRF',
    specVersion: '0.0.0',
    results: {
      tool: { name: 'shardbook', version: reports[0]?.grader.shardbook ?? '' },
      summary: {
        tests: tests.length,
        passed: count('passed'),
        failed: count('failed'),
        pending: 0,
        skipped: count('skipped'),
        other: count('other'),
        start: stop - duration,
        stop,
      },
      tests,
    },
  };
}

function statusOf(verdict: Verdict): 'passed' | 'failed' | 'skipped' | 'other' {
  if (verdict === 'pass') return 'passed';
  if (verdict === 'blocked' || verdict === 'not-attempted') return 'skipped';
  return verdict === 'infra-error' ? 'other' : 'failed';
}
