import type {
  CheckContext,
  CheckKit,
  CheckTable,
  Expectation,
  HostTensor,
  HostValue,
  WireDType,
} from 'shardbook/grader';

type LayerName = 'columnParallel' | 'rowParallel';

interface Asked {
  readonly layer: LayerName;
  readonly world: number;
  /** Before the features. */
  readonly batch?: readonly number[];
  readonly inFeatures?: number;
  readonly outFeatures?: number;
  readonly dtype?: WireDType;
  readonly bias?: boolean;
  /** Of which a gradient is wanted. */
  readonly x?: boolean;
  readonly weight?: boolean;
  readonly forwardOnly?: boolean;
  /** x and the weight are views whose elements do not lie one after the other. */
  readonly strided?: boolean;
}

/** A matrix; tensors of more dimensions are matrices with the last one as columns. */
interface Matrix {
  readonly rows: number;
  readonly columns: number;
  at(row: number, column: number): number;
}

export default (kit: CheckKit): CheckTable => {
  const matrix = (t: HostTensor): Matrix => {
    const columns = t.shape[t.shape.length - 1]!;
    const rows = kit.elementCount(t.shape.slice(0, -1));
    return { rows, columns, at: (row, column) => t.values[row * columns + column]! };
  };
  const turned = ({ rows, columns, at }: Matrix): Matrix => ({
    rows: columns,
    columns: rows,
    at: (row, column) => at(column, row),
  });
  /** Sums of products, allowed to be off by what floating point may do to sums of that many terms. */
  const product = (
    a: Matrix,
    b: Matrix,
    shape: readonly number[],
    dtype: WireDType,
    more = 0,
    bias?: HostTensor,
  ): Expectation => {
    const values = new Float64Array(a.rows * b.columns);
    const sizes = new Float64Array(values.length);
    for (let i = 0; i < a.rows; i++)
      for (let j = 0; j < b.columns; j++) {
        const at = i * b.columns + j;
        if (bias !== undefined) values[at] = bias.values[j]!;
        for (let k = 0; k < a.columns; k++) values[at]! += a.at(i, k) * b.at(k, j);
        for (let k = 0; k < a.columns; k++) sizes[at]! += Math.abs(a.at(i, k) * b.at(k, j));
      }
    const terms = a.columns + more + 1;
    // Tighter than the default in float64, which what was rounded to float32 on the way would pass.
    const tight = dtype === 'float64' ? { rtol: 1e-12, atol: 1e-12 } : {};
    const close = kit.expectClose({ dtype, shape: [...shape], values }, { terms, ...tight });
    // Terms may cancel: what was rounded is as large as they are.
    const unit = dtype === 'float64' ? 2 ** -52 : 2 ** -23;
    return { ...close, allowed: close.allowed.map((v, i) => Math.max(v, 4 * unit * sizes[i]!)) };
  };
  const piece = (size: number, world: number, rank: number): [start: number, length: number] => {
    const each = Math.ceil(size / world);
    const start = Math.min(rank * each, size);
    return [start, Math.min(start + each, size) - start];
  };
  const columnsOf = (t: HostTensor, [start, length]: readonly [number, number]): HostTensor => {
    const { rows, at } = matrix(t);
    const values = Float64Array.from({ length: rows * length }, (_, i) =>
      at(Math.floor(i / length), start + (i % length)),
    );
    return { ...t, shape: [...t.shape.slice(0, -1), length], values };
  };
  const rowsOf = (t: HostTensor, [start, length]: readonly [number, number]): HostTensor => {
    const each = kit.elementCount(t.shape.slice(1));
    return {
      ...t,
      shape: [length, ...t.shape.slice(1)],
      values: t.values.slice(start * each, (start + length) * each),
    };
  };
  /** What the layer that is not parallel computes, with all its gradients. */
  const ask = (context: CheckContext, asked: Asked) => {
    const { layer, world, batch = [3], inFeatures = 4 * world, outFeatures = 2 * world } = asked;
    const { dtype = 'float32', bias = true, x: wantsX = true, weight: wantsWeight = true } = asked;
    const { strided = false } = asked;
    const name = `${layer}, world ${world}, x ${kit.describeTensor({ dtype, shape: [...batch, inFeatures] })}, weight ${kit.describeTensor({ dtype, shape: [outFeatures, inFeatures] })}${bias ? '' : ', no bias'}${wantsX ? '' : ', x wants no gradient'}${wantsWeight ? '' : ', frozen weight'}${asked.forwardOnly === true ? ', forward only' : ''}`;
    const random = (label: string, shape: readonly number[]): HostTensor =>
      kit.randomTensor(context.seed, `${name}, ${label}`, shape, dtype);
    const x = random('x', [...batch, inFeatures]);
    const w = random('weight', [outFeatures, inFeatures]);
    const b = random('bias', [outFeatures]);
    const grad = random('gradient', [...batch, outFeatures]);
    const isColumn = layer === 'columnParallel';
    const ranks = Array.from({ length: world }, (_, rank) =>
      piece(isColumn ? outFeatures : inFeatures, world, rank),
    );
    const [X, W, G] = [matrix(x), matrix(w), matrix(grad)];
    const ones: Matrix = { rows: 1, columns: G.rows, at: () => 1 };
    const wanted = { layer, x: wantsX, weight: wantsWeight };
    const cases = ranks.map((own) => {
      const [ownX, ownW] = isColumn ? [x, rowsOf(w, own)] : [columnsOf(x, own), columnsOf(w, own)];
      const [ownB, ownG] = isColumn ? [rowsOf(b, own), columnsOf(grad, own)] : [b, grad];
      const backward = asked.forwardOnly !== true;
      const laid = (t: HostTensor): HostTensor => ({ ...t, strided });
      const inputs: HostValue[] = [
        wanted,
        laid(ownX),
        laid(ownW),
        bias ? ownB : null,
        backward ? ownG : null,
      ];
      const part = (e: Expectation): Expectation => {
        if (isColumn) return e;
        const cut = (values: Float64Array): HostTensor => columnsOf({ dtype, shape: e.shape, values }, own);
        return { ...cut(e.values), allowed: cut(e.allowed).values };
      };
      const given = bias ? { bias: ownB } : {};
      const want: Record<string, HostValue | Expectation> = {
        y: isColumn
          ? product(X, turned(matrix(ownW)), [...batch, ownW.shape[0]!], dtype, 0, given.bias)
          : product(X, turned(W), [...batch, outFeatures], dtype, world, given.bias),
        x: backward && wantsX ? part(product(G, W, [...batch, inFeatures], dtype, world)) : null,
        weight:
          backward && wantsWeight ? product(turned(matrix(ownG)), matrix(ownX), ownW.shape, dtype) : null,
        bias: backward && wantsWeight && bias ? product(ones, matrix(ownG), ownB.shape, dtype) : null,
      };
      return { inputs, want };
    });
    return { name, inputs: cases.map((each) => each.inputs), want: cases.map((each) => each.want), x, w, b };
  };
  const WORDS: Record<string, string> = {
    y: 'y',
    x: 'the gradient of x',
    weight: 'the gradient of the weight',
    bias: 'the gradient of the bias',
  };
  const check = async (context: CheckContext, asked: Asked) => {
    const { name, inputs, want, b } = ask(context, asked);
    const outcome = await kit.runSetting(context, { name, work: { inputs, harness: true, call: 'layer' } });
    const { world, layer } = asked;
    outcome.run.ranks.forEach(({ value }, rank) => {
      const got = value as Record<string, HostValue>;
      for (const [key, expected] of Object.entries(want[rank]!)) {
        const mismatch = kit.compareValue(got[key], expected, rank, WORDS[key]);
        if (mismatch === undefined) continue;
        const tensor = got[key];
        const hypothesis =
          key === 'x' && layer === 'columnParallel' && mismatch.kind === 'values'
            ? (scale(tensor, expected, world) ??
              "x is the same on all ranks: are all ranks' shares of its gradient added up?")
            : key === 'y' && layer === 'rowParallel' && isOffByBias(tensor, expected, b, world)
              ? 'is the bias added on every rank before the sum?'
              : scale(tensor, expected, world);
        throw outcome.fail({
          message: kit.explain(mismatch),
          mismatch,
          ...(hypothesis === undefined ? {} : { hypothesis }),
        });
      }
    });
    return outcome;
  };
  const scale = (got: HostValue, want: HostValue | Expectation, world: number): string | undefined => {
    if (!kit.isHostTensor(got) || !kit.isHostTensor(want as HostValue) || world === 1) return undefined;
    return kit.hypothesis(got, want as Expectation, world, want as Expectation);
  };
  const isOffByBias = (
    got: HostValue,
    want: HostValue | Expectation,
    b: HostTensor,
    world: number,
  ): boolean => {
    if (!kit.isHostTensor(got) || !kit.isHostTensor(want as HostValue) || world === 1) return false;
    const { values, shape } = want as Expectation;
    const columns = shape[shape.length - 1]!;
    return (
      got.values.length === values.length &&
      values.every((v, i) => Math.abs(got.values[i]! - v - (world - 1) * b.values[i % columns]!) < 1e-3)
    );
  };
  const everyWorld = (asked: Omit<Asked, 'world'>) => async (context: CheckContext) => {
    for (const world of context.worlds) await check(context, { ...asked, world });
  };
  return {
    'column-forward': everyWorld({ layer: 'columnParallel', forwardOnly: true }),
    'column-backward': everyWorld({ layer: 'columnParallel' }),
    'row-forward': everyWorld({ layer: 'rowParallel', forwardOnly: true }),
    'row-backward': everyWorld({ layer: 'rowParallel' }),
    uneven: async (context) => {
      for (const layer of ['columnParallel', 'rowParallel'] as const) {
        await check(context, { layer, world: 3, inFeatures: 7, outFeatures: 5 });
        // Two features on four ranks: two ranks have none.
        await check(context, { layer, world: 4, inFeatures: 2, outFeatures: 2 });
      }
    },
    collectives: async (context) => {
      for (const layer of ['columnParallel', 'rowParallel'] as const) {
        for (const forwardOnly of [true, false]) {
          const asked = { layer, world: 4, batch: [5], inFeatures: 8, outFeatures: 12, forwardOnly };
          const { run, fail } = await check(context, asked);
          const { transfers } = run.exchange;
          const collectives = [...run.exchange.collectives, ...run.exchange.instruments];
          const isColumn = layer === 'columnParallel';
          const when = forwardOnly ? 'the forward' : 'forward and backward together';
          const wanted = isColumn && forwardOnly ? 0 : 1;
          const ops = collectives.map(({ op }) => op);
          if (ops.length !== wanted || transfers.length > 0)
            throw fail({
              message: `${layer} runs ${ops.length} collectives (${ops.join(', ') || 'none'}) and ${transfers.length} messages in ${when}, wanted ${wanted} all-reduces`,
            });
          const bytes = 5 * (isColumn ? 8 : 12) * kit.itemBytes.float32;
          const [call] = collectives;
          if (call === undefined || (call.op === 'allReduce' && call.bytes.every((n) => n === bytes)))
            continue;
          throw fail({
            message: `${layer} runs ${call.op} of ${Math.max(...call.bytes)} bytes in ${when}, wanted allReduce of ${bytes}`,
          });
        }
      }
    },
    frozen: async (context) => {
      const { run, fail } = await check(context, { layer: 'columnParallel', world: 3, x: false });
      if (run.exchange.collectives.length > 0)
        throw fail({
          message: `x wants no gradient, and ${run.exchange.collectives.length} collectives are run for it`,
          hypothesis: 'does a backward of its own ask which gradients are wanted?',
        });
      for (const layer of ['columnParallel', 'rowParallel'] as const)
        await check(context, { layer, world: 2, weight: false });
      await check(context, { layer: 'rowParallel', world: 2, x: false });
    },
    block: async (context) => {
      const [world, features, hidden] = [4, 5, 6];
      const random = (label: string, shape: number[]): HostTensor =>
        kit.randomTensor(context.seed, `block, ${label}`, shape, 'float64', 0.5);
      const x = random('x', [2, features]);
      const [w1, b1] = [random('first', [hidden, features]), random('first bias', [hidden])];
      const [w2, b2] = [random('second', [features, hidden]), random('second bias', [features])];
      const grad = random('gradient', [2, features]);
      const place = (rank: number) => piece(hidden, world, rank);
      const inputs = Array.from({ length: world }, (_, rank): HostValue[] => [
        x,
        rowsOf(w1, place(rank)),
        rowsOf(b1, place(rank)),
        columnsOf(w2, place(rank)),
        b2,
        grad,
      ]);
      const name = `two blocks in a row, world ${world}, ${hidden} features between the layers`;
      const { run, fail } = await kit.runSetting(context, {
        name,
        work: { inputs, harness: true, call: 'block' },
      });
      const { torch, F } = kit.shardbook;
      const local = (t: HostTensor) =>
        torch
          .tensor([...t.values], { dtype: torch.float64 })
          .reshape([...t.shape])
          .requiresGrad_(true);
      const [lx, lw1, lb1, lw2, lb2] = [x, w1, b1, w2, b2].map(local) as [
        ReturnType<typeof local>,
        ReturnType<typeof local>,
        ReturnType<typeof local>,
        ReturnType<typeof local>,
        ReturnType<typeof local>,
      ];
      const once = (t: typeof lx) => F.linear(torch.tanh(F.linear(t, lw1, lb1)), lw2, lb2).add(t);
      const y = once(once(lx));
      y.backward(local(grad).detach());
      const host = (t: typeof lx): HostTensor => ({
        dtype: 'float64',
        shape: [...t.shape],
        values: Float64Array.from(t.detach().reshape([-1]).tolist() as number[]),
      });
      // Some sums after one another, over ranks in any order.
      const close = (t: HostTensor): Expectation => kit.expectClose(t, { terms: 64 });
      run.ranks.forEach(({ value }, rank) => {
        const whole = [lx, lw1, lb1, lw2, lb2].map((t) => host(t.grad!));
        const want = {
          y: close(host(y)),
          grads: [
            close(whole[0]!),
            close(rowsOf(whole[1]!, place(rank))),
            close(rowsOf(whole[2]!, place(rank))),
            close(columnsOf(whole[3]!, place(rank))),
            close(whole[4]!),
          ],
        };
        const mismatch = kit.compareValue(value, want as never, rank);
        if (mismatch !== undefined) throw fail({ message: kit.explain(mismatch), mismatch });
      });
      const count = run.exchange.collectives.length;
      if (count !== 4)
        throw fail({ message: `Two blocks run ${count} collectives in forward and backward, wanted 4` });
    },
    fresh: async (context) => {
      for (const layer of ['columnParallel', 'rowParallel'] as const) {
        await check(context, { layer, world: 3, batch: [2, 3], inFeatures: 4, outFeatures: 7 });
        await check(context, { layer, world: 2, batch: [4], dtype: 'float64', bias: false });
        await check(context, {
          layer,
          world: 2,
          batch: [2, 1, 2],
          bias: false,
          inFeatures: 3,
          strided: true,
        });
      }
    },
  };
};
