/** DTensors from whole tensors and from nothing. */
import { ShardbookError } from '../../base/index.js';
import {
  contiguousStrides,
  type DType,
  getDefaultDtype,
  noGrad,
  type Tensor,
  torch,
} from '../../tensor/index.js';
import { dist } from '../group/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { DTensor, meshOrCurrent } from './dtensor.js';
import { checkPlacements, localShape } from './layout.js';
import { partition, pieceAt } from './moves.js';
import {
  isShardLike,
  type Placement,
  type Placements,
  placementsText,
  Replicate,
  type ShardPlacement,
  StridedShardPlacement,
  samePlacements,
} from './placements.js';
import { DTensorSpec } from './spec.js';

export interface DistributeOptions {
  /**
   * Whose data counts: the rank at this position of each axis' group (default 0) sends it to the others. null: every rank cuts
   * its own tensor, and nothing is sent.
   */
  srcDataRank?: number | null;
}

/** Distributes a whole tensor, a leaf of the graph, over a mesh: scatters what is cut, broadcasts what is replicated. */
export function distributeTensor(
  tensor: Tensor,
  deviceMesh: DeviceMesh | null = null,
  given: readonly Placement[] | null = null,
  options: DistributeOptions = {},
): DTensor {
  const mesh = meshOrCurrent(deviceMesh, 'distributeTensor');
  if (!tensor.isLeaf) {
    throw new ShardbookError({
      code: 'SB_NOT_LEAF',
      message: `Cannot distribute ${tensor.describe()}: it is the result of an operation, and the gradient would end here`,
      help: 'use DTensor.fromLocal() within a computation, or detach() first',
    });
  }
  const action = `distribute ${tensor.describe()}`;
  const placements = checkPlacements(action, given ?? mesh.shape.map(() => Replicate()), mesh, tensor.ndim);
  if (tensor instanceof DTensor) return sameDTensor(tensor, mesh, placements);
  const source = options.srcDataRank === undefined ? 0 : options.srcDataRank;
  const local = noGrad(() => {
    let part: Tensor = tensor.detach();
    if (!mesh.isMember) return part.newEmpty([0]);
    placements.forEach((p, axis) => {
      if (isShardLike(p)) part = scatterPiece(part, p, mesh, axis, source, action);
      else {
        part = fromSource(part, mesh, axis, source, tensor);
        if (p.isPartial()) part = partition(part, p, mesh, axis);
      }
    });
    return part;
  });
  const spec = new DTensorSpec(mesh, placements, [...tensor.shape], [...tensor.strides], tensor.dtype);
  const out = new DTensor(local, spec);
  out.requiresGrad = tensor.requiresGrad;
  return out;
}

function sameDTensor(tensor: DTensor, mesh: DeviceMesh, placements: Placements): DTensor {
  if (!tensor.deviceMesh.equals(mesh)) {
    throw new ShardbookError({
      code: 'SB_DTENSOR_MESH',
      message: `Cannot distribute ${tensor.describe()} over the mesh ${mesh.describe()}: it is distributed over another already`,
      help: 'fullTensor() gathers it first',
    });
  }
  if (!samePlacements(tensor.placements, placements)) {
    throw new ShardbookError({
      code: 'SB_PLACEMENT',
      message: `Cannot distribute ${tensor.describe()} as ${placementsText(placements)}: it is distributed otherwise already`,
      help: 'redistribute() changes placements',
    });
  }
  return tensor;
}

function scatterPiece(
  whole: Tensor,
  p: ShardPlacement | StridedShardPlacement,
  mesh: DeviceMesh,
  axis: number,
  source: number | null,
  action: string,
): Tensor {
  const pieces = mesh.size(axis);
  const index = mesh.getCoordinate()![axis]!;
  if (source === null) return pieceAt(whole, p, pieces, index);
  const parts = Array.from({ length: pieces }, (_, i) => pieceAt(whole, p, pieces, i));
  const full = parts[0]!.shape[p.dim]!;
  const sizes = parts.map((part) => part.shape[p.dim]!);
  if (p instanceof StridedShardPlacement && sizes.some((size) => size !== full)) {
    throw new ShardbookError({
      code: 'SB_PLACEMENT',
      message: `Cannot ${action} as ${p}: ${whole.shape[p.dim]} rows cut into ${p.splitFactor} x ${pieces} leave pieces of different sizes`,
      help: 'pass { srcDataRank: null } when every rank has the tensor, or choose a size that divides evenly',
    });
  }
  const padded = parts.map((part, i) => {
    const missing = full - sizes[i]!;
    if (missing === 0) return part.contiguous();
    const filler = torch.zeros(
      part.shape.map((n, d) => (d === p.dim ? missing : n)),
      { dtype: part.dtype },
    );
    return torch.cat([part, filler], p.dim);
  });
  const out = torch.empty([...padded[0]!.shape], { dtype: whole.dtype });
  const group = mesh.getGroup(axis);
  dist.scatter(out, group.rank() === source ? padded : null, { groupSrc: source, group });
  return sizes[index] === full ? out : out.narrow(p.dim, 0, sizes[index]!).contiguous();
}

