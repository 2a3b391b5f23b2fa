import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFiles } from '../fixtures/exercises.js';
import { namedMutants } from './named-mutants.js';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-named-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const REFERENCE = `export function f(n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    if (i > 0) {
      sum += i;
    }
  }

  return sum;
}
`;
const make = (mutants: string, files: Record<string, string> = {}) => {
  writeFiles(root, { 'sums/reference.ts': REFERENCE, 'sums/mutants.yaml': mutants, ...files });
  return namedMutants(join(root, 'sums'));
};

describe('namedMutants()', () => {
  it('edits a right solution; lines after the first are indented as the first is', () => {
    const [mutant] = make(`late:
  fails: wrong in any-size, "off by one" where memory is counted
  edits:
    - find: |-
        if (i > 0) {
          sum += i;
        }
      replace: |-
        if (i > 1) {

          sum += i;
        }
    - { find: sum = 0, replace: sum = 1 }
`);
    expect(mutant!.expected).toEqual({
      verdict: 'wrong',
      check: 'any-size',
      words: 'off by one',
      counted: true,
    });
    expect(mutant!.text).toBe(REFERENCE.replace('i > 0) {', 'i > 1) {\n').replace('sum = 0', 'sum = 1'));
  });

  it('begins from an alternative where it says so, and takes whole files beside', () => {
    const all = make(
      'b:\n  of: alternatives/short\n  fails: deadlock in sum\n  edits: [{ find: "1", replace: "2" }]\n',
      {
        'sums/alternatives/short.ts': 'export const f = 1;\n',
        'sums/mutants/a.ts': '// fails: crashed in sum\nexport const f = 3;\n',
        'sums/mutants/c.ts': 'export const f = 4;\n',
      },
    );
    expect(all.map(({ name, text, expected }) => [name, text.split('\n').at(-2), expected?.verdict])).toEqual(
      [
        ['a', 'export const f = 3;', 'crashed'],
        ['b', 'export const f = 2;', 'deadlock'],
        ['c', 'export const f = 4;', undefined],
      ],
    );
  });

  it('takes line ends of another system', () => {
    const all = make(
      'x:\n  fails: wrong in sum\n  edits: [{ find: "let sum = 0;\\nfor", replace: "let sum = 1;\\nfor" }]\n',
      {
        'sums/reference.ts': REFERENCE.replaceAll('\n', '\r\n'),
        'sums/mutants/a.ts': '\ufeff// fails: crashed in sum\r\nexport const f = 3;\r\n',
      },
    );
    expect(all.map(({ expected }) => expected?.verdict)).toEqual(['crashed', 'wrong']);
    expect(all[1]!.text).toContain('sum = 1;\n  for');
  });

  it('says what is wrong with one that cannot be made', () => {
    const edits = (find: string): string =>
      `x:\n  fails: wrong in sum\n  edits: [{ find: ${find}, replace: y }]\n`;
    expect(() => make(edits('sum'))).toThrow(
      'what edit 1 looks for is there 3 times in reference.ts, wanted once: "sum"',
    );
    expect(() => make(edits('nowhere'))).toThrow('is there 0 times');
    expect(() => make(edits('""'))).toThrow('is there 0 times');
    expect(() => make('x:\n  of: other\n  edits: [{ find: a, replace: b }]\n')).toThrow(
      'there is no other.ts',
    );
    expect(() => make('x:\n  off: alternatives/short\n  edits: [{ find: a, replace: b }]\n')).toThrow(
      'there is no key "off"',
    );
    expect(() => make('x:\n  edits: [{ find: let, replace: y, by: z }]\n')).toThrow(
      'edit 1: there is no key "by"',
    );
    expect(() => make('x:\n  edits: []\n')).toThrow('"edits" is not a list');
    expect(() => make('../x:\n  edits: []\n')).toThrow('a name is small letters, digits and single hyphens');
    expect(() => make('x: 1\n', { 'sums/mutants/x.ts': '' })).toThrow('a file of mutants/ has that name');
    rmSync(join(root, 'sums/mutants'), { recursive: true });
    expect(() => make('x: 1\n')).toThrow('Cannot make the mutant "x" of "sums": it is not a mapping');
    expect(() => make('- x\n')).toThrow('a mapping of names to mutants is wanted');
    expect(() => make('x: [\n')).toThrow('Cannot read mutants.yaml of "sums"');
  });
});
