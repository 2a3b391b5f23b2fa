/** Matrix products and what is made of them. */
import { applyInplace, applyOp } from '../dispatch.js';
import { expectTensor, opError } from '../errors.js';
import { broadcastShapes, numelOf } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { add, mul } from './pointwise.js';
import { sum } from './reductions.js';
import { plain, type Scalar } from './scalar.js';
import { expand, permute, reshape, squeeze, transpose, unsqueeze, view } from './views.js';

export function mm(a: Tensor, b: Tensor): Tensor {
  return applyOp('mm', [a, b], {});
}
export function bmm(a: Tensor, b: Tensor): Tensor {
  return applyOp('bmm', [a, b], {});
}

/** PyTorch's matmul: vectors, matrices and broadcast batches. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  expectTensor('matmul', a);
  expectTensor('matmul', b);
  const [n, m] = [a.shape.length, b.shape.length];
  if (n === 0 || m === 0) throw opError('matmul', [a, b], 'both must have at least 1 dimension');
  const inner = [a.shape[n - 1]!, b.shape[m === 1 ? 0 : m - 2]!];
  if (inner[0] !== inner[1])
    throw opError('matmul', [a, b], `inner sizes ${inner[0]} and ${inner[1]} differ`);
  if (a.dtype !== b.dtype && !autocasting())
    throw opError(
      'matmul',
      [a, b],
      `dtypes ${a.dtype.name} and ${b.dtype.name} differ`,
      `convert with .to(torch.${a.dtype.name})`,
      'SB_DTYPE',
    );
  if (n === 1 && m === 1) return applyOp('dot', [a, b], {});
  if (n === 1 && m === 2) return squeeze(mm(unsqueeze(a, 0), b), 0);
  if (n === 2 && m === 1) return applyOp('mv', [a, b], {});
  if (n === 2 && m === 2) return mm(a, b);
  if (m === 1) return squeeze(matmul(a, unsqueeze(b, 1)), -1);
  if (n === 1) return squeeze(matmul(unsqueeze(a, 0), b), -2);
  if (m === 2) {
    const rows = numelOf(a.shape.slice(0, -1));
    return view(mm(reshape(a, [rows, inner[0]!]), b), [...a.shape.slice(0, -1), b.shape[1]!]);
  }
  const batch = broadcastShapes(
    [a.shape.slice(0, -2), b.shape.slice(0, -2)],
    () => `run "matmul": ${a.describe()} and ${b.describe()}`,
  );
  const count = numelOf(batch);
  const [rows, columns] = [a.shape[n - 2]!, b.shape[m - 1]!];
  const left = reshape(expand(a, [...batch, rows, inner[0]!]), [count, rows, inner[0]!]);
  const right = reshape(expand(b, [...batch, inner[0]!, columns]), [count, inner[0]!, columns]);
  return view(bmm(left, right), [...batch, rows, columns]);
}

import { state } from '../state.js';

const autocasting = (): boolean => state.autocast !== null;

export const mv = (a: Tensor, b: Tensor): Tensor => {
  if (a.shape.length !== 2 || b.shape.length !== 1)
    throw opError('mv', [a, b], 'needs a matrix and a vector');
  return matmul(a, b);
};
export const dot = (a: Tensor, b: Tensor): Tensor => {
  if (a.shape.length !== 1 || b.shape.length !== 1) throw opError('dot', [a, b], 'needs two vectors');
  return matmul(a, b);
};
export { dot as inner, dot as vdot };
export const outer = (a: Tensor, b: Tensor): Tensor => {
  if (a.shape.length !== 1 || b.shape.length !== 1) throw opError('outer', [a, b], 'needs two vectors');
  return mul(unsqueeze(a, 1), b);
};
export { outer as ger };

export interface AddmmOptions {
  beta?: Scalar;
  alpha?: Scalar;
}
const factors = (o: AddmmOptions): { beta: number; alpha: number } => ({
  beta: Number(plain(o.beta ?? 1)),
  alpha: Number(plain(o.alpha ?? 1)),
});
export const addmm = (c: Tensor, a: Tensor, b: Tensor, o: AddmmOptions = {}): Tensor =>
  applyOp('addmm', [c, a, b], factors(o));
export const addmm_ = (c: Tensor, a: Tensor, b: Tensor, o: AddmmOptions = {}): Tensor =>
  applyInplace('addmm', [c, a, b], factors(o));
export const baddbmm = (c: Tensor, a: Tensor, b: Tensor, o: AddmmOptions = {}): Tensor =>
  applyOp('baddbmm', [c, a, b], factors(o));
export const baddbmm_ = (c: Tensor, a: Tensor, b: Tensor, o: AddmmOptions = {}): Tensor =>
  applyInplace('baddbmm', [c, a, b], factors(o));
export const addmv = (c: Tensor, a: Tensor, b: Tensor, o: AddmmOptions = {}): Tensor =>
  squeeze(addmm(unsqueeze(c, -1), a, unsqueeze(b, 1), o), -1);
export const addr = (c: Tensor, a: Tensor, b: Tensor, o: AddmmOptions = {}): Tensor =>
  add(mul(c, factors(o).beta), mul(outer(a, b), factors(o).alpha));

/** x @ weight^T + bias, with one rounding. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor | null | { bias?: Tensor | null }): Tensor {
  expectTensor('linear', x, 'the input');
  expectTensor('linear', weight, 'the weight');
  const b =
    bias && 'bias' in bias && !('shape' in bias) ? (bias.bias ?? null) : ((bias ?? null) as Tensor | null);
  if (weight.shape.length === 1) {
    const y = matmul(x, weight);
    return b ? add(y, b) : y;
  }
  const k = x.shape[x.shape.length - 1];
  if (k === undefined || k !== weight.shape[1])
    throw opError(
      'linear',
      [x, weight],
      `the input has ${k ?? 'no'} features and the weight expects ${weight.shape[1]}`,
    );
  const wt = transpose(weight, 0, 1);
  if (!b) return matmul(x, wt);
  if (x.shape.length === 2) return addmm(b, x, wt);
  const rows = numelOf(x.shape.slice(0, -1));
  return view(addmm(b, reshape(x, [rows, k]), wt), [...x.shape.slice(0, -1), weight.shape[0]!]);
}

/** Einstein summation: `einsum('bij,bjk->bik', a, b)`; `...` stands for broadcast dimensions. */
export function einsum(equation: string, ...given: (Tensor | readonly Tensor[])[]): Tensor {
  const tensors = given.flat() as Tensor[];
  const [left, right] = equation.replace(/\s+/g, '').split('->') as [string, string | undefined];
  const terms = left.split(',');
  if (terms.length !== tensors.length)
    throw opError('einsum', tensors, `"${equation}" names ${terms.length} operands`);
  let ellipsis = 0;
  const parsed = terms.map((term, i) => {
    const shape = tensors[i]!.shape;
    const letters = term.replace('...', '');
    const extra = shape.length - letters.length;
    if (extra < 0 || (!term.includes('...') && extra !== 0))
      throw opError('einsum', tensors, `"${term}" does not fit ${tensors[i]!.describe()}`);
    ellipsis = Math.max(ellipsis, term.includes('...') ? extra : 0);
    return { term, extra };
  });
  const dots = (n: number): string[] => Array.from({ length: n }, (_, i) => `.${ellipsis - n + i}`);
  const labels = parsed.map(({ term, extra }) => {
    const at = term.indexOf('...');
    return at < 0 ? [...term] : [...term.slice(0, at), ...dots(extra), ...term.slice(at + 3)];
  });
  const flat = labels.flat();
  const counts = new Map<string, number>();
  for (const l of flat) counts.set(l, (counts.get(l) ?? 0) + 1);
  const output =
    right === undefined
      ? [
          ...dots(ellipsis),
          ...[...counts.keys()].filter((l) => !l.startsWith('.') && counts.get(l) === 1).sort(),
        ]
      : right.includes('...')
        ? [
            ...right.slice(0, right.indexOf('...')),
            ...dots(ellipsis),
            ...right.slice(right.indexOf('...') + 3),
          ]
        : [...right];
  for (const l of output)
    if (!counts.has(l)) throw opError('einsum', tensors, `output index "${l}" is in no operand`);
  const sizes = new Map<string, number>();
  labels.forEach((ls, i) => {
    ls.forEach((l, d) => {
      const n = tensors[i]!.shape[d]!;
      const old = sizes.get(l);
      if (old !== undefined && old !== n && old !== 1 && n !== 1)
        throw opError('einsum', tensors, `index "${l}" has sizes ${old} and ${n}`);
      if (old === undefined || old === 1) sizes.set(l, n);
    });
  });
  let [current, names] = diagonals(tensors[0]!, labels[0]!);
  for (let i = 1; i < tensors.length; i++) {
    const [next, nextNames] = diagonals(tensors[i]!, labels[i]!);
    const later = new Set([...output, ...labels.slice(i + 1).flat()]);
    [current, names] = contract(current, names, next, nextNames, later, sizes);
  }
  const gone = names.map((l, d) => (output.includes(l) ? -1 : d)).filter((d) => d >= 0);
  if (gone.length > 0) {
    current = sum(current, gone);
    names = names.filter((l) => output.includes(l));
  }
  return permute(
    current,
    output.map((l) => names.indexOf(l)),
  );
}

