/** The words of a Mersenne Twister (Matsumoto and Nishimura, 1998). */
/** What a state is made of. */
export const TWISTER_WORDS = 624;
const SHIFT = 397;

/** Makes the next words of the last ones, in place. */
export function renewWords(x: Int32Array): void {
  for (let k = 0; k < TWISTER_WORDS - SHIFT; k++) x[k] = x[k + SHIFT]! ^ twist(x[k]!, x[k + 1]!);
  for (let k = TWISTER_WORDS - SHIFT; k < TWISTER_WORDS - 1; k++)
    x[k] = x[k + SHIFT - TWISTER_WORDS]! ^ twist(x[k]!, x[k + 1]!);
  x[TWISTER_WORDS - 1] = x[SHIFT - 1]! ^ twist(x[TWISTER_WORDS - 1]!, x[0]!);
}

function twist(word: number, next: number): number {
  const y = (word & 0x80000000) | (next & 0x7fffffff);
  return (y >>> 1) ^ (-(y & 1) & 0x9908b0df);
}

/** What is given of a word. */
export function temper(word: number): number {
  let y = word;
  y ^= y >>> 11;
  y ^= (y << 7) & 0x9d2c5680;
  y ^= (y << 15) & 0xefc60000;
  return y ^ (y >>> 18);
}
