/** What goes to a submission and comes back from it. */
import { describe, expect, it } from 'vitest';
import { torch } from '../../../runtime/index.js';
import { makeTensor, tensorBytes, writeTensor } from './grader-tensors.js';
import { readValue, writeValue } from './grader-values.js';

const bytesOf = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

describe('makeTensor()', () => {
  it('makes a tensor that is no view of a flat one where it must be in strides', () => {
    const header = { dtype: 'float32', shape: [2, 3], strided: true } as const;
    const tensor = makeTensor(header, bytesOf(1, 2, 3, 4, 5, 6));
    expect(tensor.tolist()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(() => tensor.view([6])).toThrow();
    expect([...tensorBytes(tensor)]).toEqual([...bytesOf(1, 2, 3, 4, 5, 6)]);
    const scalar = makeTensor({ dtype: 'float32', shape: [], strided: true }, bytesOf(7));
    expect(scalar.item()).toBe(7);
  });
});

describe('writeTensor()', () => {
  it('takes nothing into an empty view that begins behind the end of its memory', () => {
    const view = torch.zeros([2, 0]).select(0, 1);
    expect(view.storageOffset).toBeGreaterThan(0);
    writeTensor(view, new Uint8Array());
    expect(tensorBytes(view).length).toBe(0);
  });
});

describe('readValue()', () => {
  it('freezes lists and objects', () => {
    const value = readValue({ entries: [['shape', { list: [2, 3] }]] }, []) as { shape: number[] };
    expect(() => value.shape.pop()).toThrow();
    expect(() => {
      value.shape = [];
    }).toThrow();
  });
});

describe('writeValue()', () => {
  it('takes an object of a class by its fields and by what its class computes', () => {
    class Base {
      get sum(): number {
        return 3;
      }
    }
    class Place extends Base {
      readonly ranks = [1, 2];
      #hidden = 4;
      get position(): number {
        return this.#hidden;
      }
    }
    expect(writeValue(new Place(), [])).toEqual({
      entries: [
        ['ranks', { list: [1, 2] }],
        ['position', 4],
        ['sum', 3],
      ],
    });
  });

  it('names what has its content elsewhere than in fields', () => {
    const named = [new Map(), new Float32Array(2), new Date(), Promise.resolve()];
    expect(writeValue(named, [])).toEqual({
      list: ['a Map', 'a typed array', 'a Date', 'a Promise'].map((other) => ({ other })),
    });
  });
});
