/** What a rank measures for the dtensor section: operations that move nothing, on DTensors and on their parts. */
import { DTensor, initDeviceMesh, noGrad, Replicate, Shard, type Tensor, torch } from '../runtime/index.js';
import { median } from './stats.js';

type Op = (x: Tensor, w: Tensor) => unknown;

const OPS: Readonly<Record<string, Op>> = {
  add: (x) => x.add(x),
  mulScalar: (x) => x.mul(2),
  relu: (x) => x.relu(),
  mm: (x, w) => x.mm(w),
  view: (x) => x.view(4, 4, 8),
  transpose: (x) => x.t(),
  sum: (x) => x.sum(1),
  softmax: (x) => x.softmax(1),
  addInPlace: (x) => noGrad(() => x.add_(x)),
};

const CALLS = 400;
const ROUNDS = 15;

/** Microseconds that one call takes, the median of rounds in which DTensors and parts take turns. */
export function measureDispatch(): Record<string, { local: number; dtensor: number; added: number }> {
  const mesh = initDeviceMesh([2]);
  const parts = [torch.ones([8, 8]).mul(1e-30), torch.ones([8, 8])] as const;
  const [x, w] = [
    DTensor.fromLocal(parts[0], mesh, [Shard(0)]),
    DTensor.fromLocal(parts[1], mesh, [Replicate()]),
  ];
  const micros = (op: Op, a: Tensor, b: Tensor): number => {
    const started = performance.now();
    for (let i = 0; i < CALLS; i++) op(a, b);
    return ((performance.now() - started) * 1000) / CALLS;
  };
  return Object.fromEntries(
    Object.entries(OPS).map(([name, op]) => {
      const [local, spread]: number[][] = [[], []];
      for (let round = -5; round < ROUNDS; round++) {
        const own =
          name === 'view' ? micros((a) => a.view(2, 4, 8), parts[0], parts[1]) : micros(op, ...parts);
        const all = micros(op, x, w);
        if (round < 0) continue;
        local!.push(own);
        spread!.push(all);
      }
      const added = spread!.map((time, i) => time - local![i]!);
      return [name, { local: median(local!), dtensor: median(spread!), added: median(added) }];
    }),
  );
}
