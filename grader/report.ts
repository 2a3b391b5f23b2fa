import type { Feedback, Verdict } from './verdict.js';

/** Changes when a reader of reports must change; additions do not count. */
export const REPORT_FORMAT = 'shardbook.grade/1';

export interface CheckReport {
  readonly id: string;
  readonly title: string;
  readonly visibility: 'public' | 'hidden';
  readonly weight: number;
  readonly verdict: Verdict;
  /** Absent when the check passed; one authored sentence when it is hidden. */
  readonly feedback?: Feedback;
  readonly milliseconds: number;
}

export interface TypeNote {
  readonly line: number;
  readonly message: string;
}

export interface Report {
  readonly format: typeof REPORT_FORMAT;
  readonly exercise: { readonly id: string; readonly title: string };
  readonly submission: { readonly name: string; readonly sha256: string };
  readonly grader: { readonly shardbook: string; readonly node: string; readonly isolation: 'process' };
  readonly seed: number;
  readonly verdict: Verdict;
  readonly score: { readonly earned: number; readonly possible: number };
  /** What ended the grading before any check, such as a file that does not parse. */
  readonly feedback?: Feedback;
  readonly checks: readonly CheckReport[];
  /** Type errors; they do not decide the verdict. */
  readonly types: readonly TypeNote[];
  /** What the submission printed, by rank, cut to a few KiB. */
  readonly prints: readonly { readonly rank: number; readonly text: string }[];
  readonly milliseconds: number;
}

/** 0: passed, 1: did not pass, 2: the grader could not work. */
export function exitCode(report: Report): 0 | 1 | 2 {
  if (report.verdict === 'pass') return 0;
  return report.verdict === 'infra-error' ? 2 : 1;
}

/** The report for a terminal. */
export function formatReport(report: Report): string {
  const { exercise, submission, score } = report;
  const lines = [`${exercise.title}: ${submission.name}`, ''];
  for (const check of report.checks) {
    const mark = check.verdict === 'pass' ? 'pass' : check.verdict;
    lines.push(`  ${mark.padEnd(13)} ${check.title}${check.visibility === 'hidden' ? ' (hidden)' : ''}`);
    if (check.feedback !== undefined && check.verdict !== 'blocked')
      lines.push(...formatFeedback(check.feedback, submission.name, '                '));
  }
  if (report.feedback !== undefined) lines.push(...formatFeedback(report.feedback, submission.name, '  '));
  if (report.types.length > 0) {
    lines.push('', 'Type errors (they do not decide the verdict):');
    lines.push(...report.types.map(({ line, message }) => `  ${submission.name}:${line}: ${message}`));
  }
  for (const { rank, text } of report.prints) {
    lines.push(
      '',
      `Printed by rank ${rank}:`,
      ...text
        .trimEnd()
        .split('\n')
        .map((line) => `  | ${line}`),
    );
  }
  lines.push('', `Verdict: ${report.verdict}, ${score.earned} of ${score.possible} points`);
  return lines.map(neutralize).join('\n');
}

export function formatFeedback(feedback: Feedback, file: string, indent: string): string[] {
  const { mismatch } = feedback;
  const lines = [
    feedback.line === undefined ? feedback.message : `${file}:${feedback.line}: ${feedback.message}`,
  ];
  if (mismatch?.difference !== undefined) {
    lines.push(
      `off by ${mismatch.difference.toPrecision(3)}, allowed ${mismatch.allowed!.toPrecision(3)}; ` +
        `${((mismatch.share ?? 0) * 100).toFixed(0)}% of the elements of rank ${mismatch.rank} are off`,
    );
  }
  if (feedback.details !== undefined) lines.push(...feedback.details);
  if (feedback.hypothesis !== undefined) lines.push(`guess: ${feedback.hypothesis}`);
  if (feedback.case !== undefined) lines.push(`case: ${feedback.case}; again with --seed ${feedback.seed}`);
  return lines.map((line) => indent + line);
}

/** A submission chooses some of this text: no escape sequence, no control character, no workflow command gets through. */
export function neutralize(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
  return text.replace(hidden, '\u00b7').replace(/^(\s*)::/, '$1: :');
}
