/** Sizes, strides and dimensions: pure functions. */
import { contiguousStrides, numelOf, ShardbookError } from '../base/index.js';

export { contiguousStrides, numelOf };

export type Shape = readonly number[];

export function isContiguousLayout(shape: Shape, strides: Shape): boolean {
  let expected = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    const n = shape[d]!;
    if (n === 0) return true;
    if (n !== 1 && strides[d] !== expected) return shape.includes(0);
    expected *= n;
  }
  return true;
}

/** The order of dimensions (outermost first) in which a dense permuted layout is contiguous; null when it is not dense. */
export function denseOrder(shape: Shape, strides: Shape): number[] | null {
  const order = shape.map((_, d) => d).filter((d) => shape[d] !== 1);
  order.sort((a, b) => strides[b]! - strides[a]! || a - b);
  let expected = 1;
  for (let i = order.length - 1; i >= 0; i--) {
    const d = order[i]!;
    if (strides[d] !== expected) return null;
    expected *= shape[d]!;
  }
  const ones = shape.map((_, d) => d).filter((d) => shape[d] === 1);
  return [...ones, ...order];
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let d = 0; d < a.length; d++) if (a[d] !== b[d]) return false;
  return true;
}

/** A dimension counted from the end is made to count from the start; out of range fails. 0-dim counts as one dimension. */
export function wrapDim(dim: number, ndim: number, op: string): number {
  const n = Math.max(1, ndim);
  if (!Number.isInteger(dim) || dim < -n || dim >= n) {
    throw new ShardbookError({
      code: 'SB_DIM_RANGE',
      message: `Cannot run "${op}": dimension ${dim} is out of range: expected -${n} to ${n - 1}`,
    });
  }
  return dim < 0 ? dim + n : dim;
}

export function wrapDims(
  dims: number | readonly number[] | null | undefined,
  ndim: number,
  op: string,
): number[] {
  if (dims === null || dims === undefined) return Array.from({ length: ndim }, (_, d) => d);
  const list = typeof dims === 'number' ? [dims] : dims;
  if (!Array.isArray(list)) {
    throw new ShardbookError({
      code: 'SB_DIM_RANGE',
      message: `Cannot run "${op}": dimensions are a number or a list of numbers, not a ${typeof dims}`,
    });
  }
  const out = list.map((d) => wrapDim(d, ndim, op));
  if (new Set(out).size !== out.length) {
    throw new ShardbookError({
      code: 'SB_DIM_REPEATED',
      message: `Cannot run "${op}": dimensions [${list.join(', ')}] name one dimension twice`,
    });
  }
  return ndim === 0 ? [] : out;
}

export function broadcastShapes(shapes: readonly Shape[], describe: () => string): number[] {
  let ndim = 0;
  for (const s of shapes) ndim = Math.max(ndim, s.length);
  const out = new Array<number>(ndim).fill(1);
  for (const s of shapes) {
    for (let d = 0; d < s.length; d++) {
      const at = d + ndim - s.length;
      const n = s[d]!;
      if (n === 1) continue;
      if (out[at] !== 1 && out[at] !== n) {
        throw new ShardbookError({
          code: 'SB_BROADCAST',
          message: `Cannot ${describe()}: sizes ${out[at]} and ${n} at dimension ${at} do not broadcast`,
          help: 'sizes must be equal or 1, counted from the last dimension; use unsqueeze, expand or transpose to align them',
        });
      }
      out[at] = n;
    }
  }
  return out;
}

/** Strides of a tensor seen as the larger `shape` (0 where it is repeated). */
export function expandStrides(from: Shape, strides: Shape, shape: Shape): number[] {
  const shift = shape.length - from.length;
  return shape.map((n, d) => (d < shift || (from[d - shift] === 1 && n !== 1) ? 0 : strides[d - shift]!));
}

/** Strides of a view with sizes `shape`, or null where the layout does not allow one. */
export function viewStrides(shape: Shape, strides: Shape, next: Shape): number[] | null {
  const total = numelOf(shape);
  if (total === 0) return sameShape(shape, next) ? [...strides] : contiguousStrides(next);
  const out = new Array<number>(next.length);
  let viewDim = next.length - 1;
  let chunk = strides.length > 0 ? strides[strides.length - 1]! : 1;
  let tensorNumel = 1;
  let viewNumel = 1;
  if (shape.length === 0) return next.map(() => 1);
  for (let d = shape.length - 1; d >= 0; d--) {
    tensorNumel *= shape[d]!;
    if (d === 0 || (shape[d - 1] !== 1 && strides[d - 1] !== tensorNumel * chunk)) {
      while (viewDim >= 0 && (viewNumel < tensorNumel || next[viewDim] === 1)) {
        out[viewDim] = viewNumel * chunk;
        viewNumel *= next[viewDim]!;
        viewDim--;
      }
      if (viewNumel !== tensorNumel) return null;
      if (d > 0) {
        chunk = strides[d - 1]!;
        tensorNumel = 1;
        viewNumel = 1;
      }
    }
  }
  return viewDim === -1 ? out : null;
}

/** Fills in a single -1. */
export function inferShape(shape: Shape, total: number, op: string, describe: () => string): number[] {
  const out = [...shape];
  const at = out.indexOf(-1);
  const known = out.reduce((n, s, d) => (d === at ? n : n * s), 1);
  const fail = (why: string): never => {
    throw new ShardbookError({
      code: 'SB_SHAPE',
      message: `Cannot run "${op}": ${describe()} to [${shape.join(', ')}]: ${why}`,
    });
  };
  if (out.some((s, d) => (s < 0 && d !== at) || !Number.isInteger(s)))
    fail('sizes must be whole numbers, at most one of them -1');
  if (at >= 0) {
    if (known === 0) fail('-1 is ambiguous beside a size of 0');
    if (total % known !== 0) fail(`${total} elements do not divide by ${known}`);
    out[at] = total / known;
  } else if (known !== total) fail(`${total} elements against ${known}`);
  return out;
}
