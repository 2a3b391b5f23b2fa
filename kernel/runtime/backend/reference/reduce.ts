/** Reductions, scans and sorting. Floats accumulate in double and round once at the end. */
import { decodeTable, encoder, isSmallFloat, numelOf } from '../../base/index.js';
import type { Backend, Nd, ReduceName, ScanName } from '../backend.js';
import {
  bigs,
  type Compute,
  doubles,
  type Floats,
  floats,
  kindOf,
  load,
  type Numbers,
  rowsAlong,
  scratch,
  store,
  target,
} from './access.js';
import { narrow } from './matmul.js';
import { logaddexp } from './special.js';

/** x with the reduced dims last, as (outer, n). */
function split(x: Nd, dims: readonly number[]): { moved: Nd; outer: number; n: number } {
  const keep = x.shape.map((_, d) => d).filter((d) => !dims.includes(d));
  const order = [...keep, ...[...dims].sort((a, b) => a - b)];
  const moved = { ...x, shape: order.map((d) => x.shape[d]!), strides: order.map((d) => x.strides[d]!) };
  const outer = numelOf(keep.map((d) => x.shape[d]!));
  const n = numelOf(dims.map((d) => x.shape[d]!));
  return { moved, outer, n };
}

function reduceFloat(op: ReduceName, v: Numbers, base: number, n: number): number {
  let acc: number;
  switch (op) {
    case 'sum':
    case 'mean':
      acc = 0;
      for (let i = base; i < base + n; i++) acc += v[i]!;
      return op === 'mean' ? acc / n : acc;
    case 'nansum':
      acc = 0;
      for (let i = base; i < base + n; i++) if (!Number.isNaN(v[i])) acc += v[i]!;
      return acc;
    case 'prod':
      acc = 1;
      for (let i = base; i < base + n; i++) acc *= v[i]!;
      return acc;
    case 'amax':
      acc = Number.NEGATIVE_INFINITY;
      for (let i = base; i < base + n; i++) {
        const x = v[i]!;
        if (x > acc) acc = x;
        else if (Number.isNaN(x)) return x;
      }
      return acc;
    case 'amin':
      acc = Number.POSITIVE_INFINITY;
      for (let i = base; i < base + n; i++) {
        const x = v[i]!;
        if (x < acc) acc = x;
        else if (Number.isNaN(x)) return x;
      }
      return acc;
    case 'all':
      for (let i = base; i < base + n; i++) if (v[i] === 0) return 0;
      return 1;
    case 'any':
      for (let i = base; i < base + n; i++) if (v[i] !== 0) return 1;
      return 0;
    case 'countNonzero':
      acc = 0;
      for (let i = base; i < base + n; i++) if (v[i] !== 0) acc++;
      return acc;
    default: {
      let top = Number.NEGATIVE_INFINITY;
      for (let i = base; i < base + n; i++) {
        const x = v[i]!;
        if (x > top || Number.isNaN(x)) top = x;
        if (Number.isNaN(x)) break;
      }
      if (!Number.isFinite(top)) return top;
      acc = 0;
      for (let i = base; i < base + n; i++) acc += Math.exp(v[i]! - top);
      return top + Math.log(acc);
    }
  }
}

function reduceBig(op: ReduceName, v: BigInt64Array, base: number, n: number): bigint {
  let acc = op === 'prod' ? 1n : op === 'sum' || op === 'nansum' ? 0n : (v[base] ?? 0n);
  for (let i = base; i < base + n; i++) {
    const x = v[i]!;
    if (op === 'prod') acc = BigInt.asIntN(64, acc * x);
    else if (op === 'amax') acc = x > acc ? x : acc;
    else if (op === 'amin') acc = x < acc ? x : acc;
    else acc += x;
  }
  return BigInt.asIntN(64, acc);
}

/** Longer rows are multiplied in lanes, in an order that depends on the machine. */
const PRODUCT_RUN = 64;

