import { ShardbookError } from 'shardbook';
import type { Report } from '../report.js';
import { feedbackLines, neutralize } from './text.js';

/**
 * Gradescope's results.json. A failure of the grader's own has no results: Gradescope then shows that the autograder failed,
 * and keeps the grade that was there.
 */
export function gradescopeReport(report: Report): Record<string, unknown> {
  if (report.verdict === 'infra-error') {
    throw new ShardbookError({
      code: 'SB_NO_RESULT',
      message: 'Cannot write results: the grader could not work, which must not become a zero',
      help: 'Run it again',
    });
  }
  const text = (lines: readonly string[]): string => lines.map(neutralize).join('\n');
  return {
    score: report.score.earned,
    execution_time: Math.round(report.milliseconds / 1000),
    output: text([
      `Verdict: ${report.verdict}`,
      ...(report.feedback === undefined ? [] : feedbackLines(report.feedback, report)),
      ...report.notes,
    ]),
    output_format: 'text',
    stdout_visibility: 'hidden',
    tests: report.checks.map(({ title, weight, earned, verdict, visibility, feedback }) => ({
      name: neutralize(title),
      name_format: 'text',
      score: earned,
      max_score: weight,
      status: verdict === 'pass' ? 'passed' : 'failed',
      output: text([verdict, ...(feedback === undefined ? [] : feedbackLines(feedback, report))]),
      output_format: 'text',
      // What a hidden check says is one authored sentence.
      visibility: 'visible',
      tags: [visibility],
    })),
    extra_data: {
      verdict: report.verdict,
      seed: report.seed,
      format: report.format,
      sha256: report.submission.sha256,
    },
  };
}
