/** Matrix products, from their index equations. */
import { type Placement, Shard } from '../placements.js';
import { type AxisRule, Cut, cut, type RuleTable, type Slot, type Way } from './rule.js';
import { avg, cutUnder, pendingAmong, R, replicasLast, sum } from './shared.js';

/** The ways of `left, right -> out`: cut a batch, contracted or free index, or pass one pending sum through. */
function productWays(
  left: string,
  right: string,
  out: string,
  linear: readonly Placement[] = [sum, avg],
): Way[] {
  const ways: Way[] = [];
  const slot = (term: string, letter: string): Slot =>
    term.includes(letter) ? cut(term.indexOf(letter)) : R;
  const letters = [...new Set(left + right)];
  const kind = (letter: string): 'batch' | 'contracted' | 'left' | 'right' =>
    !out.includes(letter)
      ? 'contracted'
      : left.includes(letter) && right.includes(letter)
        ? 'batch'
        : left.includes(letter)
          ? 'left'
          : 'right';
  for (const wanted of ['batch', 'contracted', 'left', 'right']) {
    for (const letter of letters.filter((l) => kind(l) === wanted)) {
      ways.push({
        out: [wanted === 'contracted' ? sum : slot(out, letter)],
        in: [slot(left, letter), slot(right, letter)],
      });
    }
  }
  // Linear in each factor alone.
  for (const pending of linear) {
    ways.push({ out: [pending], in: [pending, R] }, { out: [pending], in: [R, pending] });
  }
  return ways;
}

/** The bias lies as the product does, where it has the dimension. */
function withBias(ways: readonly Way[], bias: readonly number[], shape: readonly number[]): Way[] {
  return ways.map((way) => {
    const out = way.out[0]!;
    const own = out instanceof Cut ? cutUnder(bias, shape, out.dim) : out;
    return { out: way.out, in: [own, ...way.in] };
  });
}

function product(left: string, right: string, out: string): AxisRule<'mm'> & AxisRule<'bmm'> {
  const ways = productWays(left, right, out);
  return { kind: 'axis', ways: () => ways };
}

function biased(left: string, right: string, out: string): AxisRule<'addmm'> & AxisRule<'baddbmm'> {
  const ways = productWays(left, right, out);
  return {
    kind: 'axis',
    ways: (call) => withBias(ways, call.inputs[0]!.shape, call.outputs[0]!.shape),
  };
}

export const matmulRules: RuleTable = {
  mm: product('mk', 'kn', 'mn'),
  // PyTorch has no rule for the product with a vector, and takes it apart.
  mv: {
    kind: 'axis',
    ways: (call) => replicasLast(call, pendingAmong(call, productWays('mk', 'k', 'm', [sum]))),
  },
  // Its rule is older than the passing of pending sums, and cuts what is whole.
  dot: { kind: 'axis', ways: () => [{ out: [sum], in: [Shard(0), Shard(0)] }] },
  bmm: product('bmk', 'bkn', 'bmn'),
  addmm: biased('mk', 'kn', 'mn'),
  baddbmm: biased('bmk', 'bkn', 'bmn'),
};