export const reduce: Backend['reduce'] = (op, x, dims, out) => {
  const { moved, outer, n } = split(x, dims);
  const exact = kindOf(out.dtype) === 'i64' && op !== 'countNonzero';
  if (exact) {
    const v = bigs(moved);
    const o = target(out) as BigInt64Array;
    for (let r = 0; r < outer; r++) o[r] = reduceBig(op, v, r * n, n);
    store(o, out);
    return;
  }
  const kind = kindOf(x.dtype);
  const v = kind === 'i64' ? doubles(moved) : (load(moved) as Numbers);
  const o = new Float64Array(outer);
  if (op === 'prod' && isSmallFloat(out.dtype) && n < PRODUCT_RUN) {
    // Unlike sums, PyTorch's products are rounded at every step.
    const [encode, decode] = [encoder(out.dtype), decodeTable(out.dtype)];
    for (let r = 0; r < outer; r++) {
      o[r] = 1;
      for (let i = r * n; i < (r + 1) * n; i++) o[r] = decode[encode(o[r]! * v[i]!)]!;
    }
    store(narrow(o, out), out);
    return;
  }
  for (let r = 0; r < outer; r++) o[r] = reduceFloat(op, v, r * n, n);
  store(narrow(o, out), out);
};

export const vectorNorm: Backend['vectorNorm'] = (x, ord, dims, out) => {
  const { moved, outer, n } = split(x, dims);
  const v = floats(moved);
  const o = new Float64Array(outer);
  for (let r = 0; r < outer; r++) {
    let acc = ord === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : 0;
    for (let i = r * n; i < (r + 1) * n; i++) {
      const a = Math.abs(v[i]!);
      if (ord === 2) acc += a * a;
      else if (ord === 1) acc += a;
      else if (ord === 0) acc += a !== 0 ? 1 : 0;
      else if (ord === Number.POSITIVE_INFINITY) acc = a > acc || Number.isNaN(a) ? a : acc;
      else if (ord === Number.NEGATIVE_INFINITY) acc = a < acc || Number.isNaN(a) ? a : acc;
      else acc += a ** ord;
    }
    o[r] =
      ord === 2 ? Math.sqrt(acc) : ord === 1 || ord === 0 || !Number.isFinite(ord) ? acc : acc ** (1 / ord);
  }
  store(narrow(o, out), out);
};

export const variance: Backend['variance'] = (x, dims, correction, out, mean) => {
  const { moved, outer, n } = split(x, dims);
  const v = floats(moved);
  const o = new Float64Array(outer);
  const mu = new Float64Array(outer);
  for (let r = 0; r < outer; r++) {
    let sum = 0;
    for (let i = r * n; i < (r + 1) * n; i++) sum += v[i]!;
    const m = sum / n;
    let acc = 0;
    for (let i = r * n; i < (r + 1) * n; i++) acc += (v[i]! - m) * (v[i]! - m);
    mu[r] = m;
    o[r] = acc / Math.max(0, n - correction);
  }
  store(narrow(o, out), out);
  if (mean) store(narrow(mu, mean), mean);
};

/** Numbers that order as the elements do; int64 beyond 2^53 is compared exactly as bigint instead. */
function sortable(x: Nd): Numbers | BigInt64Array {
  return load(x) as Numbers | BigInt64Array;
}

export const argReduce: Backend['argReduce'] = (largest, x, dim, values, indices) => {
  const moved = x.shape.length === 0 ? { ...x, shape: [1], strides: [1] } : rowsAlong(x, dim);
  const n = moved.shape[moved.shape.length - 1]!;
  const v = sortable(moved);
  const outer = n === 0 ? 0 : v.length / n;
  const where = new BigInt64Array(outer);
  const best = scratch(kindOf(x.dtype), outer) as Float64Array;
  for (let r = 0; r < outer; r++) {
    let at = r * n;
    let top = v[at]!;
    for (let i = r * n + 1; i < (r + 1) * n && !Number.isNaN(top); i++) {
      const e = v[i]!;
      if (Number.isNaN(e) || (largest ? e > top : e < top)) {
        top = e;
        at = i;
      }
    }
    where[r] = BigInt(at - r * n);
    best[r] = top as number;
  }
  store(where, indices);
  if (values) store(best, values);
};

