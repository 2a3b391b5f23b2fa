import { afterEach, describe, expect, it, vi } from 'vitest';
import { isColourful, jobCount, options, seedOf } from './options.js';

afterEach(() => vi.unstubAllEnvs());

describe('jobCount()', () => {
  it('takes whole numbers from 1 to 256 and nothing else', () => {
    expect(jobCount('x', '3')).toBe(3);
    expect(jobCount('x', undefined)).toBeGreaterThan(0);
    for (const given of ['0', '257', '1.5', 'abc', '', '-1'])
      expect(() => jobCount('exercise check', given), given).toThrow(
        'Cannot run "exercise check": --jobs is',
      );
  });
});

describe('seedOf()', () => {
  it('takes whole numbers of 32 bits', () => {
    expect(seedOf('x', '4294967295')).toBe(2 ** 32 - 1);
    for (const given of ['', 'x', '-1', '1.5', '4294967296'])
      expect(() => seedOf('check', given), given).toThrow('wanted a whole number from 0 to 4294967295');
  });
});

describe('isColourful()', () => {
  it('is for terminals whose user has not set NO_COLOR', () => {
    vi.stubEnv('NO_COLOR', '');
    expect([isColourful({ isTTY: true }), isColourful({})]).toEqual([true, false]);
    vi.stubEnv('NO_COLOR', '1');
    expect(isColourful({ isTTY: true })).toBe(false);
  });
});

describe('options()', () => {
  it('says what is wrong in one line', () => {
    const parse = (): never => {
      throw new Error("Option '--seed' argument is ambiguous.\nDid you forget it?\nTo specify one use =");
    };
    expect(() => options(parse, 'usage: shardbook grade DIR')).toThrow(
      /^Cannot read the command line: Option '--seed' argument is ambiguous\n {2}help: shardbook grade --help/,
    );
  });
});
