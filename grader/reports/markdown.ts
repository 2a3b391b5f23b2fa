import type { Report } from '../report.js';
import { escapeMarkdown, feedbackLines, neutralize, placeOf, points } from './text.js';

/** A summary for a pull request or a job's page. */
export function markdownReport(reports: readonly Report[]): string {
  return `${reports.map(one).join('\n\n')}\n`;
}

function one(report: Report): string {
  const { exercise, submission, score, verdict } = report;
  const lines = [
    `### ${escapeMarkdown(exercise.title)}: ${verdict}, ${points(score.earned)} of ${points(score.possible)} points`,
    '',
    `Submission: ${escapeMarkdown(submission.name)}`,
    '',
  ];
  if (report.checks.length > 0) {
    lines.push('| check | verdict | points |', '| --- | --- | --- |');
    for (const check of report.checks)
      lines.push(
        `| ${escapeMarkdown(check.title)} | ${check.verdict} | ${points(check.earned)} / ${points(check.weight)} |`,
      );
    lines.push('');
  }
  const failing = report.checks.find((check) => check.verdict !== 'pass' && check.verdict !== 'blocked');
  const feedback = report.feedback ?? failing?.feedback;
  if (feedback !== undefined)
    lines.push(...feedbackLines(feedback, report).map((line) => `- ${escapeMarkdown(line)}`), '');
  for (const note of report.notes) lines.push(`- ${escapeMarkdown(note)}`);
  return lines.join('\n').trimEnd();
}

/** Workflow commands of GitHub that put feedback at the learner's lines. `path` is the submission in the repository. */
export function githubAnnotations(report: Report, path: string): string[] {
  const data = (text: string): string =>
    neutralize(text).replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
  const property = (text: string): string => data(text).replace(/:/g, '%3A').replace(/,/g, '%2C');
  const own =
    report.feedback === undefined ? [] : [{ title: report.verdict as string, feedback: report.feedback }];
  const failing = report.checks.flatMap(({ title, verdict, feedback }) =>
    feedback === undefined || verdict === 'blocked' ? [] : [{ title, feedback }],
  );
  return [...own, ...failing].map(({ title, feedback }) => {
    // A cell of a notebook is no line of its file.
    const { line, file } = feedback;
    const isFolder = report.submission.kind === 'folder' && file !== undefined;
    const at = line !== undefined && (file === undefined || isFolder) ? `,line=${line}` : '';
    const where = isFolder ? `${path.replace(/\/+$/, '')}/${file}` : path;
    const place = placeOf(feedback, report);
    const text = feedbackLines(
      place === undefined ? feedback : { ...feedback, message: feedback.message },
      report,
    ).join('\n');
    return `::error file=${property(where)}${at},title=${property(title)}::${text.split('\n').map(data).join('%0A')}`;
  });
}
