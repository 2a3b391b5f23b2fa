import type { Report } from '../report.js';
import type { Feedback } from '../verdict.js';
import { escapeMarkdown, failures, feedbackLines, points } from './text.js';

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
  const add = (feedback: Feedback, title?: string): void => {
    if (title !== undefined) lines.push(`**${escapeMarkdown(title)}**`, '');
    lines.push(...feedbackLines(feedback, report).map((line) => `- ${escapeMarkdown(line)}`), '');
  };
  if (report.feedback !== undefined) add(report.feedback);
  for (const { title, feedback } of failures(report)) add(feedback, title);
  if (report.types.length > 0) {
    lines.push('**Type errors** (they do not decide the verdict)', '');
    for (const { file, line, message } of report.types)
      lines.push(`- ${escapeMarkdown(`${file}:${line}: ${message}`)}`);
    lines.push('');
  }
  for (const note of report.notes) lines.push(`- ${escapeMarkdown(note)}`);
  return lines.join('\n').trimEnd();
}
