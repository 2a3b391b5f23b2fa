/** Exact fractions: whole results come out whole, however large what they are computed from. */
import { refuse } from './shared.js';

/** Exact fractions of whole numbers: closed forms are compared without rounding. */
export class Fraction {
  private constructor(
    readonly numerator: bigint,
    readonly denominator: bigint,
  ) {}

  /** Of whole numbers and floats alike; a float is the fraction that its bits say. */
  static of(value: number | bigint | Fraction, over: number | bigint | Fraction = 1): Fraction {
    const top = whole(value);
    const below = whole(over);
    return Fraction.#reduced(top.numerator * below.denominator, top.denominator * below.numerator);
  }

  /** Of a float as it is written: 0.1 is 1/10. */
  static decimal(value: number): Fraction {
    const [digits, exponent = '0'] = String(value).split('e');
    const [before, after = ''] = digits!.split('.');
    const shift = Number(exponent) - after.length;
    const top = BigInt(before! + after);
    return shift >= 0
      ? Fraction.#reduced(top * 10n ** BigInt(shift), 1n)
      : Fraction.#reduced(top, 10n ** BigInt(-shift));
  }

  static sum(values: Iterable<Fraction>): Fraction {
    let total = Fraction.of(0);
    for (const value of values) total = total.plus(value);
    return total;
  }

  static #reduced(numerator: bigint, denominator: bigint): Fraction {
    if (denominator === 0n) throw refuse('a fraction with the denominator 0');
    const sign = denominator < 0n ? -1n : 1n;
    const shared = gcd(numerator, denominator) || 1n;
    return new Fraction((sign * numerator) / shared, (sign * denominator) / shared);
  }

  plus(other: number | Fraction): Fraction {
    const o = Fraction.of(other);
    return Fraction.#reduced(
      this.numerator * o.denominator + o.numerator * this.denominator,
      this.denominator * o.denominator,
    );
  }

  minus(other: number | Fraction): Fraction {
    return this.plus(Fraction.of(other).times(-1));
  }

  times(other: number | Fraction): Fraction {
    const o = Fraction.of(other);
    return Fraction.#reduced(this.numerator * o.numerator, this.denominator * o.denominator);
  }

  over(other: number | Fraction): Fraction {
    const o = Fraction.of(other);
    return Fraction.#reduced(this.numerator * o.denominator, this.denominator * o.numerator);
  }

  isAbove(other: Fraction): boolean {
    return this.numerator * other.denominator > other.numerator * this.denominator;
  }

  max(other: Fraction): Fraction {
    return other.isAbove(this) ? other : this;
  }

  /** The nearest double; exact for whole numbers up to 2^53. */
  toNumber(): number {
    const { numerator, denominator } = this;
    if (denominator === 1n) return Number(numerator);
    const quotient = numerator / denominator;
    return Number(quotient) + divide(numerator - quotient * denominator, denominator);
  }
}

function whole(value: number | bigint | Fraction): { numerator: bigint; denominator: bigint } {
  if (value instanceof Fraction) return value;
  if (typeof value === 'bigint') return { numerator: value, denominator: 1n };
  if (Number.isInteger(value)) return { numerator: BigInt(value), denominator: 1n };
  if (!Number.isFinite(value)) throw refuse(`with ${value}: wanted a finite number`);
  let denominator = 1n;
  let x = value;
  while (!Number.isInteger(x)) {
    x *= 2;
    denominator *= 2n;
  }
  return { numerator: BigInt(x), denominator };
}

/** Of bigints that may be beyond the range of doubles. */
function divide(top: bigint, below: bigint): number {
  const bits = Math.max(top.toString(2).length, below.toString(2).length);
  const shift = BigInt(Math.max(0, bits - 1000));
  return Number(top >> shift) / Number(below >> shift);
}

function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (y > 0n) [x, y] = [y, x % y];
  return x;
}

/** The numbers of a record of fractions. */
export function numbers<K extends string>(record: Record<K, Fraction>): Record<K, number> {
  return Object.fromEntries(
    Object.entries<Fraction>(record).map(([key, f]) => [key, f.toNumber()]),
  ) as Record<K, number>;
}
