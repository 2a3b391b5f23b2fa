/** The distributed tensor: a whole tensor of which every rank of a mesh holds a part. */
import { ShardbookError } from '../../base/index.js';
import { isParameter, markParameter } from '../../nn/index.js';
import {
  AutogradFunction,
  contiguousStrides,
  type DType,
  type FunctionContext,
  isGradEnabled,
  noGrad,
  Storage,
  Tensor,
  torch,
} from '../../tensor/index.js';
import { dist, ReduceOp } from '../group/index.js';
import { currentMesh, type DeviceMesh } from '../mesh/index.js';
import { checkPlacements, globalLayout } from './layout.js';
import type { Coming } from './moves.js';
import {
  isShardLike,
  type PartialPlacement,
  type Placement,
  type Placements,
  placementsText,
  Replicate,
  StridedShardPlacement,
  samePlacements,
} from './placements.js';
import { beginRedistribute, redistributeLocal } from './redistribute.js';
import { DTensorSpec, type TensorMeta } from './spec.js';

export interface FromLocalOptions {
  /** Compares shapes across ranks, and sends the first rank's data along replicated axes. */
  runCheck?: boolean;
  /** Global shape, where the parts are not all alike. */
  shape?: readonly number[];
  /** Global strides; those of a contiguous tensor unless given. */
  stride?: readonly number[];
  /** Where the gradient is brought before its local part goes back. */
  gradPlacements?: readonly Placement[] | null;
}

export interface ToLocalOptions {
  /** How the gradient of the local tensor lies; as the tensor, pending sums replicated, unless told. */
  gradPlacements?: readonly Placement[] | null;
}

export interface RedistributeOptions {
  deviceMesh?: DeviceMesh;
  placements?: readonly Placement[];
  /** Only begins the last collective; the first use of the result waits. */
  asyncOp?: boolean;
  /** The dtype of the communication and of the result. */
  forwardDtype?: DType | null;
  /** The dtype of the gradient's communication; the input's unless told. */
  backwardDtype?: DType | null;
}

/** A tensor spread over a mesh: the whole's shape, placements by mesh axis, and this rank's part. */
export class DTensor extends Tensor {
  #local: Tensor | null;
  #coming: Coming | null;
  #spec: DTensorSpec;

  /** @internal Outside the graph; `fromLocal` and `distributeTensor` make those that users want. */
  constructor(local: Tensor | Coming, spec: DTensorSpec) {
    super({
      storage: Storage.meta(0),
      shape: spec.shape,
      strides: spec.strides,
      dtype: spec.dtype,
      device: typeof local === 'function' ? 'cpu' : local.device,
    });
    this.#local = typeof local === 'function' ? null : local;
    this.#coming = typeof local === 'function' ? local : null;
    this.#spec = spec;
  }

  /** This rank's part, outside the graph. Waits where it is still on its way. */
  get localTensor(): Tensor {
    if (this.#local === null) {
      this.#local = this.#coming!();
      this.#coming = null;
    }
    return this.#local;
  }

  /** Whether the part is still on its way from an asynchronous redistribution. */
  get isPending(): boolean {
    return this.#local === null;
  }

  get spec(): DTensorSpec {
    return this.#spec;
  }

  get deviceMesh(): DeviceMesh {
    return this.#spec.mesh;
  }

  get placements(): Placements {
    return this.#spec.placements;
  }

  /** `f32[8, 4] S(0) on mesh (tp=2)`. */
  override describe(): string {
    return this.#spec.toString();
  }

  override localPart(): Tensor {
    return this.localTensor;
  }

  override anyOnMesh(flag: boolean): boolean {
    const found = torch.tensor(flag ? 1 : 0, { dtype: torch.float32 });
    for (const group of this.deviceMesh.getAllGroups()) dist.allReduce(found, { op: ReduceOp.MAX, group });
    return Number(found.item()) > 0;
  }

  override get meshKey(): string {
    return this.deviceMesh.key;
  }