/** A repeated index within one operand walks its diagonal. */
function diagonals(x: Tensor, given: readonly string[]): [Tensor, string[]] {
  let out = x;
  let names = [...given];
  for (let d = 0; d < names.length; d++) {
    const other = names.indexOf(names[d]!, d + 1);
    if (other < 0) continue;
    const label = names[d]!;
    out = applyOp('diagonal', [out], { offset: 0, dim1: d, dim2: other });
    names = [...names.filter((l) => l !== label), label];
    d = -1;
  }
  return [out, names];
}

function contract(
  a: Tensor,
  an: string[],
  b: Tensor,
  bn: string[],
  later: ReadonlySet<string>,
  sizes: ReadonlyMap<string, number>,
): [Tensor, string[]] {
  // Indices that only one operand has and nobody needs are summed first.
  const drop = (x: Tensor, names: string[], others: readonly string[]): [Tensor, string[]] => {
    const gone = names.map((l, d) => (!others.includes(l) && !later.has(l) ? d : -1)).filter((d) => d >= 0);
    return gone.length === 0 ? [x, names] : [sum(x, gone), names.filter((_, d) => !gone.includes(d))];
  };
  const [x, xn] = drop(a, an, bn);
  const [y, yn] = drop(b, bn, xn);
  const shared = xn.filter((l) => yn.includes(l));
  const batch = shared.filter((l) => later.has(l));
  const summed = shared.filter((l) => !later.has(l));
  const onlyX = xn.filter((l) => !yn.includes(l));
  const onlyY = yn.filter((l) => !xn.includes(l));
  const size = (ls: readonly string[]): number[] => ls.map((l) => sizes.get(l)!);
  const arrange = (
    t: Tensor,
    names: readonly string[],
    first: string[],
    second: string[],
    third: string[],
  ): Tensor => {
    const order = [...first, ...second, ...third];
    const p = permute(
      t,
      order.map((l) => names.indexOf(l)),
    );
    const wide = expand(
      p,
      order.map((l, d) => (onlyX.includes(l) || onlyY.includes(l) ? p.shape[d]! : sizes.get(l)!)),
    );
    return reshape(wide, [numelOf(size(first)), numelOf(size(second)), numelOf(size(third))]);
  };
  const product = bmm(arrange(x, xn, batch, onlyX, summed), arrange(y, yn, batch, summed, onlyY));
  const names = [...batch, ...onlyX, ...onlyY];
  return [reshape(product, size(names)), names];
}

