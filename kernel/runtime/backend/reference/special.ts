/** Special functions of real numbers, to double precision. */

/** erf: series near zero, continued fraction of erfc away from it. */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.2) {
    let sum = a;
    let term = a;
    const q = a * a;
    for (let n = 1; n < 60; n++) {
      term *= -q / n;
      const d = term / (2 * n + 1);
      sum += d;
      if (Math.abs(d) < 1e-17 * Math.abs(sum)) break;
    }
    const v = (2 / Math.sqrt(Math.PI)) * sum;
    return x < 0 ? -v : v;
  }
  const v = 1 - erfcPositive(a);
  return x < 0 ? -v : v;
}

export function erfc(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x < 0.5) return 1 - erf(x);
  if (x < 2.2) return 1 - erf(x);
  return x > 27 ? 0 : erfcPositive(x);
}

function erfcPositive(x: number): number {
  // Lentz evaluation of the continued fraction, x >= 2.
  let f = 0;
  for (let k = 60; k >= 1; k--) f = k / 2 / (x + f);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + f);
}

export function erfinv(y: number): number {
  if (y <= -1 || y >= 1) return Math.abs(y) === 1 ? y * Number.POSITIVE_INFINITY : Number.NaN;
  const w = Math.log((1 - y) * (1 + y));
  const a = 0.147;
  const t = 2 / (Math.PI * a) + w / 2;
  let x = Math.sign(y) * Math.sqrt(Math.sqrt(t * t - w / a) - t);
  for (let i = 0; i < 3; i++) {
    const e = (y >= 0 ? -(erfc(x) - (1 - y)) : erf(x) - y) * (y >= 0 ? 1 : 1);
    x -= (y >= 0 ? e : e) / ((2 / Math.sqrt(Math.PI)) * Math.exp(-x * x));
  }
  return x;
}

const lanczos = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

export function lgamma(x: number): number {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? x : Number.POSITIVE_INFINITY;
  if (x <= 0 && Number.isInteger(x)) return Number.POSITIVE_INFINITY;
  if (x === 1 || x === 2) return 0;
  if (x < 0.5) return Math.log(Math.PI / Math.abs(Math.sin(Math.PI * x))) - lgamma(1 - x);
  if (x > 20) {
    const i = 1 / (x * x);
    return (
      (x - 0.5) * Math.log(x) -
      x +
      0.5 * Math.log(2 * Math.PI) +
      (1 / 12 - i * (1 / 360 - i * (1 / 1260 - i / 1680))) / x
    );
  }
  const z = x - 1;
  let a = lanczos[0]!;
  for (let i = 1; i < 9; i++) a += lanczos[i]! / (z + i);
  const t = z + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(a);
}

export function digamma(x: number): number {
  if (x === 0) return Object.is(x, -0) ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  if (x < 0 && Number.isInteger(x)) return Number.NaN;
  if (x < 0) return digamma(1 - x) - Math.PI / Math.tan(Math.PI * x);
  let r = 0;
  while (x < 10) {
    r -= 1 / x;
    x += 1;
  }
  const i = 1 / (x * x);
  return r + Math.log(x) - 0.5 / x - i * (1 / 12 - i * (1 / 120 - i * (1 / 252 - i * (1 / 240 - i / 132))));
}

export function trigamma(x: number): number {
  if (x < 0.5) {
    const s = Math.sin(Math.PI * x);
    return (Math.PI * Math.PI) / (s * s) - trigamma(1 - x);
  }
  let r = 0;
  while (x < 10) {
    r += 1 / (x * x);
    x += 1;
  }
  const i = 1 / (x * x);
  return r + 1 / x + i / 2 + (i / x) * (1 / 6 - i * (1 / 30 - i * (1 / 42 - i / 30)));
}

/** Half to even, as IEEE and Python do. */
export function roundEven(x: number): number {
  const r = Math.round(x);
  if (Math.abs(x % 1) === 0.5 && r % 2 !== 0) return r - 1;
  return r === 0 && (x < 0 || Object.is(x, -0)) ? -0 : r;
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

export function logsigmoid(x: number): number {
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}

/** Python's remainder: the sign of the divisor. */
export function remainder(a: number, b: number): number {
  const r = a % b;
  return r !== 0 && r < 0 !== b < 0 ? r + b : r;
}

export function floorDivide(a: number, b: number): number {
  if (b === 0) return a / b;
  const mod = a % b;
  let div = (a - mod) / b;
  if (mod !== 0 && b < 0 !== mod < 0) div -= 1;
  if (div === 0) return a / b < 0 || Object.is(a / b, -0) ? -0 : 0;
  const floored = Math.floor(div);
  return div - floored > 0.5 ? floored + 1 : floored;
}

export function logaddexp(a: number, b: number): number {
  if (a === b && !Number.isFinite(a)) return a;
  const m = Math.max(a, b);
  return m + Math.log1p(Math.exp(-Math.abs(a - b)));
}

export function power(a: number, b: number): number {
  // C's pow, unlike JavaScript's: 1 to any power and (-1) to an infinite power are 1.
  if (a === 1) return 1;
  if (a === -1 && (b === Number.POSITIVE_INFINITY || b === Number.NEGATIVE_INFINITY)) return 1;
  return a ** b;
}
