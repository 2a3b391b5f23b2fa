/** Values between JavaScript and the pipe, on the rank's side. What a submission returned can be anything: nothing of it is believed. */
import type { WireValue } from '../../../../grader/wire.js';
import type { Tensor } from '../../../runtime/index.js';
import { isTensor } from './grader-tensors.js';

const DEEPEST = 24;
const MOST = 20_000;
/** Of all texts and keys of a value together: what is written of them fits a header. */
const MOST_TEXT = 100_000;
const LONGEST_KEY = 200;

/** Arguments: lists and objects are frozen, since nobody may change what it was only given to read. */
export function readValue(value: WireValue, tensors: readonly Tensor[]): unknown {
  if (value === null || typeof value !== 'object') return value;
  if ('undefined' in value) return undefined;
  if ('number' in value) return Number(value.number);
  if ('tensor' in value) return tensors[value.tensor];
  if ('list' in value) return Object.freeze(value.list.map((item) => readValue(item, tensors)));
  if ('entries' in value)
    return Object.freeze(
      Object.fromEntries(value.entries.map(([key, item]) => [key, readValue(item, tensors)])),
    );
  return undefined;
}

/** Takes a value apart; its tensors go to `tensors`. */
export function writeValue(value: unknown, tensors: Tensor[]): WireValue {
  let left = MOST;
  let text = MOST_TEXT;
  const cut = (words: string, most: number): string => {
    const kept = words.slice(0, Math.min(most, text));
    text -= kept.length;
    return kept;
  };
  const write = (part: unknown, depth: number): WireValue => {
    if (--left < 0 || text <= 0) return { other: 'too many values' };
    if (part === undefined) return { undefined: true };
    if (part === null || typeof part === 'boolean') return part;
    if (typeof part === 'string') return cut(part, MOST_TEXT);
    if (typeof part === 'number')
      return Number.isFinite(part) && !Object.is(part, -0)
        ? part
        : { number: Object.is(part, -0) ? '-0' : String(part) };
    if (typeof part !== 'object') return { other: describeValue(part) };
    if (isTensor(part)) return { tensor: tensors.push(part) - 1 };
    if (depth > DEEPEST) return { other: 'a value nested too deeply' };
    if (Array.isArray(part)) {
      // By index: what the list says of its own methods does not count.
      const list: WireValue[] = [];
      const count = Math.min(Number(part.length), MOST);
      for (let i = 0; i < count && left >= 0; i++) list.push(write(part[i], depth + 1));
      return { list };
    }
    if (isBuiltIn(part)) return { other: describeValue(part) };
    const entries: [string, WireValue][] = [];
    for (const key of [...Object.keys(part), ...getters(part)]) {
      if (left < 0 || text <= 0) break;
      entries.push([cut(key, LONGEST_KEY), write((part as Record<string, unknown>)[key], depth + 1)]);
    }
    return { entries };
  };
  return write(value, 0);
}

/** What has its content elsewhere than in fields. */
const BUILT_IN = { Map, Set, Promise, WeakMap, WeakSet, Date, RegExp, ArrayBuffer } as const;

function isBuiltIn(value: object): boolean {
  return ArrayBuffer.isView(value) || Object.values(BUILT_IN).some((type) => value instanceof type);
}

/** Fields that an object's class computes: for whoever uses it they are fields as all others. */
function getters(value: object): string[] {
  const names = new Set<string>();
  let prototype: unknown = Object.getPrototypeOf(value);
  for (let depth = 0; depth < DEEPEST && prototype instanceof Object; depth++) {
    if (prototype === Object.prototype) break;
    for (const [name, { get }] of Object.entries(Object.getOwnPropertyDescriptors(prototype)))
      if (get !== undefined && !Object.hasOwn(value, name)) names.add(name);
    prototype = Object.getPrototypeOf(prototype);
  }
  return [...names];
}

export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'bigint') return 'a bigint';
  if (ArrayBuffer.isView(value)) return 'a typed array';
  for (const [name, type] of Object.entries(BUILT_IN)) if (value instanceof type) return `a ${name}`;
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
