import { describe, expect, test } from 'vitest';
import { planCell } from './magics.js';

describe('planCell', () => {
  test('blanks commands and keeps line numbers', () => {
    const plan = planCell('// first\n%world 2\n%%rank 0-1\nrank % 2');
    expect(plan.code).toBe('// first\n\n\nrank % 2');
    expect(plan.magics).toEqual([{ name: 'world', size: 2, cluster: {} }]);
    expect(plan.ranks).toEqual([0, 1]);
  });

  test('%world names the parts of a machine', () => {
    expect(planCell('%world 8 --nodes 2 --device a100 --link nvlink3').magics).toEqual([
      { name: 'world', size: 8, cluster: { nodes: 2, device: 'a100', link: 'nvlink3' } },
    ]);
  });

  test('%trace and %ledger watch the cell', () => {
    expect(planCell('%trace\n%ledger\n1').instruments).toEqual(['trace', 'ledger']);
  });

  test.each(['%trace', '%ledger', '%%time\n', '%%rank 1\n\n'])('%j without code is refused', (code) => {
    expect(() => planCell(code)).toThrow('no code follows it in this cell');
  });

  test('leaves a remainder in code alone', () => {
    expect(planCell('const a = 5\n% 3').code).toBe('const a = 5\n% 3');
    expect(planCell('% 3').code).toBe('% 3');
  });

  test.each([
    ['%%rank 0,2', [0, 2]],
    ['%%rank 2 0 2', [0, 2]],
    ['%%rank [0,1]', [0, 1]],
    ['%%rank 1-3', [1, 2, 3]],
  ])('%s names ranks', (code, ranks) => {
    expect(planCell(`${code}\nrank`).ranks).toEqual(ranks);
  });

  test.each([
    ['%wrold 3', 'did you mean "%world N [--nodes M]'],
    ['%rank 0', 'did you mean "%%rank 0,2"'],
    ['%%who', 'did you mean "%who"'],
    ['%zzzzzz', '"%help" lists the commands'],
    ['%world', 'nothing follows it'],
    ['%world two', '"two", wanted a number of ranks'],
    ['%world 4 --nods 2', 'did you mean "--nodes"'],
    ['%world 4 --nodes 3', 'a number of nodes that divides 4 ranks'],
    ['%world 4 --device', 'a value behind --device'],
    ['%check erors', 'did you mean "errors"'],
    ['%%rank a', 'wanted ranks such as 0,2'],
    ['%restart x', 'wanted a rank'],
  ])('%s is refused with what to do', (code, text) => {
    expect(() => planCell(code)).toThrow(text);
  });

  test.each([
    ['torch.zeros?', 'torch.zeros'],
    ['?nn', 'nn'],
    ['a ? b : c', undefined],
  ])('%s asks about %s', (code, name) => {
    expect(planCell(code).question).toBe(name);
  });
});
