import { expect, test } from 'vitest';
import { arrayElementTexts, FloatLiteral, parseJson } from './json.js';

test('parseJson() tells whole floats from integers, and keeps integers beyond 2^53', () => {
  expect(parseJson('[2, 2.0, 1e3, 2.5, -1, 9007199254740993]')).toEqual([
    2,
    new FloatLiteral(2),
    new FloatLiteral(1000),
    2.5,
    -1,
    9007199254740993n,
  ]);
});

test('parseJson() reads what JSON.parse reads', () => {
  const text = '{"a": [true, false, null, "q\\"\\u0041\\\\"], "b": {}, "c": [], "__proto__": 1}';
  expect(JSON.stringify(parseJson(text))).toBe(JSON.stringify(JSON.parse(text)));
});

test.each([
  '',
  '{',
  '[1,]',
  '{"a" 1}',
  'nul',
  '"open',
  '[1] 2',
  '{"a":1,}',
])('parseJson() refuses %j', (text) => {
  expect(() => parseJson(text)).toThrow(/Cannot read the program file/);
});

test('arrayElementTexts() cuts out the elements as they are written', () => {
  expect(arrayElementTexts('{"x": [9], "programs": [ {"a": 1.0} , [2]]}', 'programs')).toEqual([
    '{"a": 1.0}',
    '[2]',
  ]);
});
