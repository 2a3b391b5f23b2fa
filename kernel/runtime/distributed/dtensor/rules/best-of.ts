/**
 * argmax and argmin over a cut dimension: every rank finds its own best, values and places are gathered along the axes that cut
 * the dimension, and the best of them wins. That costs two small gathers per axis instead of the whole tensor.
 */
import { applyMulti, applyOp, type Tensor, torch } from '../../../tensor/index.js';
import { dist } from '../../group/index.js';
import { localShapeAt, rowsAt } from '../layout.js';
import { isShardLike } from '../placements.js';
import type { DTensorSpec } from '../spec.js';
import { neutral, reduceFrom } from './reduce-from.js';
import type { MeshRule } from './rule.js';
import { reduced } from './shared.js';

type Name = 'argmax' | 'argmin';

/** The axes that cut `dim`; with null those that cut anything. */
function axesOf(x: DTensorSpec, dim: number | null): number[] {
  return x.placements
    .map((p, axis) => (isShardLike(p) && (dim === null || p.dim === dim) ? axis : -1))
    .filter((a) => a >= 0);
}

/** Places in the whole tensor of places in this rank's part: along `dim`, or in row-major order. */
function globalPlaces(x: DTensorSpec, places: Tensor, dim: number | null): Tensor {
  const coordinate = x.mesh.getCoordinate()!;
  const rows = rowsAt(x.shape, x.mesh, x.placements, coordinate);
  if (dim !== null) return torch.tensor(rows[dim]!, { dtype: torch.int64 }).get(places);
  const local = localShapeAt(x.shape, x.mesh, x.placements, coordinate);
  let [rest, result] = [Number(places.item()), 0];
  const digits = local.map(() => 0);
  for (let d = local.length - 1; d >= 0; d--) {
    digits[d] = rest % local[d]!;
    rest = Math.floor(rest / local[d]!);
  }
  for (let d = 0; d < local.length; d++) result = result * x.shape[d]! + rows[d]![digits[d]!]!;
  return torch.tensor([result], { dtype: torch.int64 });
}

/** The best of a part and where it is in the whole; the worst there is for an empty part. */
function ownBest(x: DTensorSpec, part: Tensor, dim: number | null, largest: boolean): [Tensor, Tensor] {
  const flat = dim === null ? part.reshape([-1]) : part;
  const at = dim ?? 0;
  if (flat.shape[at] === 0) {
    const shape = flat.shape.map((n, d) => (d === at ? 1 : n));
    const worst = neutral(part.dtype, largest);
    return [torch.full(shape, worst, { dtype: part.dtype }), torch.zeros(shape, { dtype: torch.int64 })];
  }
  const [values, places] = applyMulti(largest ? 'max' : 'min', [flat], { dim: at, keepdim: true });
  return [values!, globalPlaces(x, places!, dim)];
}

export function bestOf<K extends Name>(name: K): MeshRule<K> {
  return {
    kind: 'mesh',
    strategies: (call) => {
      const x = call.inputs[0]!;
      const { dim, keepdim } = call.params;
      const dims = dim === null ? x.shape.map((_, d) => d) : [dim];
      return [{ out: [reduceFrom(x.placements, dims, keepdim, null).output], in: [reduced(x.placements)] }];
    },
    runLocal: (call, chosen, local, run) => {
      const x = chosen.inputs[0]!;
      const { dim, keepdim } = call.params;
      const axes = axesOf(x, dim);
      if (axes.length === 0) return run(local.inputs, local.params);
      const at = dim ?? 0;
      let [values, places] = ownBest(x, local.inputs[0]!, dim, name === 'argmax');
      for (const axis of axes) {
        const group = x.mesh.getGroup(axis);
        values = dist.functional.allGatherSingle(values.contiguous(), { gatherDim: at, group });
        places = dist.functional.allGatherSingle(places.contiguous(), { gatherDim: at, group });
      }
      const winner = applyOp(name as Name, [values], { dim: at, keepdim: true });
      const best = places.gather(at, winner);
      if (dim === null) return best.reshape(keepdim ? x.shape.map(() => 1) : []);
      return keepdim ? best : best.squeeze(at);
    },
  };
}