  override liesAs(other: Tensor): boolean {
    return (
      other instanceof DTensor &&
      samePlacements(this.placements, other.placements) &&
      !this.placements.some((p) => p.isPartial()) &&
      this.deviceMesh.equals(other.deviceMesh)
    );
  }

  override withLocalPart(local: Tensor, inPlace = false): DTensor {
    const spec = this.#spec;
    const placements = spec.placements.map((p) => (p.isPartial() ? Replicate() : p));
    if (inPlace && !samePlacements(placements, spec.placements)) {
      throw new ShardbookError({
        code: 'SB_DTENSOR_INPLACE',
        message: `Cannot fill ${spec}: new values are not parts of a pending reduction`,
        help: 'redistribute the tensor first, or make a new one of its shape',
      });
    }
    const meta = { shape: spec.shape, strides: spec.strides, dtype: local.dtype };
    return new DTensor(local, DTensorSpec.of(spec.mesh, placements, meta, spec.strided));
  }

  override ownCopy(): DTensor {
    return new DTensor(
      noGrad(() => this.localTensor.detach().clone()),
      this.#spec,
    );
  }

  override wholeTensor(): Tensor {
    return this.fullTensor();
  }

  /** `DTensor(local_tensor=..., device_mesh=..., placements=(Shard(dim=0),))`, this rank's part in full. */
  override toString(): string {
    const placements = this.placements.map(pythonText);
    const comma = placements.length === 1 ? ',' : '';
    return `DTensor(local_tensor=${this.localTensor}, device_mesh=${this.deviceMesh}, placements=(${placements.join(', ')}${comma}))`;
  }

  override nd(): never {
    throw new ShardbookError({
      code: 'SB_DTENSOR_MEMORY',
      message: `Cannot read the memory of ${this.describe()}: it is spread over the ranks of its mesh`,
      help: 'toLocal() has the part of this rank, fullTensor() gathers the whole',
    });
  }

  override setData(other: Tensor): void {
    if (!(other instanceof DTensor)) {
      throw new ShardbookError({
        code: 'SB_DTENSOR_MIXED',
        message: `Cannot set the data of ${this.describe()} to ${other.describe()}: it is no DTensor`,
        help: 'distributeTensor() makes one of it',
      });
    }
    super.setData(other);
    this.become(other.localTensor, other.spec);
  }

  /** @internal Takes over another part and spec; the object and its place in the graph stay. */
  become(local: Tensor, spec: DTensorSpec): void {
    this.#local = local;
    this.#coming = null;
    this.#spec = spec;
    this.shape = spec.shape;
    this.strides = spec.strides;
  }

  /** A DTensor of which `local` is this rank's part. Gradients pass through. */
  static fromLocal(
    local: Tensor,
    deviceMesh: DeviceMesh | null = null,
    placements: readonly Placement[] | null = null,
    options: FromLocalOptions = {},
  ): DTensor {
    return fromLocal(local, deviceMesh, placements, options);
  }

  /** This rank's part as a plain tensor. Gradients pass through. */
  toLocal(options: ToLocalOptions = {}): Tensor {
    const parameter = isParameter(this);
    // The part of a parameter is a parameter too, but never the object that this DTensor holds.
    if (!isGradEnabled())
      return parameter ? markParameter(noGrad(() => this.localTensor.alias())) : this.localTensor;
    const local = ToLocal.apply(this, options.gradPlacements ?? null) as Tensor;
    return parameter ? markParameter(local) : local;
  }

