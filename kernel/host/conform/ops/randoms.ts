/** ops_numerics: random numbers beyond torch's own functions. */
import { callIn, construct, lookUp, method } from '../access.js';
import { op } from './registry.js';

/** A generator of its own; without a seed the fixed default seed. */
function generator(seed: number | null | undefined): unknown {
  const made = construct('torch', 'Generator');
  if (seed !== undefined && seed !== null) method(made, 'manualSeed', seed);
  return made;
}

function integers(tensor: unknown): number[] {
  return (method(tensor, 'tolist') as (number | bigint)[]).map(Number);
}

function permutation(n: number, from: unknown): number[] {
  return integers(callIn('torch', 'randperm', n, { generator: from }));
}

op('rng.generator', 'seed', (a) => generator(a.get('seed')));

op('rng.sampler', 'n epochs seed replacement num_samples', (a) => {
  const n = a.number('n');
  const own = a.has('seed') ? generator(a.number('seed')) : undefined;
  const samples = a.number('num_samples', n);
  return Array.from({ length: a.number('epochs', 1) }, () => {
    const from = own ?? passGenerator();
    return a.get('replacement', false)
      ? drawWithReplacement(n, samples, from)
      : drawPermutations(n, samples, from);
  });
});

/** Each pass of a sampler without a seed makes a generator from a number of the default one. */
function passGenerator(): unknown {
  const drawn = method(callIn('torch', 'empty', [], { dtype: lookUp('torch', 'int64') }), 'random_');
  const made = construct('torch', 'Generator');
  method(made, 'manualSeed', method(drawn, 'item'));
  return made;
}

function drawPermutations(n: number, samples: number, from: unknown): number[] {
  const out: number[] = [];
  for (let i = 0; i < Math.floor(samples / n); i++) out.push(...permutation(n, from));
  // The last permutation is drawn even if nothing of it is taken.
  out.push(...permutation(n, from).slice(0, samples % n));
  return out;
}

function drawWithReplacement(n: number, samples: number, from: unknown): number[] {
  const out: number[] = [];
  const draw = (count: number) =>
    integers(callIn('torch', 'randint', 0, n, [count], { dtype: lookUp('torch', 'int64'), generator: from }));
  for (let i = 0; i < Math.floor(samples / 32); i++) out.push(...draw(32));
  out.push(...draw(samples % 32));
  return out;
}

op('rng.distributed_sampler', 'n replicas rank shuffle seed epoch drop_last', (a) => {
  const [n, replicas] = [a.number('n'), a.number('replicas')];
  const rank = a.number('rank');
  if (rank < 0 || rank >= replicas) throw new Error(`rank ${rank} is not one of ${replicas} replicas`);
  const order = a.get('shuffle', true)
    ? permutation(n, generator(a.number('seed', 0) + a.number('epoch', 0)))
    : Array.from({ length: n }, (_, i) => i);
  const uneven = n % replicas !== 0;
  const each =
    a.get('drop_last', false) && uneven ? Math.ceil((n - replicas) / replicas) : Math.ceil(n / replicas);
  const total = Math.max(0, each) * replicas;
  const padded = Array.from({ length: total }, (_, i) => order[i % n]!);
  return padded.filter((_, i) => i % replicas === rank);
});

op('rng.random_split', 'n lengths seed', (a) => {
  const [n, lengths] = [a.number('n'), a.get<number[]>('lengths')];
  const sum = lengths.reduce((total, length) => total + length, 0);
  let sizes = lengths;
  if (Math.abs(sum - 1) < 1e-9 && sum <= 1 + 1e-9) {
    sizes = lengths.map((fraction) => Math.floor(n * fraction));
    const rest = n - sizes.reduce((total, size) => total + size, 0);
    for (let i = 0; i < rest; i++) sizes[i % sizes.length]!++;
  }
  const total = sizes.reduce((t, size) => t + size, 0);
  if (total !== n) throw new Error(`the lengths add up to ${total}, not to ${n}`);
  const order = permutation(total, generator(a.number('seed')));
  let at = 0;
  return sizes.map((size) => {
    at += size;
    return order.slice(at - size, at);
  });
});