export function tensordot(
  a: Tensor,
  b: Tensor,
  dims: number | readonly (readonly number[])[] | { dims: number | readonly (readonly number[])[] } = 2,
): Tensor {
  const given = typeof dims === 'object' && 'dims' in dims ? dims.dims : dims;
  const n = a.shape.length;
  const da = (
    typeof given === 'number' ? Array.from({ length: given }, (_, i) => n - given + i) : given[0]!
  ).map((d) => (d < 0 ? d + n : d));
  const db = (typeof given === 'number' ? Array.from({ length: given }, (_, i) => i) : given[1]!).map((d) =>
    d < 0 ? d + b.shape.length : d,
  );
  // A size of 1 against a larger one: the larger is summed first.
  for (const [i, d] of da.entries()) {
    const e = db[i]!;
    const [p, q] = [a.shape[d], b.shape[e]];
    if (p === q) continue;
    if (p !== 1 && q !== 1) throw opError('tensordot', [a, b], `contracted sizes ${p} and ${q} differ`);
    if (p === 1) return tensordot(a, b.sum(e, true), [da, db]);
    return tensordot(a.sum(d, true), b, [da, db]);
  }
  const fa = a.shape.map((_, d) => d).filter((d) => !da.includes(d));
  const fb = b.shape.map((_, d) => d).filter((d) => !db.includes(d));
  const k = numelOf(da.map((d) => a.shape[d]!));
  const left = reshape(permute(a, [...fa, ...da]), [numelOf(fa.map((d) => a.shape[d]!)), k]);
  const right = reshape(permute(b, [...db, ...fb]), [k, numelOf(fb.map((d) => b.shape[d]!))]);
  return reshape(mm(left, right), [...fa.map((d) => a.shape[d]!), ...fb.map((d) => b.shape[d]!)]);
}
export function kron(a: Tensor, b: Tensor): Tensor {
  const n = Math.max(a.shape.length, b.shape.length);
  const up = (x: Tensor): number[] => [...new Array<number>(n - x.shape.length).fill(1), ...x.shape];
  const [sa, sb] = [up(a), up(b)];
  const product = mul(
    reshape(
      a,
      sa.flatMap((s) => [s, 1]),
    ),
    reshape(
      b,
      sb.flatMap((s) => [1, s]),
    ),
  );
  return reshape(
    product,
    sa.map((s, d) => s * sb[d]!),
  );
}