  /** The same tensor lying otherwise, by collectives. Gradients go back the reverse way. */
  redistribute(options: RedistributeOptions): DTensor;
  redistribute(placements: readonly Placement[], options?: RedistributeOptions): DTensor;
  redistribute(
    deviceMesh: DeviceMesh | null,
    placements: readonly Placement[],
    options?: RedistributeOptions,
  ): DTensor;
  redistribute(
    first: RedistributeOptions | readonly Placement[] | DeviceMesh | null,
    second?: readonly Placement[] | RedistributeOptions,
    third?: RedistributeOptions,
  ): DTensor {
    const options = redistributeOptions(first, second, third);
    const mesh = options.deviceMesh ?? this.deviceMesh;
    const { placements } = options;
    if (placements === undefined) {
      throw new ShardbookError({
        code: 'SB_BAD_ARGUMENT',
        message: `Cannot redistribute ${this.describe()}: no placements are given`,
        help: 'pass one per axis of the mesh, as in redistribute([Replicate()])',
      });
    }
    const target = checkPlacements(`redistribute ${this.describe()}`, placements, mesh, this.ndim);
    target.forEach((p, axis) => {
      if (!p.isPartial() || this.placements[axis]!.key === p.key) return;
      throw new ShardbookError({
        code: 'SB_REDISTRIBUTE',
        message: `Cannot redistribute ${this.describe()} to ${placementsText(target)}: pending reductions are made by operations only`,
        help: 'redistribute to Replicate() or Shard(dim); DTensor.fromLocal makes a Partial of parts',
      });
    });
    return Redistribute.apply(this, mesh, target, {
      asyncOp: options.asyncOp ?? false,
      forwardDtype: options.forwardDtype ?? this.dtype,
      backwardDtype: options.backwardDtype ?? this.dtype,
    } satisfies RedistributePlan) as DTensor;
  }

  /** The whole as a plain tensor, gathered on every rank. Gradients pass through. */
  fullTensor(options: ToLocalOptions = {}): Tensor {
    const whole = this.redistribute(this.placements.map(() => Replicate()));
    return ToLocal.apply(whole, options.gradPlacements ?? null) as Tensor;
  }
}

function redistributeOptions(
  first: RedistributeOptions | readonly Placement[] | DeviceMesh | null,
  second: readonly Placement[] | RedistributeOptions | undefined,
  third: RedistributeOptions | undefined,
): RedistributeOptions {
  if (Array.isArray(first)) return { ...(second as RedistributeOptions | undefined), placements: first };
  if (Array.isArray(second)) {
    return { ...third, placements: second, ...(first === null ? {} : { deviceMesh: first as DeviceMesh }) };
  }
  return (first ?? {}) as RedistributeOptions;
}

/** As PyTorch prints a placement. */
function pythonText(p: Placement): string {
  if (p instanceof StridedShardPlacement) return `_StridedShard(dim=${p.dim}, sf=${p.splitFactor})`;
  if (p.isShard()) return `Shard(dim=${p.dim})`;
  if (p.isReplicate()) return 'Replicate()';
  return p.key.startsWith('P(') ? `Partial(${(p as PartialPlacement).reduceOp})` : `_${p.key}`;
}

/** Pending reductions of a gradient are not kept: what was a sum forward is a replicated gradient. */
function gradPlacementsOf(placements: Placements): Placements {
  return placements.map((p) => (p.isPartial() ? Replicate() : p));
}

// ---------------------------------------------------------------- autograd

interface RedistributePlan {
  asyncOp: boolean;
  forwardDtype: DType;
  backwardDtype: DType;
}

const castTo = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : x.to(dtype));

class Redistribute extends AutogradFunction {
  static override forward(
    ctx: FunctionContext,
    input: DTensor,
    mesh: DeviceMesh,
    placements: Placements,
    plan: RedistributePlan,
  ): DTensor {
    ctx['mesh'] = mesh;
    ctx['plan'] = plan;
    const { spec } = input;
    const from = new DTensorSpec(
      spec.mesh,
      spec.placements,
      spec.shape,
      spec.strides,
      plan.forwardDtype,
      spec.strided,
    );
    ctx['from'] = from;
    ctx['dtype'] = input.dtype;
    const same = samePlacements(spec.placements, placements) && spec.mesh.equals(mesh);
    const local = castTo(input.localTensor, plan.forwardDtype);
    // The object that holds the result is new; the memory is the input's where nothing moves.
    if (same) return new DTensor(local.alias(), from);
    const to = DTensorSpec.of(mesh, placements, from);
    const coming = beginRedistribute(local, from, to, { asyncOp: plan.asyncOp, explicit: true });
    return new DTensor(plan.asyncOp ? coming : coming(), to);
  }
  static override backward(ctx: FunctionContext, grad: Tensor | null): (Tensor | null)[] {
    if (grad === null) return [null];
    const plan = ctx['plan'] as RedistributePlan;
    return [
      RedistributeGrad.apply(grad, ctx['from'], plan.backwardDtype, ctx['dtype'], plan.asyncOp) as Tensor,
    ];
  }
}

