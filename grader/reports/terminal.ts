import type { Report } from '../report.js';
import { feedbackLines, neutralize, points } from './text.js';

export interface TerminalOptions {
  readonly colours?: boolean;
}

/** The report for a terminal. */
export function formatReport(report: Report, { colours = false }: TerminalOptions = {}): string {
  const { exercise, submission, score } = report;
  const paint = (code: number, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
  const lines: string[] = [];
  const add = (text: string, code?: number): void => {
    const clean = neutralize(text);
    lines.push(code === undefined ? clean : paint(code, clean));
  };
  add(`${exercise.title}: ${submission.name}`, 1);
  add('');
  for (const check of report.checks) {
    const passed = check.verdict === 'pass';
    const mark = paint(passed ? 32 : check.verdict === 'blocked' ? 90 : 31, check.verdict.padEnd(13));
    const share =
      check.earned > 0 && !passed ? ` (${points(check.earned)} of ${points(check.weight)} points)` : '';
    lines.push(
      `  ${mark} ${neutralize(`${check.title}${check.visibility === 'hidden' ? ' (hidden)' : ''}${share}`)}`,
    );
    if (check.feedback !== undefined && check.verdict !== 'blocked')
      for (const line of feedbackLines(check.feedback, report)) add(`                ${line}`);
  }
  if (report.feedback !== undefined)
    for (const line of feedbackLines(report.feedback, report)) add(`  ${line}`);
  for (const note of report.notes) add(`  note: ${note}`);
  if (report.types.length > 0) {
    add('');
    add('Type errors (they do not decide the verdict):');
    for (const { file, line, message } of report.types) add(`  ${file}:${line}: ${message}`);
  }
  for (const { rank, text } of report.prints) {
    add('');
    add(`Printed by rank ${rank}:`);
    for (const line of text.trimEnd().split('\n')) add(`  | ${line}`);
  }
  add('');
  add(
    `Verdict: ${report.verdict}, ${points(score.earned)} of ${points(score.possible)} points`,
    report.verdict === 'pass' ? 32 : 31,
  );
  return lines.join('\n');
}
