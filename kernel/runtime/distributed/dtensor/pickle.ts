/** DTensors in objects that are sent: the sender's part, on the receiver's mesh of the same ranks and names. */
import { ShardbookError } from '../../base/index.js';
import { dtypes, type Tensor } from '../../tensor/index.js';
import { registerTensorKind } from '../group/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { DTensor } from './dtensor.js';
import { meshWithKey } from './layout.js';
import {
  MaskPartial,
  NormPartial,
  Partial,
  type Placement,
  Replicate,
  Shard,
  StridedShard,
} from './placements.js';
import { DTensorSpec, type StridedMeaning } from './spec.js';

interface Packed {
  local: Tensor;
  mesh: string;
  shown: string;
  placements: string[];
  shape: number[];
  strides: number[];
  dtype: keyof typeof dtypes;
  strided: StridedMeaning;
  requiresGrad: boolean;
}

function pack(t: DTensor): Packed {
  const { spec } = t;
  return {
    local: t.localTensor.detach(),
    mesh: spec.mesh.key,
    shown: spec.mesh.describe(),
    placements: spec.placements.map((p) => p.key),
    shape: [...spec.shape],
    strides: [...spec.strides],
    dtype: spec.dtype.name,
    strided: spec.strided,
    requiresGrad: t.requiresGrad,
  };
}

function unpack(packed: Packed): DTensor {
  const mesh: DeviceMesh | null = meshWithKey(packed.mesh);
  if (mesh === null) {
    throw new ShardbookError({
      code: 'SB_DTENSOR_MESH',
      message: `Cannot receive a DTensor on mesh ${packed.shown}: this rank has no such mesh`,
      help: 'make the mesh on this rank too, and a DTensor on it, or send fullTensor()',
    });
  }
  const spec = new DTensorSpec(
    mesh,
    packed.placements.map(placementOf),
    packed.shape,
    packed.strides,
    dtypes[packed.dtype],
    packed.strided,
  );
  const out = new DTensor(packed.local, spec);
  if (packed.requiresGrad) out.requiresGrad = true;
  return out;
}

/** The placement with this key. */
function placementOf(key: string): Placement {
  if (key === 'R') return Replicate();
  const [, name, inner] = /^(\w+)\((.*)\)$/.exec(key) ?? [];
  const numbers = (inner ?? '').match(/-?[\d.]+|-?Infinity/g)?.map(Number) ?? [];
  if (name === 'S') return Shard(numbers[0]!);
  if (name === '_S') return StridedShard(numbers[0]!, numbers[1]!);
  if (name === 'NormP') return NormPartial(numbers[0]!);
  if (name === 'MaskP') return MaskPartial(numbers.slice(0, -1), numbers[numbers.length - 1]!);
  return Partial(inner ?? 'sum');
}

registerTensorKind({
  name: 'DTensor',
  is: (t) => t instanceof DTensor,
  pack: (t) => pack(t as DTensor),
  unpack: (data) => unpack(data as Packed),
});
