/** Values that go to a rank and come back, on the grader's side. */
import { decodeTensor, encodeTensor, type HostTensor } from './compare.js';
import {
  byteCount,
  elementCount,
  isWireTensor,
  LARGEST_BODY,
  type WireTensor,
  type WireValue,
} from './wire.js';

/** What cannot be handed over: "a function". */
class Other {
  constructor(readonly what: string) {}
}

export type HostValue =
  | null
  | undefined
  | boolean
  | number
  | string
  | HostTensor
  | Other
  | readonly HostValue[]
  | { readonly [key: string]: HostValue };

const DEEPEST = 32;
/** Of a rank's tensors: here each takes 8 bytes, however few it took on the way. */
const MOST_ELEMENTS = LARGEST_BODY / 8;

export function isHostTensor(value: HostValue): value is HostTensor {
  return (
    typeof value === 'object' && value !== null && 'values' in value && value.values instanceof Float64Array
  );
}

/** Takes values apart: the tensors go to `tensors`. */
export function encodeValue(value: HostValue, tensors: HostTensor[]): WireValue {
  if (value === undefined) return { undefined: true };
  if (typeof value === 'number')
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { number: Object.is(value, -0) ? '-0' : String(value) };
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (isHostTensor(value)) return { tensor: tensors.push(value) - 1 };
  if (value instanceof Other) return { other: value.what };
  if (Array.isArray(value)) return { list: (value as HostValue[]).map((item) => encodeValue(item, tensors)) };
  return {
    entries: Object.entries(value as Record<string, HostValue>).map(([key, item]) => [
      key,
      encodeValue(item, tensors),
    ]),
  };
}

export function encodeTensors(tensors: readonly HostTensor[]): { headers: WireTensor[]; body: Uint8Array } {
  return {
    headers: tensors.map(({ dtype, shape, strided }) => ({ dtype, shape, ...(strided ? { strided } : {}) })),
    body: Buffer.concat(tensors.map(encodeTensor)),
  };
}

/** What a rank sent, which may be anything; throws what is wrong with it. */
export function decodeValue(value: WireValue, tensors: readonly HostTensor[], depth = 0): HostValue {
  if (depth > DEEPEST) throw new Error('a value that is nested too deeply');
  if (value === null || ['boolean', 'number', 'string'].includes(typeof value)) return value as HostValue;
  if (typeof value !== 'object') throw new Error('a value of no kind');
  if ('undefined' in value) return undefined;
  if ('number' in value) return Number(value.number);
  if ('other' in value) return new Other(String(value.other).slice(0, 100));
  if ('tensor' in value) {
    const tensor = Number.isInteger(value.tensor) ? tensors[value.tensor] : undefined;
    if (tensor === undefined) throw new Error('a tensor that is not there');
    return tensor;
  }
  if ('list' in value && Array.isArray(value.list))
    return value.list.map((item) => decodeValue(item, tensors, depth + 1));
  if ('entries' in value && Array.isArray(value.entries)) {
    // No prototype: a key may be named anything.
    const object = Object.create(null) as Record<string, HostValue>;
    for (const [key, item] of value.entries) object[String(key)] = decodeValue(item, tensors, depth + 1);
    return object;
  }
  throw new Error('a value of no kind');
}

/** Reads tensors one after the other from `body`. */
export function decodeTensors(
  headers: readonly WireTensor[],
  body: Uint8Array,
  start: number,
): { tensors: HostTensor[]; end: number } {
  if (!Array.isArray(headers)) throw new Error('no list of tensors');
  let offset = start;
  let elements = 0;
  const tensors = headers.map((header) => {
    if (!isWireTensor(header)) throw new Error('a tensor of no kind');
    elements += elementCount(header.shape);
    if (elements > MOST_ELEMENTS) throw new Error(`more than ${MOST_ELEMENTS} elements`);
    const size = byteCount(header);
    const tensor = decodeTensor(header, body.subarray(offset, offset + size));
    if (tensor === undefined) throw new Error('fewer bytes than its tensors have');
    offset += size;
    return tensor;
  });
  return { tensors, end: offset };
}

/** A value as feedback names it. */
export function describeValue(value: HostValue): string {
  if (value === null || value === undefined) return String(value);
  if (isHostTensor(value)) return 'a tensor';
  if (value instanceof Other) return value.what;
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
