/** Tensors as PyTorch prints them. */
import { bool, getDefaultDtype, int64 } from './dtype.js';
import { flatValues } from './ops/creation.js';
import type { Tensor } from './tensor.js';

const PRECISION = 4;
const THRESHOLD = 1000;
const EDGE = 3;
const WIDTH = 80;

interface Format {
  width: number;
  write(v: number | bigint | boolean): string;
}

/** Fixed digits, a tie to the even one as Python does; JavaScript takes the larger. */
function fixed(v: number): string {
  const twice = Math.abs(v) * 2 * 10 ** PRECISION;
  const isTie = Number.isSafeInteger(twice) && twice % 2 === 1 && twice % 5 ** PRECISION === 0;
  const below = (twice - 1) / 2;
  const even = below % 2 === 0 ? below : below + 1;
  const text = (isTie ? even / 10 ** PRECISION : Math.abs(v)).toFixed(PRECISION);
  return v < 0 || Object.is(v, -0) ? `-${text}` : text;
}

function sci(v: number): string {
  if (Object.is(v, -0)) return `-${sci(0)}`;
  // A tie is rounded to the even digit: what JavaScript rounds up is cut off after an even one.
  const [digits, power] = v.toExponential(20).split('e') as [string, string];
  const end = digits.indexOf('.') + 1 + PRECISION;
  const isTie = /^50*$/.test(digits.slice(end));
  const cut = isTie && Number(digits[end - 1]) % 2 === 0;
  const [m, e] = cut
    ? [digits.slice(0, end), power]
    : (v.toExponential(PRECISION).split('e') as [string, string]);
  const n = Number(e);
  return `${m}e${n < 0 ? '-' : '+'}${String(Math.abs(n)).padStart(2, '0')}`;
}
const special = (v: number): string => (Number.isNaN(v) ? 'nan' : v > 0 ? 'inf' : '-inf');

function formatFor(
  values: readonly (number | bigint | boolean)[],
  floating: boolean,
  isBool: boolean,
): Format {
  if (isBool) {
    const write = (v: number | bigint | boolean): string => (v ? 'True' : 'False');
    return { width: values.reduce<number>((w, v) => Math.max(w, write(v).length), 0), write };
  }
  if (!floating) {
    return { width: values.reduce<number>((w, v) => Math.max(w, String(v).length), 0), write: String };
  }
  const numbers = values.map(Number);
  const finite = numbers.filter((v) => Number.isFinite(v) && v !== 0);
  const abs = finite.map(Math.abs);
  const [lo, hi] = [Math.min(...abs), Math.max(...abs)];
  const whole = numbers.every((v) => !Number.isFinite(v) || v === Math.ceil(v));
  const science = finite.length > 0 && (hi / lo > 1000 || hi > 1e8 || (!whole && lo < 1e-4));
  const write = (given: number | bigint | boolean): string => {
    const v = Number(given);
    if (!Number.isFinite(v)) return special(v);
    if (science) return sci(v);
    if (whole) return `${Object.is(v, -0) ? '-0' : v.toFixed(0)}.`;
    return fixed(v);
  };
  // What is not finite and zeros have no say in the width.
  return { width: finite.reduce((w, v) => Math.max(w, write(v).length), 1), write };
}

/** `tensor(...` with what follows it; a suffix that would pass the margin starts a line. */
function withSuffixes(text: string, suffixes: readonly string[], indent: number): string {
  let out = text;
  let column = text.length - text.lastIndexOf('\n') + 1;
  for (const suffix of suffixes) {
    if (column + suffix.length + 2 > WIDTH) {
      out += `,\n${' '.repeat(indent)}${suffix}`;
      column = indent + suffix.length;
    } else {
      out += `, ${suffix}`;
      column += suffix.length + 2;
    }
  }
  return `${out})`;
}

export function formatTensor(x: Tensor, name = 'tensor'): string {
  const prefix = `${name}(`;
  const extra: string[] = [];
  const floating = x.dtype.isFloatingPoint;
  let body: string;
  if (x.isMeta) {
    body = '...';
    extra.push("device='meta'", `size=(${x.shape.join(', ')}${x.shape.length === 1 ? ',' : ''})`);
    if (x.dtype !== getDefaultDtype()) extra.push(`dtype=${x.dtype}`);
  } else if (x.numel() === 0) {
    body = '[]';
    if (x.shape.length !== 1) extra.push(`size=(${x.shape.join(', ')})`);
    if (x.dtype !== getDefaultDtype()) extra.push(`dtype=${x.dtype}`);
  } else {
    const short = x.numel() > THRESHOLD;
    const values = flatValues(x.detach());
    const shown: (number | bigint | boolean)[] = [];
    const strides = x.shape.map((_, d) => x.shape.slice(d + 1).reduce((a, b) => a * b, 1));
    const cells = (d: number): (number | '...')[] => {
      const n = x.shape[d]!;
      if (!short || n <= 2 * EDGE) return Array.from({ length: n }, (_, i) => i);
      return [0, 1, 2, '...', n - 3, n - 2, n - 1];
    };
    const visit = (d: number, at: number): void => {
      if (d === x.shape.length) {
        shown.push(values[at]!);
        return;
      }
      for (const i of cells(d)) if (i !== '...') visit(d + 1, at + i * strides[d]!);
    };
    visit(0, 0);
    const f = formatFor(shown, floating, x.dtype === bool);
    const render = (d: number, at: number, indent: number): string => {
      if (d === x.shape.length) return f.write(values[at]!).padStart(f.width);
      const parts = cells(d).map((i) =>
        i === '...' ? '...' : render(d + 1, at + i * strides[d]!, indent + 1),
      );
      if (d < x.shape.length - 1)
        return `[${parts.map((p) => (p === '...' ? '...' : p)).join(`,${'\n'.repeat(x.shape.length - 1 - d)}${' '.repeat(indent + 1)}`)}]`;
      const perLine = Math.max(1, Math.floor((WIDTH - indent) / (f.width + 2)));
      const lines: string[] = [];
      // The gap in a line of numbers is written with a space more.
      const gap = parts.indexOf('...');
      if (gap >= 0) parts[gap] = ' ...';
      for (let i = 0; i < parts.length; i += perLine) lines.push(parts.slice(i, i + perLine).join(', '));
      return `[${lines.join(`,\n${' '.repeat(indent + 1)}`)}]`;
    };
    body = x.shape.length === 0 ? f.write(values[0]!) : render(0, 0, prefix.length);
    if (x.dtype !== getDefaultDtype() && x.dtype !== int64 && x.dtype !== bool)
      extra.push(`dtype=${x.dtype}`);
  }
  if (x.gradFn) extra.push(`grad_fn=<${x.gradFn.name}>`);
  else if (x.requiresGrad) extra.push('requires_grad=True');
  return withSuffixes(`${prefix}${body}`, extra, prefix.length);
}
