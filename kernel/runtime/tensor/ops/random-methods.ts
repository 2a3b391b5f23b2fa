/** The random methods of Tensor. */
import { Tensor } from '../tensor.js';
import {
  bernoulli,
  bernoulli_,
  cauchy_,
  exponential_,
  type GeneratorOption,
  geometric_,
  logNormal_,
  type MultinomialOptions,
  multinomial,
  normal_,
  random_,
  uniform_,
} from './random.js';

export interface RandomMethods {
  /** Fills with uniform numbers in [from, to). */
  uniform_(from?: number, to?: number, options?: GeneratorOption): Tensor;
  uniform_(options: GeneratorOption & { from?: number; to?: number }): Tensor;
  /** Fills with normal numbers. */
  normal_(mean?: number, std?: number, options?: GeneratorOption): Tensor;
  normal_(options: GeneratorOption & { mean?: number; std?: number }): Tensor;
  /** Fills with exponential numbers. */
  exponential_(lambd?: number, options?: GeneratorOption): Tensor;
  exponential_(options: GeneratorOption & { lambd?: number }): Tensor;
  /** Fills with numbers of trials up to the first success. */
  geometric_(p: number, options?: GeneratorOption): Tensor;
  /** Fills with Cauchy numbers. */
  cauchy_(median?: number, sigma?: number, options?: GeneratorOption): Tensor;
  cauchy_(options: GeneratorOption & { median?: number; sigma?: number }): Tensor;
  /** Fills with exponentials of normal numbers. */
  logNormal_(mean?: number, std?: number, options?: GeneratorOption): Tensor;
  logNormal_(options: GeneratorOption & { mean?: number; std?: number }): Tensor;
  /** Fills with integers: of the whole type, below `to`, or from `from` up to `to`. */
  random_(options?: GeneratorOption): Tensor;
  random_(to: number | bigint, options?: GeneratorOption): Tensor;
  random_(from: number | bigint, to: number | bigint | null, options?: GeneratorOption): Tensor;
  /** Fills with 0 and 1; 1 with probability p. */
  bernoulli_(p?: number | Tensor, options?: GeneratorOption): Tensor;
  bernoulli_(options: GeneratorOption & { p?: number }): Tensor;
  /** 0 and 1 with the elements as probabilities. */
  bernoulli(options?: GeneratorOption): Tensor;
  bernoulli(p: number, options?: GeneratorOption): Tensor;
  /** Indices drawn with the elements as weights. */
  multinomial(
    numSamples: number,
    replacement?: boolean | MultinomialOptions,
    options?: MultinomialOptions,
  ): Tensor;
}

declare module '../tensor.js' {
  // Merges the methods into the class.
  interface Tensor extends RandomMethods {}
}

type Free = (x: Tensor, ...args: never[]) => Tensor;
const table: Record<keyof RandomMethods, Free> = {
  uniform_,
  normal_,
  exponential_,
  geometric_,
  cauchy_,
  logNormal_,
  random_,
  bernoulli_,
  bernoulli,
  multinomial,
};
for (const [name, free] of Object.entries(table)) {
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...args: never[]) {
      return free(this, ...args);
    },
    writable: true,
    configurable: true,
  });
}
