import { expect, test } from 'vitest';
import { hashFill, hashInts } from './hash.js';

test('hashFill() gives the recorded numbers', () => {
  expect(Array.from(hashFill([5], 7))).toEqual([
    0.1362912803888321, 0.1813696026802063, 0.17871083319187164, -0.4024558961391449, -0.029947899281978607,
  ]);
  expect(Array.from(hashFill([3], 123456, 2.5))).toEqual([
    -0.943641722202301, 0.8900676965713501, 0.0053228531032800674,
  ]);
});

test('hashInts() gives the recorded numbers', () => {
  expect(hashInts([5], 7, 3, 17)).toEqual([16, 13, 13, 10, 10]);
});
