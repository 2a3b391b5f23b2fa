import { describe, expect, test, vi } from 'vitest';
import { foldResults, OutputFold } from './fold.js';
import type { CellOutput } from './types.js';

function fold(worldSize: number, ranks = Array.from({ length: worldSize }, (_, r) => r)) {
  const outputs: CellOutput[] = [];
  const folded = new OutputFold({ worldSize, ranks, emit: (output) => outputs.push(output), patience: 50 });
  const say = (rank: number, text: string) => folded.add(rank, { type: 'stream', name: 'stdout', text });
  const texts = () => outputs.map((output) => (output.type === 'stream' ? output.text : output.type));
  return { folded, say, texts, outputs };
}

const result = (text: string, more = {}) => ({ data: { 'text/plain': text, ...more }, metadata: {} });

describe('OutputFold', () => {
  test('says once what all ranks say', () => {
    const { say, texts } = fold(2);
    say(1, 'a\n');
    expect(texts()).toEqual([]);
    say(0, 'a\n');
    expect(texts()).toEqual(['a\n']);
  });

  test('groups ranks that say the same and indents further lines', () => {
    const { say, texts } = fold(3);
    say(0, 'a\nb\n');
    say(1, 'c\n');
    say(2, 'a\nb\n');
    expect(texts()).toEqual(['[rank 0,2] a\n           b\n', '[rank 1] c\n']);
  });

  test('does not wait for a rank that has finished', () => {
    const { folded, say, texts } = fold(2);
    say(0, 'only\n');
    folded.finished(1);
    expect(texts()).toEqual(['[rank 0] only\n']);
  });

  test('shows progress of a fast rank after a while and keeps the order of each rank', () => {
    vi.useFakeTimers();
    const { say, texts } = fold(2);
    say(0, '1\n');
    say(0, '2\n');
    vi.advanceTimersByTime(60);
    expect(texts()).toEqual(['[rank 0] 1\n', '[rank 0] 2\n']);
    say(1, '1\n');
    say(0, '3\n');
    say(1, '2\n');
    say(1, '3\n');
    expect(texts().slice(2)).toEqual(['[rank 1] 1\n', '[rank 1] 2\n', '3\n']);
    vi.useRealTimers();
  });

  test('labels even equal output when only some ranks run the cell', () => {
    const { say, texts } = fold(4, [0, 2]);
    say(0, 'x\n');
    say(2, 'x\n');
    expect(texts()).toEqual(['[rank 0,2] x\n']);
  });

  test('joins texts of one display that differ by rank, so that it stays one output', () => {
    const { folded, outputs } = fold(2);
    for (const rank of [0, 1])
      folded.add(rank, { type: 'update', displayId: 'd', display: result(`${rank}`) });
    expect(outputs).toEqual([
      expect.objectContaining({
        type: 'update_display_data',
        data: { 'text/plain': '[rank 0] 0\n[rank 1] 1' },
      }),
    ]);
  });

  test('names the ranks before a rich display', () => {
    const { folded, texts } = fold(2);
    folded.add(0, { type: 'display', display: result('a', { 'text/html': '<i>a</i>' }) });
    folded.finished(1);
    expect(texts()).toEqual(['[rank 0]\n', 'display_data']);
  });
});

describe('foldResults', () => {
  test.each([
    ['equal on all ranks', [result('1'), result('1')], [['result', '1']]],
    ['different', [result('1'), result('2')], [['result', '[rank 0] 1\n[rank 1] 2']]],
    ['only on one', [result('1')], [['result', '[rank 0] 1']]],
    ['none', [], []],
    [
      'rich and different',
      [result('a', { 'text/html': 'a' }), result('b', { 'text/html': 'b' })],
      [
        ['display', '[rank 0] a'],
        ['display', '[rank 1] b'],
      ],
    ],
  ])('%s', (_name, values, wanted) => {
    const folded = foldResults(
      values.map((value, rank) => ({ rank, value })),
      2,
    );
    expect(folded.map(({ kind, data }) => [kind, data['text/plain']])).toEqual(wanted);
  });
});
