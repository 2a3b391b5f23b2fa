const compiled = new Map<string, RegExp>();

/** Python's fnmatch: `*` any text, `?` one character, `[abc]`, `[0-9]` and `[!0-9]` one of these or none of these. */
export function matches(name: string, pattern: string): boolean {
  let regex = compiled.get(pattern);
  if (!regex) {
    regex = new RegExp(`^${translate(pattern)}$`, 's');
    compiled.set(pattern, regex);
  }
  return regex.test(name);
}

function translate(pattern: string): string {
  let out = '';
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!;
    if (c === '*') out += '.*';
    else if (c === '?') out += '.';
    else if (c === '[') {
      const end = closing(pattern, i);
      if (end < 0) {
        out += '\\[';
        continue;
      }
      const body = pattern.slice(i + 1, end);
      const negated = body.startsWith('!');
      const set = (negated ? body.slice(1) : body).replace(/[\\\]^[]/g, '\\$&');
      out += `[${negated ? '^' : ''}${set}]`;
      i = end;
    } else out += c.replace(/[.+^${}()|\\\]/]/g, '\\$&');
  }
  return out;
}

/** Where the set that begins at `start` ends; a bracket right after its beginning belongs to it. */
function closing(pattern: string, start: number): number {
  let at = start + 1;
  if (pattern[at] === '!') at++;
  if (pattern[at] === ']') at++;
  return pattern.indexOf(']', at);
}
