import type { Tolerance } from './format.js';
import { FloatLiteral, isJsonObject, type Json } from './json.js';

/** Where an observation first differs: the path and flat index, what was got and what was expected. */
export interface Difference {
  where: string;
  got: string;
  expected: string;
  /** How many elements of that tensor differ, and the largest absolute difference, for tensors. */
  note: string;
}

/** Defaults as torch.testing.assert_close has them; dtypes not named here compare exactly. */
const BY_DTYPE: Readonly<Record<string, Tolerance>> = {
  float64: { rtol: 1e-7, atol: 1e-7 },
  float32: { rtol: 1.3e-6, atol: 1e-5 },
  float16: { rtol: 1e-3, atol: 1e-5 },
  bfloat16: { rtol: 1.6e-2, atol: 1e-5 },
};
const EXACT: Tolerance = { rtol: 0, atol: 0 };
/** Dtypes whose recorded decimals are the shortest that round to the float32, so an exact comparison rounds first. */
const FROM_FLOAT32 = new Set(['float32', 'float16', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2']);

/** The tolerance of a label, or undefined where the dtype decides. */
export function toleranceOf(
  label: string,
  tolerance: Readonly<Record<string, Tolerance | 'exact'>>,
): Tolerance | undefined {
  const given = tolerance[label] ?? tolerance['*'];
  return given === 'exact' ? EXACT : given;
}

/** The first difference between an observed and an expected value; undefined when they agree. */
export function firstDifference(
  got: Json,
  expected: Json,
  tolerance: Tolerance | undefined,
  path = '',
): Difference | undefined {
  if (isTensor(expected)) {
    if (!isTensor(got)) return differ(path, describe(got), describe(expected));
    return tensorDifference(got, expected, tolerance, path);
  }
  if (isFloat(expected) || isFloat(got)) {
    // A whole number written without a point is an integer and must be met exactly.
    const limit = isFloat(expected) ? (tolerance ?? BY_DTYPE['float32']!) : EXACT;
    const [a, b] = [asNumber(got), asNumber(expected)];
    if (a !== undefined && b !== undefined && close(a, b, limit)) return undefined;
    return differ(path, describe(got), describe(expected));
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(got)) return differ(path, describe(got), describe(expected));
    if (got.length !== expected.length) {
      return differ(path, `a list of ${got.length}`, `a list of ${expected.length}`);
    }
    for (let i = 0; i < expected.length; i++) {
      const difference = firstDifference(got[i]!, expected[i]!, tolerance, `${path}[${i}]`);
      if (difference) return difference;
    }
    return undefined;
  }
  if (isJsonObject(expected)) {
    if (!isJsonObject(got)) return differ(path, describe(got), describe(expected));
    for (const key of Object.keys(expected)) {
      if (!(key in got)) return differ(`${path}.${key}`, 'nothing', describe(expected[key]!));
      const difference = firstDifference(got[key]!, expected[key]!, tolerance, `${path}.${key}`);
      if (difference) return difference;
    }
    const extra = Object.keys(got).find((key) => !(key in expected));
    return extra === undefined ? undefined : differ(`${path}.${extra}`, describe(got[extra]!), 'nothing');
  }
  if (got === expected) return undefined;
  const [a, b] = [asNumber(got), asNumber(expected)];
  if (typeof got !== 'string' && typeof expected !== 'string' && a !== undefined && a === b) return undefined;
  return differ(path, describe(got), describe(expected));
}

interface TensorJson {
  t: string;
  s: Json[];
  d: Json[];
}

function tensorDifference(
  got: TensorJson,
  expected: TensorJson,
  tolerance: Tolerance | undefined,
  path: string,
): Difference | undefined {
  if (got.t !== expected.t) return differ(`${path} dtype`, got.t, expected.t);
  if (got.s.length !== expected.s.length || got.s.some((size, i) => Number(size) !== Number(expected.s[i]))) {
    return differ(
      `${path} shape`,
      `[${got.s.map(Number).join(', ')}]`,
      `[${expected.s.map(Number).join(', ')}]`,
    );
  }
  if (got.d.length !== expected.d.length)
    return differ(`${path} size`, `${got.d.length}`, `${expected.d.length}`);
  const floating = expected.t in BY_DTYPE || FROM_FLOAT32.has(expected.t);
  const limit = floating ? (tolerance ?? BY_DTYPE[expected.t] ?? EXACT) : EXACT;
  const round = FROM_FLOAT32.has(expected.t) ? Math.fround : (x: number) => x;
  let first = -1;
  let count = 0;
  let largest = 0;
  for (let i = 0; i < expected.d.length; i++) {
    const same = floating
      ? close(round(element(got.d[i]!)), round(element(expected.d[i]!)), limit)
      : sameInteger(got.d[i]!, expected.d[i]!);
    if (same) continue;
    if (first < 0) first = i;
    count++;
    largest = Math.max(largest, Math.abs(element(got.d[i]!) - element(expected.d[i]!)) || 0);
  }
  if (first < 0) return undefined;
  return {
    ...differ(
      `${path}${indexText(first, expected.s.map(Number))}`,
      describe(got.d[first]!),
      describe(expected.d[first]!),
    ),
    note:
      count > 1
        ? `; ${count} of ${expected.d.length} elements differ, by up to ${Number(largest.toPrecision(3))}`
        : '',
  };
}

function close(got: number, expected: number, { rtol, atol }: Tolerance): boolean {
  if (got === expected || (Number.isNaN(got) && Number.isNaN(expected))) return true;
  if (!Number.isFinite(got) || !Number.isFinite(expected)) return false;
  return Math.abs(got - expected) <= atol + rtol * Math.abs(expected);
}

function sameInteger(got: Json, expected: Json): boolean {
  if (got === expected) return true;
  // Beyond 2^53 integers are written as text, so either side may be text.
  return (
    typeof got !== 'boolean' &&
    typeof expected !== 'boolean' &&
    String(plain(got)) === String(plain(expected))
  );
}

function plain(value: Json): Json {
  return value instanceof FloatLiteral ? value.value : value;
}

function element(value: Json): number {
  return asNumber(value) ?? Number.NaN;
}

const WORDS: Readonly<Record<string, number>> = { nan: Number.NaN, inf: Infinity, '-inf': -Infinity };

function asNumber(value: Json): number | undefined {
  if (typeof value === 'number') return value;
  if (value instanceof FloatLiteral) return value.value;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'string') return WORDS[value];
  return undefined;
}

function isFloat(value: Json): boolean {
  if (typeof value === 'number') return !Number.isInteger(value);
  return value instanceof FloatLiteral || (typeof value === 'string' && value in WORDS);
}

function isTensor(value: Json): value is Json & TensorJson {
  return (
    isJsonObject(value) &&
    typeof value['t'] === 'string' &&
    Array.isArray(value['s']) &&
    Array.isArray(value['d'])
  );
}

function differ(where: string, got: string, expected: string): Difference {
  return { where, got, expected, note: '' };
}

function indexText(flat: number, shape: number[]): string {
  const index: number[] = [];
  for (let dim = shape.length - 1; dim >= 0; dim--) {
    index.unshift(flat % shape[dim]!);
    flat = Math.floor(flat / shape[dim]!);
  }
  return `[${index.join(', ')}]`;
}

function describe(value: Json): string {
  if (isTensor(value)) return `a ${value.t} tensor of shape [${value.s.map(Number).join(', ')}]`;
  const text = JSON.stringify(value, (_, v: unknown) =>
    v instanceof FloatLiteral ? v.value : typeof v === 'bigint' ? v.toString() : v,
  );
  return text === undefined ? 'nothing' : text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