/** The gradient of a redistribution is a redistribution too, so that gradients of gradients work. */
class RedistributeGrad extends AutogradFunction {
  static override forward(
    ctx: FunctionContext,
    grad: DTensor,
    before: DTensorSpec,
    opDtype: DType,
    outDtype: DType,
    asyncOp: boolean,
  ): DTensor {
    const { spec } = grad;
    const from = new DTensorSpec(spec.mesh, spec.placements, spec.shape, spec.strides, opDtype, spec.strided);
    // A gradient that is whole stays whole where a sum was pending: making shares of it would only have to be undone.
    const placements = before.placements.map((target, axis) => {
      const current = from.placements[axis]!;
      return target.isPartial() && (isShardLike(current) || current.isReplicate()) ? Replicate() : target;
    });
    const to = DTensorSpec.of(before.mesh, placements, from, before.strided);
    ctx['to'] = to;
    ctx['opDtype'] = opDtype;
    ctx['dtype'] = grad.dtype;
    ctx['asyncOp'] = asyncOp;
    const local = redistributeLocal(castTo(grad.localTensor, opDtype), from, to);
    return new DTensor(
      castTo(local === grad.localTensor ? local.alias() : local, outDtype),
      new DTensorSpec(to.mesh, placements, spec.shape, spec.strides, outDtype, to.strided),
    );
  }
  static override backward(ctx: FunctionContext, grad: Tensor | null): (Tensor | null)[] {
    if (grad === null) return [null];
    return [RedistributeGrad.apply(grad, ctx['to'], ctx['opDtype'], ctx['dtype'], ctx['asyncOp']) as Tensor];
  }
}

class ToLocal extends AutogradFunction {
  static override forward(ctx: FunctionContext, input: DTensor, gradPlacements: Placements | null): Tensor {
    ctx['spec'] = input.spec;
    ctx['gradPlacements'] = gradPlacements;
    ctx.setMaterializeGrads(false);
    return input.localTensor.alias();
  }
  static override backward(ctx: FunctionContext, grad: Tensor | null): (Tensor | null)[] {
    if (grad === null) return [null];
    const spec = ctx['spec'] as DTensorSpec;
    const given = ctx['gradPlacements'] as Placements | null;
    const placements = given
      ? checkPlacements('use gradPlacements', given, spec.mesh, spec.ndim)
      : gradPlacementsOf(spec.placements);
    const { strides } = globalLayout(grad, spec.mesh, spec.placements);
    return [fromLocal(grad, spec.mesh, placements, { shape: spec.shape, stride: strides }, spec.strided)];
  }
}

class FromLocal extends AutogradFunction {
  static override forward(
    ctx: FunctionContext,
    local: Tensor,
    spec: DTensorSpec,
    gradPlacements: Placements | null,
  ): DTensor {
    ctx['spec'] = spec;
    ctx['gradPlacements'] = gradPlacements;
    ctx.setMaterializeGrads(false);
    return new DTensor(local.alias(), spec);
  }
  static override backward(ctx: FunctionContext, grad: Tensor | null): (Tensor | null)[] {
    if (grad === null) return [null];
    const spec = ctx['spec'] as DTensorSpec;
    const given = ctx['gradPlacements'] as Placements | null;
    const placements = given ?? gradPlacementsOf(spec.placements);
    const g = grad as DTensor;
    if (samePlacements(g.placements, placements)) return [g.toLocal()];
    return [redistributeLocal(g.localTensor, g.spec, DTensorSpec.of(spec.mesh, placements, g.spec))];
  }
}

