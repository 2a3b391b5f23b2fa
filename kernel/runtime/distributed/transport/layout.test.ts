import { expect, test } from 'vitest';
import { createWorldMemory } from './layout.js';

const MIB = 2 ** 20;

test('createWorldMemory gives every rank a segment of the arena, at most as large as asked', () => {
  const usual = createWorldMemory({ worldSize: 2 });
  const small = createWorldMemory({ worldSize: 2, stagingBytesPerRank: 1 << 14, segmentBytesMax: MIB });
  expect(usual.arena.buffer.byteLength).toBeGreaterThanOrEqual(128 * MIB);
  expect(small.segmentBytes).toBe(MIB);
  expect(small.arena.buffer.byteLength).toBeLessThan(3 * MIB);
});

test('createWorldMemory rounds a segment to pages, and gives one page at least', () => {
  expect(createWorldMemory({ worldSize: 3, segmentBytesMax: 100_000 }).segmentBytes).toBe(65_536);
  expect(createWorldMemory({ worldSize: 3, segmentBytesMax: 1 }).segmentBytes).toBe(65_536);
});
