/** Text that a submission had a say in: no escape sequence, no control character, no markup, no workflow command gets through. */
import type { Report } from '../report.js';
import type { Feedback } from '../verdict.js';

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
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
      // What XML cannot hold at all: lone surrogates and the two non-characters.
      .replace(
        /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|[\ufffe\uffff]/g,
        '\u00b7',
      )
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