function fromSource(
  part: Tensor,
  mesh: DeviceMesh,
  axis: number,
  source: number | null,
  given: Tensor,
): Tensor {
  if (source === null) return part.contiguous();
  // The tensor that the user holds stays as it is.
  const out = part.storage === given.storage ? part.clone().contiguous() : part.contiguous();
  dist.broadcast(out, { groupSrc: source, group: mesh.getGroup(axis) });
  return out;
}

// ---------------------------------------------------------------- from nothing

export interface FactoryOptions {
  deviceMesh?: DeviceMesh | null;
  /** Replicated unless told. */
  placements?: readonly Placement[] | null;
  dtype?: DType | null;
  requiresGrad?: boolean;
}

type SizeArgs = (number | readonly number[] | FactoryOptions)[];

function sizeAndOptions(args: SizeArgs): { shape: number[]; options: FactoryOptions } {
  const last = args[args.length - 1];
  const options = typeof last === 'object' && !Array.isArray(last) ? (last as FactoryOptions) : {};
  const sizes = options === last ? args.slice(0, -1) : args;
  return { shape: (sizes as (number | readonly number[])[]).flat() as number[], options };
}

function make(
  what: string,
  shape: readonly number[],
  options: FactoryOptions,
  fill: (local: number[], dtype: DType, spec: DTensorSpec) => Tensor,
): DTensor {
  const mesh = meshOrCurrent(options.deviceMesh, `dtensor.${what}`);
  const placements = checkPlacements(
    `make a DTensor of shape [${shape.join(', ')}]`,
    options.placements ?? mesh.shape.map(() => Replicate()),
    mesh,
    shape.length,
  );
  const dtype = options.dtype ?? getDefaultDtype();
  const spec = new DTensorSpec(mesh, placements, [...shape], contiguousStrides(shape), dtype);
  const out = new DTensor(
    noGrad(() => fill(localShape(shape, mesh, placements), dtype, spec)),
    spec,
  );
  if (options.requiresGrad) out.requiresGrad = true;
  return out;
}

/** A DTensor of zeros. */
export function zeros(...args: SizeArgs): DTensor {
  const { shape, options } = sizeAndOptions(args);
  return make('zeros', shape, options, (local, dtype) => torch.zeros(local, { dtype }));
}

/** A DTensor of ones. */
export function ones(...args: SizeArgs): DTensor {
  const { shape, options } = sizeAndOptions(args);
  return make('ones', shape, options, (local, dtype) => torch.ones(local, { dtype }));
}

/** A DTensor without set values. */
export function empty(...args: SizeArgs): DTensor {
  const { shape, options } = sizeAndOptions(args);
  return make('empty', shape, options, (local, dtype) => torch.empty(local, { dtype }));
}

/** A DTensor filled with one value. */
export function full(shape: readonly number[], value: number, options: FactoryOptions = {}): DTensor {
  return make('full', shape, options, (local, dtype) => torch.full(local, value, { dtype }));
}

/** Uniform numbers from [0, 1): the same tensor however it is cut, when all ranks' generators are in the same state. */
export function rand(...args: SizeArgs): DTensor {
  const { shape, options } = sizeAndOptions(args);
  return make('rand', shape, options, (_, dtype, spec) => ownPart(torch.rand([...shape], { dtype }), spec));
}

/** Normal numbers: the same tensor however it is cut, when all ranks' generators are in the same state. */
export function randn(...args: SizeArgs): DTensor {
  const { shape, options } = sizeAndOptions(args);
  return make('randn', shape, options, (_, dtype, spec) => ownPart(torch.randn([...shape], { dtype }), spec));
}

/** This rank's part of a tensor that every rank has. */
function ownPart(whole: Tensor, spec: DTensorSpec): Tensor {
  const { mesh } = spec;
  const coordinate = mesh.getCoordinate();
  if (coordinate === null) return whole.newEmpty([0]);
  let part = whole;
  spec.placements.forEach((p, axis) => {
    if (isShardLike(p)) part = pieceAt(part, p, mesh.size(axis), coordinate[axis]!);
    else if (p.isPartial()) part = partition(part, p, mesh, axis);
  });
  return part;
}
