/** Text that a submission had a say in: no escape sequence, no control character, no markup, no workflow command gets through. */
import type { Report } from '../report.js';
import type { Feedback } from '../verdict.js';

/** Controls but for line ends, what has no width or turns text around, and halves of characters. */
const HIDDEN = /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const LONGEST_LINE = 2000;

/** One line of text for a terminal or a log. */
export function neutralize(text: string): string {
  return text
    .slice(0, LONGEST_LINE)
    .replace(/[\n\t]+/g, ' ')
    .replace(HIDDEN, '\u00b7')
    .replace(/^(\s*)::/, '$1: :')
    .replace(/##\[|##vso\[/g, '# #[');
}

/** Text for Markdown: no HTML, no link, no image, no mention, no table of its own. */
export function escapeMarkdown(text: string): string {
  return neutralize(text.replace(/\s+/g, ' '))
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/([\\`*_{}[\]()#+!|~])/g, '\\$1')
    .replace(/@/g, '&#64;')
    .replace(/(https?|ftp|javascript|data):/gi, '$1&#58;')
    .replace(/www\./gi, 'www&#46;');
}

export function escapeXml(text: string): string {
  return (
    text
      .split('\n')
      .map(neutralize)
      .join('\n')
      // Two characters that are none: XML cannot hold them.
      .replace(/[\ufffe\uffff]/g, '\u00b7')
      .replace(/&/g, '&amp;')
      .replace(/</g, '&lt;')
      .replace(/>/g, '&gt;')
      .replace(/"/g, '&quot;')
      .replace(/'/g, '&apos;')
  );
}

/** A cell of a CSV file: a spreadsheet must not take it for a formula. */
export function escapeCsv(text: string): string {
  const plain = neutralize(text.replace(/\s+/g, ' '));
  const safe = /^[=+\-@\t]/.test(plain) && !/^-?\d+(\.\d+)?$/.test(plain) ? `'${plain}` : plain;
  return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

/** JSON of the same value that a terminal can show: what would be hidden, or do something there, is written as an escape. */
export function visibleJson(value: unknown): string {
  const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value, null, 2).replace(HIDDEN, (text) => text.split('').map(escaped).join(''));
}

/** Where a feedback points to: "ring.ts:3". */
export function placeOf(feedback: Feedback, report: Report): string | undefined {
  return feedback.line === undefined
    ? undefined
    : `${feedback.file ?? report.submission.name}:${feedback.line}`;
}

/** Feedback of the checks that failed themselves. */
export function failures(report: Report): { title: string; feedback: Feedback }[] {
  return report.checks.flatMap(({ title, verdict, feedback }) =>
    feedback === undefined || verdict === 'blocked' ? [] : [{ title, feedback }],
  );
}

/** A feedback as lines of plain text. */
export function feedbackLines(feedback: Feedback, report: Report): string[] {
  const { mismatch } = feedback;
  const place = placeOf(feedback, report);
  const lines = [place === undefined ? feedback.message : `${place}: ${feedback.message}`];
  if (mismatch?.difference !== undefined) {
    lines.push(
      `off by ${mismatch.difference.toPrecision(3)}, allowed ${mismatch.allowed!.toPrecision(3)}; ` +
        `${((mismatch.share ?? 0) * 100).toFixed(0)}% of the elements of rank ${mismatch.rank} are off`,
    );
  }
  if (feedback.details !== undefined) lines.push(...feedback.details);
  if (feedback.hypothesis !== undefined) lines.push(`guess: ${feedback.hypothesis}`);
  if (feedback.case !== undefined) lines.push(`case: ${feedback.case}; again with --seed ${feedback.seed}`);
  return lines;
}

export function points(n: number): string {
  return Number.isInteger(n) ? String(n) : n.toFixed(2).replace(/0+$/, '');
}
