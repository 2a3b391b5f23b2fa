import { expect, test } from 'vitest';
import { firstDifference, toleranceOf } from './compare.js';
import { parseJson } from './json.js';

const differs = (got: string, expected: string, tolerance?: { rtol: number; atol: number }) =>
  firstDifference(parseJson(got), parseJson(expected), tolerance);
const f32 = (data: string, shape = '[2]') => `{"t":"float32","s":${shape},"d":${data}}`;

test.each([
  ['1', '1'],
  ['1.000001', '1.0'],
  ['1', '1.0'],
  ['"nan"', '"nan"'],
  ['{"b":1,"a":[2]}', '{"a":[2],"b":1}'],
  [f32('[0.1,"inf"]'), f32('[0.10000001,"inf"]')],
  ['{"t":"int64","s":[1],"d":["9223372036854775807"]}', '{"t":"int64","s":[1],"d":["9223372036854775807"]}'],
])('firstDifference() accepts %s for %s', (got, expected) => {
  expect(differs(got, expected)).toBeUndefined();
});

test.each([
  ['2', '1'],
  ['1.0000001', '1'],
  ['1.1', '1.0'],
  ['true', '1'],
  ['null', '0'],
  ['"inf"', '"-inf"'],
  ['[1]', '[1, 2]'],
  ['{"a":1}', '{"a":1,"b":2}'],
  ['{"a":1,"b":2}', '{"a":1}'],
  [f32('[1,2]'), '{"t":"float64","s":[2],"d":[1,2]}'],
  [f32('[1,2]', '[1,2]'), f32('[1,2]')],
  [f32('[1,"nan"]'), f32('[1,2]')],
])('firstDifference() refuses %s for %s', (got, expected) => {
  expect(differs(got, expected)).toMatchObject({ where: expect.any(String) });
});

test('firstDifference() names the index, both values and how many differ', () => {
  expect(differs(f32('[1,2,5,9]', '[2,2]'), f32('[1,2,3,4]', '[2,2]'))).toEqual({
    where: '[1, 0]',
    got: '5',
    expected: '3',
    note: '; 2 of 4 elements differ, by up to 5',
  });
});

test('firstDifference() compares exactly when told so, after rounding to float32', () => {
  const exact = { rtol: 0, atol: 0 };
  expect(differs(f32('[0.10000000149011612]', '[1]'), f32('[0.1]', '[1]'), exact)).toBeUndefined();
  expect(differs(f32('[0.10000001]', '[1]'), f32('[0.1]', '[1]'), exact)).toMatchObject({
    got: '0.10000001',
  });
});

test('toleranceOf() prefers the label to the star', () => {
  const given = { '*': { rtol: 1, atol: 1 }, y: 'exact' as const };
  expect(toleranceOf('x', given)).toEqual({ rtol: 1, atol: 1 });
  expect(toleranceOf('y', given)).toEqual({ rtol: 0, atol: 0 });
  expect(toleranceOf('x', {})).toBeUndefined();
});
