import { afterEach, describe, expect, it, vi } from 'vitest';
import { command } from './exercise.js';

afterEach(() => vi.restoreAllMocks());

async function printed(...args: string[]): Promise<string> {
  let text = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  expect(await command.run(args)).toBe(0);
  return text;
}

describe('exercise mutant', () => {
  it('lists the mutants of an exercise, and prints the program of one', async () => {
    expect(await printed('mutant', 'ring-all-reduce')).toMatch(/^floor-chunks {2}wrong in any-size$/m);
    const program = await printed('mutant', 'ring-all-reduce', 'floor-chunks');
    expect(program).toContain('Math.floor(size / worldSize)');
    expect(program).toContain('export function ringAllReduce');
  });

  it('refuses what is not there', async () => {
    await expect(command.run(['mutant', 'ring-all-reduce', 'floor'])).rejects.toThrow(
      'has no mutant "floor", but',
    );
    await expect(command.run(['mutant'])).rejects.toThrow('an exercise and at most one mutant');
    await expect(command.run(['mutant', 'ring'])).rejects.toThrow('Cannot find an exercise');
  });
});
