import { describe, expect, it } from 'vitest';
import { compareOutput } from './compare.js';

const matches = (expected: string, got: string, tolerance?: number): boolean =>
  compareOutput(expected, got, tolerance) === undefined;

describe('compareOutput()', () => {
  it('takes equal text and ignores trailing blanks', () => {
    expect(matches('a\nb', 'a  \nb\n\n')).toBe(true);
    expect(matches('a\nb', 'a\nc')).toBe(false);
    expect(matches('', 'a')).toBe(false);
  });

  it('takes "..." for any lines', () => {
    expect(matches('a\n...\nz', 'a\nb\nc\nz')).toBe(true);
    expect(matches('a\n...\nz', 'a\nz')).toBe(true);
    expect(matches('...\nz', 'a\nz\nb')).toBe(false);
  });

  it('takes "..." inside a line for any characters', () => {
    expect(matches('took ... ms', 'took 12.5 ms')).toBe(true);
    expect(matches('took ... ms', 'took 12.5 s')).toBe(false);
  });

  it('compares numbers within the stated tolerance only', () => {
    expect(matches('x = 1.000', 'x = 1.0004', 1e-3)).toBe(true);
    expect(matches('x = 1.000', 'x = 1.0014', 1e-3)).toBe(false);
    expect(matches('x = 1.000', 'x = 1.0004')).toBe(false);
    expect(matches('[1e3, -2]', '[1000.5, -2.0001]', 1e-3)).toBe(true);
    expect(matches('f32[2] (1)', 'f32[2] (1)', 1e-3)).toBe(true);
  });

  it('shows a diff with the first expected line that is off', () => {
    expect(compareOutput('a\nb\nc', 'a\nx\nc')).toEqual({
      diff: ['  a', '- b', '+ x', '  c'],
      expectedLine: 1,
    });
  });
});
