/**
 * One parameter under FSDP.
 *
 * [Note: five tensors]
 * - original: what the module had.
 * - sharded: its piece as a DTensor over the mesh. Registered on the module while nobody computes; what optimizers hold.
 * - all-gather input: the padded piece, flat, in the dtype of computing; the same memory as the sharded one where no cast is due.
 * - all-gather output: the memory of the whole parameter. It is freed and filled again in place, because what autograd saved
 *   points into it.
 * - unsharded: a view of that memory, the leaf that forward and backward use; one object for the life of the parameter.
 *
 * Pieces are padded ahead of time to the size of the first, so that the pieces of all ranks lie evenly in the buffers.
 */

import { type Module, markParameter, ofKind, stateOf } from '../../nn/index.js';
import {
  claimMemory,
  contiguousStrides,
  type DType,
  type MemoryClaim,
  noGrad,
  type Storage,
  Tensor,
  torch,
} from '../../tensor/index.js';
import { DTensor, DTensorSpec, type Placement, Replicate, Shard, StridedShard } from '../dtensor/index.js';
import { DeviceMesh } from '../mesh/index.js';
import { fsdpError } from './errors.js';
import { ExtendedGather, extensionOf } from './extension.js';
import { fillStorage, freeStorage, takeTensor } from './memory.js';
import type { MeshInfo } from './mesh-info.js';
import { CPUOffloadPolicy, type MixedPrecisionPolicy, type OffloadPolicy } from './policy.js';

export type ShardedState = 'sharded' | 'shardedPostForward' | 'unsharded';

/** Where a parameter is registered; a shared one in several places. */
export interface ParamPlace {
  readonly module: Module;
  readonly name: string;
}

export interface ParamOptions {
  readonly meshInfo: MeshInfo;
  readonly postForward: MeshInfo | null;
  /** Dimension to cut; null: 0. */
  readonly shardDim: number | null;
  readonly policy: MixedPrecisionPolicy;
  readonly offload: OffloadPolicy;
  /** The modules of the `fullyShard` call, in words. */
  readonly owner: string;
}

let nextUid = 0;
const uids = new WeakMap<Tensor, number>();
const owners = new WeakMap<Tensor, FSDPParam>();

/** Whose sharded parameter a tensor is. */
export function fsdpParamOf(t: Tensor): FSDPParam | undefined {
  return owners.get(t);
}

export class FSDPParam {
  #fqn: string;
  state: ShardedState = 'sharded';
  readonly shardDim: number;
  /** Tells original parameters apart, also after they were sharded in another group. */
  readonly uid: number;
  readonly offloaded: boolean;
  /** The sharded parameter. */
  sharded!: Tensor;
  /** The padded piece, flat. */
  shardData!: Tensor;
  /** Shape of the whole as this rank computes with it (of a tensor-parallel parameter: its local part). */
  readonly wholeShape: readonly number[];
  readonly shardShape: readonly number[];
  readonly paddedShape: readonly number[];
  readonly isDTensor: boolean;
  origDtype!: DType;
  /** Dtype of computing where it differs from the original. */
  computeDtype: DType | null = null;
  /** Dtype of reducing where it differs from that of computing. */
  reduceDtype: DType | null = null;
  /** Gradients that were not reduced yet, in the reduce dtype. */
  accumulatedGrad: Tensor | null = null;
  #spec: DTensorSpec;
  readonly #unshardedSpec: DTensorSpec | null;
  #unsharded: Tensor | null = null;
  #output: Tensor | null = null;
  /** Of a parameter whose class decides itself what travels; `#kind` is an instance of that class. */
  #extended: ExtendedGather | null = null;
  #kind: Tensor | null = null;
  /** Device memory for the shard of an offloaded parameter, while it is on its way into a gather. */
  #staged: { data: Tensor; claim: MemoryClaim } | null = null;
  #postForwardData: Tensor | null = null;
  #postForwardClaim: MemoryClaim | null = null;
  #shardClaim: MemoryClaim | null = null;
  #outputClaim: MemoryClaim | null = null;

