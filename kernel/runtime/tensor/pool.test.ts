import { expect, test } from 'vitest';
import '../index.js';
import { keepMemory, takeMemory, takeZeros, useRawMemory } from './pool.js';
import { Storage } from './storage.js';
import type { Tensor } from './tensor.js';
import { torch } from './torch.js';

const BYTES = 300_008;

test('memory that was kept comes back for the same size, and as zeros where zeros are wanted', () => {
  const buffer = takeMemory(BYTES);
  new Uint8Array(buffer).fill(7);
  keepMemory(buffer);
  expect(takeMemory(BYTES - 8)).not.toBe(buffer);
  expect(takeMemory(BYTES)).toBe(buffer);
  keepMemory(buffer);
  const zeros = takeZeros(BYTES);
  expect(zeros).toBe(buffer);
  expect(new Uint8Array(zeros).every((x) => x === 0)).toBe(true);
});

test('a recycled storage keeps its size and refuses to be used', () => {
  const storage = Storage.allocate(BYTES);
  storage.recycle();
  expect(storage.nbytes).toBe(BYTES);
  expect(() => storage.buffer).toThrow(/recycled/);
});

test('new tensors are zeros whatever was freed before', () => {
  const buffer = takeMemory(4 * 256 * 256);
  new Uint8Array(buffer).fill(255);
  keepMemory(buffer);
  expect(torch.zeros([256, 256]).sum().item()).toBe(0);
  const big = takeMemory(4 * 256 * 256);
  new Uint8Array(big).fill(255);
  keepMemory(big);
  // A product over nothing.
  expect(
    torch
      .zeros([256, 0])
      .matmul(torch.zeros([0, 256]))
      .sum()
      .item(),
  ).toBe(0);
});

test('a backward pass recycles gradients on the way and leaves all that anybody can see', () => {
  const n = 200;
  const x = torch.ones([n, n]).requiresGrad_();
  const w = torch.ones([n, n]).requiresGrad_();
  const hidden = x.mul(w).mul(2);
  hidden.retainGrad();
  let seen = hidden;
  const middle = hidden.mul(3);
  middle.registerHook((g) => {
    seen = g;
  });
  // Two ways meet in `middle`.
  middle.mul(5).add(middle.relu()).sum().backward();
  // What is freed is written over by this.
  for (let i = 0; i < 20; i++) torch.ones([n, n]).mul(1e6);
  expect(seen.sum().item()).toBe(6 * n * n);
  expect(hidden.grad!.sum().item()).toBe(18 * n * n);
  expect(x.grad!.sum().item()).toBe(36 * n * n);
  expect(w.grad!.sum().item()).toBe(36 * n * n);
});

test('gradients that a user asks for stay whole', () => {
  const n = 200;
  const x = torch.ones([n, n]).requiresGrad_();
  const y = x.mul(3);
  const z = y.mul(2).relu();
  const [gy, gx] = torch.autograd.grad(z.sum(), [y, x]);
  for (let i = 0; i < 20; i++) torch.ones([n, n]).mul(1e6);
  expect(gy!.sum().item()).toBe(2 * n * n);
  expect(gx!.sum().item()).toBe(6 * n * n);
});

test('a gradient that only a hook without sight of it was told of is recycled', () => {
  const n = 211;
  const kept = (watch: (middle: Tensor) => void): number => {
    const x = torch.ones([n, n]).requiresGrad_();
    const middle = x.mul(2);
    watch(middle);
    middle.relu().sum().backward();
    const taken: ArrayBuffer[] = [];
    let made = 0;
    useRawMemory((bytes) => {
      made++;
      return new ArrayBuffer(bytes);
    });
    for (let i = 0; i < 20; i++) taken.push(takeMemory(4 * n * n));
    useRawMemory((bytes) => new ArrayBuffer(bytes));
    return taken.length - made;
  };
  let told = 0;
  const seen = kept((middle) => middle.registerHook(() => undefined));
  const unseen = kept((middle) => middle.onGradient(() => void told++));
  expect(told).toBe(1);
  expect(unseen).toBe(seen + 1);
});