function fromLocal(
  local: Tensor,
  deviceMesh: DeviceMesh | null,
  given: readonly Placement[] | null,
  options: FromLocalOptions,
  strided?: DTensorSpec['strided'],
): DTensor {
  if (local instanceof DTensor) {
    throw new ShardbookError({
      code: 'SB_DTENSOR_MIXED',
      message: `Cannot make a DTensor of parts: the part is itself a DTensor, ${local.describe()}`,
      help: 'use redistribute() to change its placements, or toLocal() for its part',
    });
  }
  const mesh = meshOrCurrent(deviceMesh, 'DTensor.fromLocal');
  const placements = checkPlacements(
    `make a DTensor of ${local.describe()}`,
    given ?? mesh.shape.map(() => Replicate()),
    mesh,
    local.ndim,
  );
  const grads = options.gradPlacements
    ? checkPlacements('use gradPlacements', options.gradPlacements, mesh, local.ndim)
    : null;
  let part = local;
  if (!mesh.isMember) part = local.newEmpty([0]);
  else if (options.runCheck) part = checkedParts(local, mesh, placements, options.shape !== undefined);
  const meta = globalMeta(local, mesh, placements, options);
  return FromLocal.apply(part, DTensorSpec.of(mesh, placements, meta, strided), grads) as DTensor;
}

function globalMeta(
  local: Tensor,
  mesh: DeviceMesh,
  placements: Placements,
  options: FromLocalOptions,
): TensorMeta {
  if (options.shape !== undefined) {
    const shape = [...options.shape];
    return { shape, strides: [...(options.stride ?? contiguousStrides(shape))], dtype: local.dtype };
  }
  if (options.stride !== undefined) {
    throw new ShardbookError({
      code: 'SB_BAD_ARGUMENT',
      message: 'Cannot make a DTensor of parts: a stride is given without a shape',
      help: 'pass both, or neither',
    });
  }
  return { ...globalLayout(local, mesh, placements), dtype: local.dtype };
}

/** Fails on every rank where shapes differ; the first rank's data goes along replicated axes. */
function checkedParts(local: Tensor, mesh: DeviceMesh, placements: Placements, shapeGiven: boolean): Tensor {
  const world = dist.getWorldSize();
  const all = new Array<unknown>(world).fill(null);
  const own = `${local.dtype.name} ${local.requiresGrad}${shapeGiven ? '' : ` [${local.shape.join(', ')}]`}`;
  dist.allGatherObject(all, own);
  const other = all.findIndex((text) => text !== own);
  if (all.some((text) => text !== all[0])) {
    throw new ShardbookError({
      code: 'SB_DTENSOR_PARTS',
      message: `Cannot make a DTensor of parts: the parts differ, "${own}" here and "${String(all[other < 0 ? 0 : other])}" on rank ${other < 0 ? 0 : other}`,
      help: 'pass { shape, stride } of the whole when the parts are of different sizes',
    });
  }
  if (!placements.some((p) => p.isReplicate())) return local;
  const out = noGrad(() => local.detach().clone().contiguous());
  placements.forEach((p, axis) => {
    if (p.isReplicate() && mesh.size(axis) > 1)
      dist.broadcast(out, { groupSrc: 0, group: mesh.getGroup(axis) });
  });
  // The values are the first rank's, the gradient goes to the tensor that was given.
  return local.requiresGrad ? (Overwritten.apply(local, out) as Tensor) : out;
}

class Overwritten extends AutogradFunction {
  static override forward(_ctx: FunctionContext, _local: Tensor, value: Tensor): Tensor {
    return value;
  }
  static override backward(_ctx: FunctionContext, grad: Tensor | null): (Tensor | null)[] {
    return [grad, null];
  }
}

/** The mesh that was given, or that of the enclosing `mesh.run(...)`. */
export function meshOrCurrent(mesh: DeviceMesh | null | undefined, what: string): DeviceMesh {
  const found = mesh ?? currentMesh();
  if (found) return found;
  throw new ShardbookError({
    code: 'SB_BAD_ARGUMENT',
    message: `Cannot run ${what} without a mesh: none is given and none is current`,
    help: 'pass one, as initDeviceMesh([4]) makes it, or call inside mesh.run(() => ...)',
  });
}