  constructor(
    original: Tensor,
    readonly places: readonly ParamPlace[],
    private readonly options: ParamOptions,
  ) {
    const { meshInfo, offload } = options;
    this.#fqn = places[0]!.name;
    this.offloaded = offload instanceof CPUOffloadPolicy;
    this.isDTensor = original instanceof DTensor;
    const named = `parameter "${this.fqn}" ${describe(original)}`;
    if (!original.isContiguous()) {
      throw fsdpError(
        'PARAMETER',
        `Cannot shard ${named}: it is not contiguous`,
        'give the module a contiguous copy: new nn.Parameter(p.detach().contiguous())',
      );
    }
    const given = options.shardDim ?? 0;
    this.shardDim = given < 0 ? given + original.shape.length : given;
    const [spec, data] = this.#layout(original);
    this.#spec = spec;
    this.#unshardedSpec = original instanceof DTensor ? original.spec : null;
    if (this.shardDim < 0 || this.shardDim >= data.shape.length) {
      throw fsdpError(
        'PARAMETER',
        `Cannot shard ${named} along dimension ${given}: it has ${data.shape.length} dimensions`,
      );
    }
    this.wholeShape = [...data.shape];
    const ranks = meshInfo.shard?.size ?? 1;
    const rank = meshInfo.shard?.rank ?? 0;
    const length = data.shape[this.shardDim]!;
    if (this.shardDim > 0 && length % ranks !== 0) {
      throw fsdpError(
        'UNEVEN',
        `Cannot shard ${named} along dimension ${this.shardDim}: its size ${length} is not divisible by ${ranks} ranks`,
        'dimensions other than 0 must be cut evenly; choose Shard(0), which pads',
      );
    }
    const piece = Math.ceil(length / ranks);
    const start = Math.min(length, rank * piece);
    const own = Math.max(0, Math.min(piece, length - start));
    this.paddedShape = withSize(this.wholeShape, this.shardDim, piece);
    this.shardShape = withSize(this.wholeShape, this.shardDim, own);
    let uid = uids.get(original);
    if (uid === undefined) {
      uid = ++nextUid;
      uids.set(original, uid);
    }
    this.uid = uid;
    if (extensionOf(data, named) !== null) {
      this.#kind = data;
      this.#extended = new ExtendedGather({
        named,
        wholeShape: this.wholeShape,
        wholeStrides: contiguousStrides(this.wholeShape),
        paddedShape: this.paddedShape,
        mesh: gatherMesh(meshInfo),
        module: places[0]!.module,
        policy: options.policy,
      });
    }
    noGrad(() => {
      const padded = torch.zeros([...this.paddedShape], { dtype: data.dtype, device: data.device });
      if (own > 0 && !data.isMeta)
        padded.narrow(this.shardDim, 0, own).copy_(data.narrow(this.shardDim, start, own));
      this.#adopt(padded, original.requiresGrad);
    });
    uids.set(this.sharded, uid);
    owners.set(this.sharded, this);
    this.register(this.sharded);
  }

  /** Path from the root; the registered name until the root is known. */
  get fqn(): string {
    return this.#fqn;
  }

  set fqn(path: string) {
    if (path === this.#fqn) return;
    this.#fqn = path;
    this.#claimShard();
  }

  /** How the piece lies on the mesh, and the tensor that is cut (a tensor-parallel parameter's local part). */
  #layout(original: Tensor): [DTensorSpec, Tensor] {
    const { meshInfo } = this.options;
    const cut = Shard(this.shardDim);
    const meta = { shape: original.shape, strides: original.strides, dtype: original.dtype };
    if (!(original instanceof DTensor)) {
      if (meshInfo.full !== null) {
        throw fsdpError(
          'PARAMETER',
          `Cannot shard parameter "${this.fqn}" ${describe(original)}: with dpMeshDims every parameter must be a DTensor on the whole mesh`,
          'distribute the module first: distributeModule(module, mesh)',
        );
      }
      const placements = [...(meshInfo.replicate ? [Replicate()] : []), meshInfo.shard ? cut : Replicate()];
      const own = meshInfo.shard === null ? [Replicate()] : placements;
      return [DTensorSpec.of(meshInfo.mesh, own, meta), original];
    }
    const spec = original.spec;
    if (meshInfo.full !== null) return [this.#layoutOnFullMesh(spec), original.localTensor];
    if (spec.placements.length > 2) {
      throw fsdpError(
        'PARAMETER',
        `Cannot shard parameter "${this.fqn}" ${spec}: its mesh has ${spec.placements.length} axes, wanted 1 or 2`,
      );
    }
    let mesh: DeviceMesh;
    try {
      mesh = DeviceMesh.concatenate([meshInfo.mesh, spec.mesh]);
    } catch (error) {
      throw fsdpError(
        'ALREADY_SHARDED',
        `Cannot shard parameter "${this.fqn}" ${spec} on ${meshInfo.mesh}: ${spec.mesh} is not another axis of the same mesh`,
        'a parameter may be cut by tensor parallelism on axes that FSDP does not use: slice both from one mesh; a parameter that FSDP has cut already cannot be cut again',
        [error instanceof Error ? error.message : String(error)],
      );
    }
    const pieces = spec.shardsPerDim[this.shardDim] ?? 1;
    const dp: Placement =
      meshInfo.shard === null ? Replicate() : pieces > 1 ? StridedShard(this.shardDim, pieces) : cut;
    const both = meshInfo.shard !== null && meshInfo.replicate !== null;
    const placements = [...(both ? [Replicate()] : []), dp, ...spec.placements];
    return [DTensorSpec.of(mesh, placements, spec), original.localTensor];
  }

  /** The parameter lies on the mesh of all parallelisms; the data-parallel axes of it are cut. */
  #layoutOnFullMesh(spec: DTensorSpec): DTensorSpec {
    const { mesh, dims } = this.options.meshInfo.full!;
    if (!spec.mesh.equals(mesh)) {
      throw fsdpError(
        'PARAMETER',
        `Cannot shard parameter "${this.fqn}" ${spec}: it is not on ${mesh}, the mesh given to fullyShard`,
      );
    }
    const axes = dims.shardNames.map((name) => mesh.axisOf(name));
    for (const axis of [...axes, ...dims.replicateNames.map((name) => mesh.axisOf(name))]) {
      if (spec.placements[axis]!.isReplicate()) continue;
      throw fsdpError(
        'ALREADY_SHARDED',
        `Cannot shard parameter "${this.fqn}" ${spec}: axis "${mesh.meshDimNames![axis]}" holds ${spec.placements[axis]}, wanted R on data-parallel axes`,
      );
    }
    const placements = [...spec.placements];
    for (const axis of axes) {
      let pieces = 1;
      for (let right = axis + 1; right < mesh.ndim; right++) {
        const p = spec.placements[right]!;
        if ('dim' in p && p.dim === this.shardDim) pieces *= mesh.size(right);
      }
      placements[axis] = pieces > 1 ? StridedShard(this.shardDim, pieces) : Shard(this.shardDim);
    }
    return spec.placed(placements);
  }

  #claimShard(): void {
    this.#shardClaim?.release();
    this.#shardClaim = claimMemory(
      this.shardData,
      this.offloaded ? 'Offloaded Param' : 'Sharded Param',
      this.fqn,
    );
  }

  /** The modules whose `fullyShard` call cut it. */
  get owner(): string {
    return this.options.owner;
  }

  get spec(): DTensorSpec {
    return this.#spec;
  }

  /** Takes a padded piece as the memory of the sharded parameter. */
  #adopt(padded: Tensor, requiresGrad: boolean): void {
    this.shardData = padded.view([-1]);
    const piece = padded.narrow(this.shardDim, 0, this.shardShape[this.shardDim]!);
    const local = this.#kind === null ? piece : ofKind(piece, this.#kind);
    this.sharded = markParameter(this.toShardedDTensor(local).requiresGrad_(requiresGrad));
    this.#claimShard();
  }

  /** A local tensor of the piece's shape (the piece or its gradient) as DTensor. */
  toShardedDTensor(local: Tensor): DTensor {
    const spec = local.dtype === this.#spec.dtype ? this.#spec : retyped(this.#spec, local.dtype);
    return new DTensor(local, spec);
  }

  /** The local tensor of a sharded gradient. */
  localOf(grad: Tensor): Tensor {
    if (grad instanceof DTensor) return grad.localTensor;
    throw fsdpError(
      'PARAMETER',
      `Cannot add to the gradient of parameter "${this.fqn}": it is a plain tensor ${grad.describe()}, wanted a DTensor like ${this.#spec}`,
    );
  }

  /** Puts a tensor under every name of the parameter. */
  register(parameter: Tensor): void {
    for (const { module, name } of this.places) {
      if (stateOf(module).parameters.get(name) !== parameter) Reflect.set(module, name, parameter);
    }
  }

  /** Reads the dtypes again: the module may have been cast since. */
  initDtypes(): void {
    const { paramDtype, reduceDtype } = this.options.policy;
    this.origDtype = this.sharded.dtype;
    this.reduceDtype = reduceDtype === paramDtype ? null : reduceDtype;
    this.computeDtype = paramDtype === this.origDtype || !this.origDtype.isFloatingPoint ? null : paramDtype;
  }

  // ---------------------------------------------------------------- unshard

  /** What this rank sends, flat: its piece in the dtype of computing, or what the parameter's class gives instead. */
  allGatherInputs(): Tensor[] {
    const resharded = this.state === 'shardedPostForward';
    if (this.#extended !== null) {
      const local = (this.sharded as DTensor).localTensor;
      return this.#extended.inputs(this.offloaded ? ofKind(this.#stage(local), this.#kind!) : local);
    }
    const data = resharded
      ? this.#postForwardData!
      : this.offloaded
        ? this.#stage(this.shardData)
        : this.shardData;
    const wanted = this.computeDtype;
    return [wanted === null || data.dtype === wanted ? data : data.to(wanted)];
  }

  /** A copy in device memory of what lies on the host. */
  #stage(host: Tensor): Tensor {
    const flat = takeTensor(host.numel(), host.dtype);
    this.#staged = { data: flat, claim: claimMemory(flat, 'All Gather', this.fqn) };
    const data = flat.view([...host.shape]);
    noGrad(() => data.copy_(host));
    return data;
  }

  /** The inputs are in the buffer now. */
  dropInputs(): void {
    if (this.#staged === null) return;
    freeStorage(this.#staged.data.storage);
    this.#staged.claim.release();
    this.#staged = null;
  }

  /** Memory for what arrives of each input (with padding), ready to be written. */
  openOutputs(ranks: number): Tensor[] {
    if (this.#extended !== null) return this.#extended.open(ranks, this.fqn);
    const resharded = this.state === 'shardedPostForward';
    const data = resharded ? this.#postForwardData! : this.shardData;
    const numel = data.numel() * ranks;
    this.#output ??= takeTensor(numel, this.computeDtype ?? this.shardData.dtype);
    // Claimed first: what autograd saved of it may hold the memory already, as an activation.
    this.#outputClaim ??= claimMemory(this.#output, 'Unsharded Param', this.fqn);
    fillStorage(this.#output.storage, numel * this.#output.dtype.itemsize);
    return [this.#output];
  }

  /** What forward and backward use, over the memory that `openOutputs` gave. */
  get unsharded(): Tensor | null {
    return this.#unsharded;
  }

  toUnsharded(): void {
    if (this.#extended !== null) this.#unsharded = this.#makeExtended(this.#extended);
    else this.#unsharded ??= this.#asParameter(this.#wholeOf(this.#output!));
    if (this.#unsharded.requiresGrad !== this.sharded.requiresGrad)
      this.#unsharded.requiresGrad_(this.sharded.requiresGrad);
    this.register(this.#unsharded);
    this.#postForwardData = null;
    this.#postForwardClaim?.release();
    this.#postForwardClaim = null;
    this.state = 'unsharded';
  }

  #makeExtended(gather: ExtendedGather): Tensor {
    const local = (this.sharded as DTensor).localTensor;
    const dtype = this.computeDtype ?? this.origDtype;
    const known = this.#unsharded;
    const whole = gather.finish(local, dtype, known === null ? null : localPart(known), this.fqn);
    return known ?? this.#asParameter(noGrad(() => whole.detach()));
  }

  #wholeOf(output: Tensor): Tensor {
    return new Tensor({ storage: output.storage, shape: this.wholeShape, dtype: output.dtype });
  }

  #asParameter(whole: Tensor): Tensor {
    if (this.#unshardedSpec === null) return markParameter(whole.requiresGrad_(this.sharded.requiresGrad));
    const spec =
      this.#unshardedSpec.dtype === whole.dtype
        ? this.#unshardedSpec
        : retyped(this.#unshardedSpec, whole.dtype);
    return markParameter(new DTensor(whole, spec).requiresGrad_(this.sharded.requiresGrad));
  }

  // ---------------------------------------------------------------- reshard

  toSharded(): void {
    this.register(this.sharded);
    this.#freeOutput();
    this.state = 'sharded';
  }

  /** Keeps this rank's share among the ranks of a smaller group instead of freeing everything. */
  toShardedPostForward(info: MeshInfo): void {
    if (this.isDTensor) {
      throw fsdpError(
        'RESHARD',
        `Cannot reshard parameter "${this.fqn}" to ${info.shard!.size} ranks: it is tensor-parallel`,
        'use reshardAfterForward true or false',
      );
    }
    if (this.#extended !== null) {
      throw fsdpError(
        'RESHARD',
        `Cannot reshard parameter "${this.fqn}" to ${info.shard!.size} ranks: its class ${this.#kind!.constructor.name} decides itself what is gathered`,
        'use reshardAfterForward true or false',
      );
    }
    const { size, rank } = info.shard!;
    const output = this.#output!;
    const share = output.numel() / size;
    const data = noGrad(() => output.narrow(0, share * rank, share).clone());
    const rows = Math.ceil(this.wholeShape[0]! / size);
    const start = Math.min(this.wholeShape[0]!, rows * rank);
    const shape = withSize(this.wholeShape, 0, Math.max(0, Math.min(rows, this.wholeShape[0]! - start)));
    const local = new Tensor({ storage: data.storage, shape, dtype: data.dtype });
    const spec = DTensorSpec.of(info.mesh, [Replicate(), Shard(0)], {
      shape: this.wholeShape,
      strides: contiguousStrides(this.wholeShape),
      dtype: data.dtype,
    });
    this.#postForwardData = data;
    this.#postForwardClaim = claimMemory(data, 'Sharded Param', `${this.fqn} after forward`);
    this.register(markParameter(new DTensor(local, spec).requiresGrad_(this.sharded.requiresGrad)));
    this.#freeOutput();
    this.state = 'shardedPostForward';
  }

  #freeOutput(): void {
    this.#extended?.free();
    if (this.#output) freeStorage(this.#output.storage);
    this.#outputClaim?.release();
    this.#outputClaim = null;
  }

  // ---------------------------------------------------------------- gradients

  /** The gradient of the unsharded parameter as a plain tensor: a tensor-parallel one first gets its parameter's placements. */
  plainGrad(grad: Tensor): Tensor {
    if (!(grad instanceof DTensor) || this.#unshardedSpec === null) return grad;
    const { full } = this.options.meshInfo;
    const dp =
      full === null
        ? []
        : [...full.dims.shardNames, ...full.dims.replicateNames].map((name) => full.mesh.axisOf(name));
    const wanted = this.#unshardedSpec.placements.map((p, axis) =>
      dp.includes(axis) ? grad.placements[axis]! : p,
    );
    const same = wanted.every((p, axis) => p.equals(grad.placements[axis]));
    return (same ? grad : noGrad(() => grad.redistribute(wanted))).localTensor;
  }

  /** Adds the new gradient to the one that waits in the reduce dtype. */
  accumulate(): void {
    const grad = this.#unsharded?.peekGrad();
    if (!grad || this.accumulatedGrad === null) return;
    const sum = this.accumulatedGrad;
    noGrad(() => sum.add_(grad));
    this.#unsharded!.grad = null;
  }

  /** Keeps an unreduced gradient in the reduce dtype. */
  keepInReduceDtype(): void {
    const grad = this.#unsharded?.peekGrad();
    const dtype = this.reduceDtype;
    if (!grad || dtype === null || grad.dtype === dtype) return;
    this.#unsharded!.grad = null;
    this.accumulatedGrad = noGrad(() => grad.to(dtype));
  }

  /** Takes the gradient to be reduced, if there is one. What it lies in is added to `mine` if nobody else has seen it. */
  takeGrad(zerosIfUnused: boolean, mine: Storage[]): Tensor | null {
    const whole = this.#unsharded;
    if (whole === null) return null;
    const waiting = this.accumulatedGrad;
    if (waiting !== null) {
      this.accumulatedGrad = null;
      return this.plainGrad(waiting);
    }
    const { grad, unseen } = whole.takeGrad();
    if (grad) {
      if (unseen) mine.push(grad.storage);
      return this.plainGrad(grad);
    }
    if (!zerosIfUnused || !whole.requiresGrad) return null;
    return torch.zeros([...this.wholeShape], { dtype: whole.dtype });
  }

  /** Forgets gradients of a failed iteration. */
  dropGrads(): void {
    this.accumulatedGrad = null;
    if (this.#unsharded) this.#unsharded.grad = null;
  }

  // ---------------------------------------------------------------- changes from outside

  /** Follows the module when something replaced or cast the sharded parameter: `to`, `toEmpty`, loading with `assign`. */
  resetSharded(): void {
    const { module, name } = this.places[0]!;
    const now = stateOf(module).parameters.get(name);
    if (!(now instanceof DTensor)) {
      if (now === null || now === undefined || now === this.sharded) return;
      throw fsdpError(
        'PARAMETER',
        `Cannot go on with parameter "${this.fqn}": it was replaced by a plain tensor ${describe(now)}, wanted a DTensor like ${this.#spec}`,
        'distribute the tensor first: distributeTensor(t, parameter.deviceMesh, parameter.placements)',
      );
    }
    if (now !== this.sharded) {
      this.sharded = now;
      uids.set(now, this.uid);
      owners.set(now, this);
      this.register(now);
    }
    const { localTensor } = now;
    const local = this.#kind === null ? localTensor : ofKind(localTensor, this.#kind);
    if (local !== localTensor) now.become(local, now.spec);
    this.#spec = now.spec;
    if (local.isMeta) return;
    if (
      !this.shardData.isMeta &&
      this.shardData.storage === local.storage &&
      this.shardData.storage.nbytes > 0
    )
      return;
    const padded = noGrad(() => {
      const whole =
        sameShape(local.shape, this.paddedShape) && local.isContiguous() && local.storageOffset === 0;
      if (whole) return local;
      const fresh = torch.zeros([...this.paddedShape], { dtype: local.dtype });
      if (local.numel() > 0) fresh.narrow(this.shardDim, 0, local.shape[this.shardDim]!).copy_(local);
      return fresh;
    });
    this.shardData = noGrad(() => padded.view([-1]));
    this.#claimShard();
    if (padded !== local) {
      const piece = noGrad(() => padded.narrow(this.shardDim, 0, this.shardShape[this.shardDim]!));
      now.become(this.#kind === null ? piece : ofKind(piece, this.#kind), now.spec);
    }
  }

  get isMeta(): boolean {
    return this.sharded.isMeta;
  }

  /** Bytes of the whole that exist now. */
  get unshardedBytes(): number {
    return this.#extended?.bytes ?? this.#output?.storage.nbytes ?? 0;
  }

  toString(): string {
    return `FSDPParam(${this.fqn}, ${this.#spec})`;
  }
}

/** The axis over which is gathered. */
function gatherMesh({ mesh }: MeshInfo): DeviceMesh {
  const names = mesh.meshDimNames;
  return mesh.ndim === 1 || names === null ? mesh : mesh.get(names[names.length - 1]!);
}

function localPart(t: Tensor): Tensor {
  return t instanceof DTensor ? t.localTensor : t;
}

function retyped(spec: DTensorSpec, dtype: DType): DTensorSpec {
  return spec.withMeta({ shape: spec.shape, strides: spec.strides, dtype });
}

function withSize(shape: readonly number[], dim: number, size: number): number[] {
  return shape.map((n, d) => (d === dim ? size : n));
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, d) => n === b[d]);
}

function describe(t: Tensor): string {
  return t instanceof DTensor ? String(t.spec) : t.describe();
}
