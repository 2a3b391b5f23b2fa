/** What both engines answer front ends, whatever TypeScript they run on. */
import type * as TS from 'typescript';
import type { CompleteResult, InspectResult, IsCompleteResult } from '../types.js';

/** Numbers below 2000 are the parser's (1308 is also a converter's sign of a top-level await). */
export function isSyntax(code: number): boolean {
  return code < 2000;
}

/** Emitted code without the line that names a map file: maps travel beside the code. */
export function dropMapUrl(code: string): string {
  return code.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n');
}

/** What starts with the typed letters comes first; the rest only helps when nothing does. */
export function completion(
  code: string,
  cursor: number,
  range: { start: number; end: number },
  candidates: readonly { name: string; kind: string }[],
): CompleteResult {
  const prefix = code.slice(range.start, cursor);
  const starting = candidates.filter(({ name }) => name.startsWith(prefix));
  const matches = starting.length > 0 ? starting : candidates;
  return {
    matches: matches.map(({ name }) => name),
    cursorStart: range.start,
    cursorEnd: range.end,
    kinds: matches.map(({ kind }) => kind),
  };
}

/** A cursor right behind a name, or inside the brackets of a call, still means the name. */
export function inspectedPosition(code: string, cursor: number): number {
  let position = Math.min(cursor, code.length);
  if (position > 0 && !/[\w$]/.test(code[position] ?? '')) position -= 1;
  if (code[position] === '(') position -= 1;
  return Math.max(0, position);
}

export function describeQuickInfo(
  ts: typeof TS,
  info: TS.QuickInfo | undefined,
  detail: 0 | 1,
): InspectResult {
  if (!info) return { found: false, data: {} };
  const signature = ts
    .displayPartsToString(info.displayParts)
    // Where a name came from is not what somebody asks who looks it up.
    .replace(/^\(alias\) /, '')
    .replace(/\nimport \S+$/, '')
    .replace(/import\("[^"]*"\)\./g, '');
  const documentation = ts.displayPartsToString(info.documentation);
  const tags =
    detail === 0
      ? []
      : (info.tags ?? []).map((tag) => `@${tag.name} ${ts.displayPartsToString(tag.text)}`.trim());
  const text = [signature, documentation, ...tags].filter((part) => part !== '');
  const markdown = [`\`\`\`typescript\n${signature}\n\`\`\``, ...text.slice(1)];
  return { found: true, data: { 'text/plain': text.join('\n\n'), 'text/markdown': markdown.join('\n\n') } };
}

export function isComplete(ts: typeof TS, code: string): IsCompleteResult {
  if (/^%/.test(code.trimStart())) return { status: 'complete', indent: '' };
  const file = ts.createSourceFile('cell.ts', code, ts.ScriptTarget.Latest, false, ts.ScriptKind.TS);
  const errors =
    (file as TS.SourceFile & { parseDiagnostics?: TS.DiagnosticWithLocation[] }).parseDiagnostics ?? [];
  if (errors.length === 0) return { status: 'complete', indent: '' };
  // What is missing only at the very end may still be typed; anything earlier is a mistake.
  const end = code.trimEnd().length;
  const unfinished = errors.some(
    (d) =>
      d.start >= end ||
      /Unterminated|'\*\/' expected/.test(ts.flattenDiagnosticMessageText(d.messageText, ' ')),
  );
  if (!unfinished) return { status: 'invalid', indent: '' };
  const lastLine = code.trimEnd().split('\n').at(-1) ?? '';
  const indent = /^\s*/.exec(lastLine)?.[0] ?? '';
  return { status: 'incomplete', indent: /[{([]$/.test(lastLine) ? `${indent}  ` : indent };
}
