/** Answers history requests from what the session keeps. */
import type { HistoryEntry } from '../session/index.js';

type Row =
  | [session: number, line: number, input: string]
  | [session: number, line: number, io: [input: string, output: string | null]];

export function answerHistory(entries: readonly HistoryEntry[], content: Record<string, unknown>): Row[] {
  const withOutput = content['output'] === true;
  return choose(entries, content).map(({ session, line, input, output }) =>
    withOutput ? [session, line, [input, output]] : [session, line, input],
  );
}

function choose(entries: readonly HistoryEntry[], content: Record<string, unknown>): readonly HistoryEntry[] {
  const count = wholeNumber(content['n'], Number.POSITIVE_INFINITY);
  switch (content['hist_access_type']) {
    case 'range': {
      // A session other than the current one is not kept: there is nothing to show.
      if (wholeNumber(content['session'], 0) > 0) return [];
      const start = wholeNumber(content['start'], 0);
      const stop = typeof content['stop'] === 'number' ? content['stop'] : Number.POSITIVE_INFINITY;
      return entries.filter(({ line }) => line >= start && line < stop);
    }
    case 'search': {
      const pattern = glob(String(content['pattern'] ?? '*'));
      let found = entries.filter(({ input }) => pattern.test(input));
      if (content['unique'] === true)
        found = found.filter((entry, i) => found.findLastIndex(({ input }) => input === entry.input) === i);
      return last(found, count);
    }
    default:
      return last(entries, count);
  }
}

function last(entries: readonly HistoryEntry[], count: number): readonly HistoryEntry[] {
  return count >= entries.length ? entries : entries.slice(entries.length - Math.max(0, count));
}

function wholeNumber(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isInteger(value) ? value : otherwise;
}

/** Patterns of history searches: `*` and `?`. */
function glob(pattern: string): RegExp {
  const body = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '[\\s\\S]*')
    .replace(/\?/g, '[\\s\\S]');
  return new RegExp(`^${body}$`);
}