export const scan: Backend['scan'] = (op: ScanName, x, dim, out) => {
  const into = out.shape.length === 0 ? { ...out, shape: [1], strides: [1] } : rowsAlong(out, dim);
  const from = x.shape.length === 0 ? { ...x, shape: [1], strides: [1] } : rowsAlong(x, dim);
  const n = from.shape[from.shape.length - 1]!;
  const kind = kindOf(out.dtype);
  if (kind === 'i64') {
    const v = bigs(from);
    const o = new BigInt64Array(v.length);
    for (let i = 0; i < v.length; i++) {
      if (i % n === 0) o[i] = v[i]!;
      else o[i] = op === 'cumprod' ? o[i - 1]! * v[i]! : o[i - 1]! + v[i]!;
    }
    store(o, into);
    return;
  }
  const v = load(from) as Numbers;
  const o = new Float64Array(v.length);
  for (let i = 0; i < v.length; i++) {
    if (i % n === 0) o[i] = v[i]!;
    else if (op === 'cumsum') o[i] = o[i - 1]! + v[i]!;
    else if (op === 'cumprod') o[i] = o[i - 1]! * v[i]!;
    else o[i] = Number.isNaN(v[i]) || Number.isNaN(o[i - 1]) ? Number.NaN : logaddexp(o[i - 1]!, v[i]!);
  }
  store(narrow(o, into), into);
};

export const scanExtreme: Backend['scanExtreme'] = (largest, x, dim, values, indices) => {
  const line = (t: Nd): Nd => (t.shape.length === 0 ? { ...t, shape: [1], strides: [1] } : rowsAlong(t, dim));
  const from = line(x);
  const n = from.shape[from.shape.length - 1]!;
  const v = sortable(from);
  const o = scratch(kindOf(x.dtype), v.length) as Float64Array;
  const where = new BigInt64Array(v.length);
  let at = 0;
  for (let i = 0; i < v.length; i++) {
    const e = v[i]!;
    const top = v[at]!;
    // The last of equals wins, and nan stays.
    if (i % n === 0 || Number.isNaN(e) || (!Number.isNaN(top) && (largest ? e >= top : e <= top))) at = i;
    o[i] = v[at] as number;
    where[i] = BigInt(at % n);
  }
  store(o, line(values));
  store(where, line(indices));
};

export const sort: Backend['sort'] = (x, dim, descending, values, indices) => {
  const line = (t: Nd): Nd => (t.shape.length === 0 ? { ...t, shape: [1], strides: [1] } : rowsAlong(t, dim));
  const from = line(x);
  const n = from.shape[from.shape.length - 1]!;
  const v = sortable(from);
  const o = scratch(kindOf(x.dtype), v.length) as Float64Array;
  const where = new BigInt64Array(v.length);
  const order = new Array<number>(n);
  const sign = descending ? -1 : 1;
  for (let base = 0; base < v.length; base += n) {
    for (let i = 0; i < n; i++) order[i] = i;
    order.sort((p, q) => {
      const a = v[base + p]!;
      const b = v[base + q]!;
      if (a === b) return p - q;
      if (Number.isNaN(a)) return Number.isNaN(b) ? p - q : sign;
      if (Number.isNaN(b)) return -sign;
      return a < b ? -sign : sign;
    });
    for (let i = 0; i < n; i++) {
      o[base + i] = v[base + order[i]!] as number;
      where[base + i] = BigInt(order[i]!);
    }
  }
  store(o, line(values));
  store(where, line(indices));
};

export type { Compute, Floats };
