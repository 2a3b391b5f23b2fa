import { expect, test } from 'vitest';
import { HashStore, MemoryStore, PrefixStore } from './index.js';

test('Store shares keys between its users', () => {
  const memory = new SharedArrayBuffer(4096);
  const [a, b] = [new MemoryStore(memory, 0), new MemoryStore(memory, 1)];
  a.set('k', 'v');
  expect(b.get('k')).toBe('v');
  expect([b.add('n', 2), a.add('n', 3), b.get('n')]).toEqual([2, 5, '5']);
  expect([a.compareSet('k', 'x', 'y'), a.compareSet('k', 'v', 'w'), b.get('k')]).toEqual(['v', 'w', 'w']);
  expect([b.deleteKey('k'), b.deleteKey('k'), a.check(['k']), a.listKeys()]).toEqual([
    true,
    false,
    false,
    ['n'],
  ]);
});

test('Store.get() of a key that nobody sets fails after the timeout', () => {
  const store = new HashStore();
  store.setTimeout(10);
  expect(() => store.get('never')).toThrow(/Cannot get "never" from the store/);
});

test('Store refuses what does not fit and keeps what it has', () => {
  const store = new HashStore(256);
  store.set('a', '1');
  expect(() => store.set('b', 'x'.repeat(500))).toThrow(/at most 192/);
  expect(store.listKeys()).toEqual(['a']);
});

test('PrefixStore keeps its keys apart', () => {
  const store = new HashStore();
  const [a, b] = [new PrefixStore('a', store), new PrefixStore('b', store)];
  a.set('k', '1');
  expect([b.check(['k']), a.get('k'), store.listKeys()]).toEqual([false, '1', ['a/k']]);
});

test('Store queues are first in, first out, and are gone when empty', () => {
  const memory = new SharedArrayBuffer(4096);
  const [a, b] = [new MemoryStore(memory, 0), new PrefixStore('p', new MemoryStore(memory, 1))];
  expect([a.queueLen('p/q'), a.check(['p/q'])]).toEqual([0, false]);
  b.queuePush('q', '1');
  b.queuePush('q', '2');
  expect([a.queueLen('p/q'), a.check(['p/q']), a.queuePop('p/q'), b.queuePop('q', false)]).toEqual([
    2,
    true,
    '1',
    '2',
  ]);
  expect(a.check(['p/q'])).toBe(false);
  expect(() => b.queuePop('q', false)).toThrow('it is empty');
});

test('Store.queuePop() of an empty queue fails after the timeout, and values are no queues', () => {
  const store = new HashStore();
  store.setTimeout(20);
  expect(() => store.queuePop('q')).toThrow('"q" from the store: nobody set it');
  store.set('v', 'x');
  expect(() => store.queuePush('v', '1')).toThrow('it is a value, wanted a queue');
  store.queuePush('q', '1');
  expect(() => store.get('q')).toThrow('it is a queue, wanted a value');
});
