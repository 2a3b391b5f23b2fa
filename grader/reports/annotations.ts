/** Feedback at the learner's lines, for the pages of a pull or merge request. */
import { createHash } from 'node:crypto';
import type { Report } from '../report.js';
import { failures, feedbackLines, neutralize } from './text.js';

interface Finding {
  /** File of the repository. */
  readonly path: string;
  /** Absent where the place is no line of that file, such as a cell of a notebook. */
  readonly line: number | undefined;
  readonly title: string;
  readonly text: string;
  /** A type error does not decide the verdict. */
  readonly decides: boolean;
}

/** `path` is the submission in the repository. */
function findings(report: Report, path: string): Finding[] {
  const isFolder = report.submission.kind === 'folder';
  const place = (line: number | undefined, file: string | undefined) => ({
    path: isFolder && file !== undefined ? `${path.replace(/\/+$/, '')}/${file}` : path,
    line: isFolder || file === undefined || file === report.submission.name ? line : undefined,
  });
  const own = report.feedback === undefined ? [] : [{ title: report.verdict, feedback: report.feedback }];
  return [
    ...[...own, ...failures(report)].map(({ title, feedback }) => ({
      ...place(feedback.line, feedback.file),
      title,
      text: feedbackLines(feedback, report).join('\n'),
      decides: true,
    })),
    ...report.types.map(({ file, line, message }) => ({
      ...place(line, file),
      title: 'Type error',
      text: `${file}:${line}: ${message}`,
      decides: false,
    })),
  ];
}

/** Workflow commands of GitHub: errors for what failed, warnings for type errors. */
export function githubAnnotations(report: Report, path: string): string[] {
  const data = (text: string): string =>
    neutralize(text).replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
  const property = (text: string): string => data(text).replace(/:/g, '%3A').replace(/,/g, '%2C');
  return findings(report, path).map((finding) => {
    const level = finding.decides ? 'error' : 'warning';
    const at = finding.line === undefined ? '' : `,line=${finding.line}`;
    const text = finding.text.split('\n').map(data).join('%0A');
    return `::${level} file=${property(finding.path)}${at},title=${property(finding.title)}::${text}`;
  });
}

/** GitLab's Code Quality report, which a merge request shows at the lines. */
export function codeQualityReport(report: Report, path: string): Record<string, unknown>[] {
  return findings(report, path).map((finding, i) => ({
    description: neutralize(`${finding.title}: ${finding.text}`),
    check_name: neutralize(finding.title),
    // Of the place among the findings too: two of them may say the same.
    fingerprint: createHash('sha256')
      .update(JSON.stringify([report.exercise.id, i, finding]))
      .digest('hex'),
    severity: finding.decides ? 'major' : 'minor',
    location: { path: neutralize(finding.path), lines: { begin: finding.line ?? 1 } },
  }));
}
