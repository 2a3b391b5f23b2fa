/** The one layout of a lesson file: line ends, blanks, blank lines, order of front matter. The same text twice is the same. */
const FENCE = /^(`{3,}|~{3,})(.*)$/;
const ORDER = ['id', 'title', 'layer', 'covers', 'requires', 'teaches', 'minutes', 'world'];

export function formatLesson(text: string): string {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const front = frontMatterEnd(lines);
  const out = front === 0 ? [] : ['---', ...orderedKeys(lines.slice(1, front - 1)), '---'];
  let fence: string | undefined;
  for (const line of lines.slice(front)) {
    const mark = FENCE.exec(line.trimEnd());
    if (fence !== undefined) {
      const closes = mark !== null && mark[2] === '' && mark[1]!.startsWith(fence);
      // Inside of a listing blanks may matter; only those that nobody sees at its end are dropped.
      out.push(line.trimEnd());
      if (closes) {
        fence = undefined;
        out.push('');
      }
      continue;
    }
    if (mark !== null) {
      fence = mark[1]!;
      separate(out);
      out.push(line.trimEnd());
      continue;
    }
    const bare = line.trimEnd();
    if (bare === '' && (out.length === 0 || out.at(-1) === '')) continue;
    if (/^#{1,6} /.test(bare)) separate(out);
    out.push(bare);
  }
  while (out.at(-1) === '') out.pop();
  return `${insertAfterFront(out, front).join('\n')}\n`;
}

/** Number of lines of the front matter with its fences; 0 without one. */
function frontMatterEnd(lines: readonly string[]): number {
  if (lines[0]?.trimEnd() !== '---') return 0;
  const end = lines.findIndex((line, index) => index > 0 && line.trimEnd() === '---');
  return end < 0 ? 0 : end + 1;
}

/** Top-level keys with the lines that belong to them, known ones first and in order. */
function orderedKeys(lines: readonly string[]): string[] {
  const blocks: { key: string; lines: string[] }[] = [];
  for (const line of lines) {
    const key = /^([A-Za-z_][\w-]*):/.exec(line)?.[1];
    if (key === undefined && blocks.length > 0) blocks.at(-1)!.lines.push(line.trimEnd());
    else if (line.trim() !== '') blocks.push({ key: key ?? '', lines: [line.trimEnd()] });
  }
  const place = ({ key }: { key: string }): number => {
    const at = ORDER.indexOf(key);
    return at < 0 ? ORDER.length : at;
  };
  return blocks
    .map((block, index) => ({ block, index }))
    .sort((a, b) => place(a.block) - place(b.block) || a.index - b.index)
    .flatMap(({ block }) => block.lines);
}

function separate(out: string[]): void {
  if (out.length > 0 && out.at(-1) !== '') out.push('');
}

function insertAfterFront(out: readonly string[], front: number): string[] {
  if (front === 0) return [...out];
  const end = out.indexOf('---', 1);
  const body = out.slice(end + 1);
  while (body[0] === '') body.shift();
  return [...out.slice(0, end + 1), '', ...body];
}
