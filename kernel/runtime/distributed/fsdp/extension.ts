/**
 * Parameters that say themselves what travels. A tensor subclass with `fsdpPreAllGather` and `fsdpPostAllGather` (PyTorch's
 * `fsdp_pre_all_gather`, `fsdp_post_all_gather`) is cut like any other parameter, but each gather asks its local shard for the
 * tensors to send, of any number, shapes and dtypes, and makes the unsharded parameter of what arrived: weights that travel as
 * float8 with a scale, for example.
 */
import type { Module } from '../../nn/index.js';
import {
  claimMemory,
  type DType,
  type MemoryClaim,
  noGrad,
  numelOf,
  type Storage,
  Tensor,
} from '../../tensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { fsdpError } from './errors.js';
import { fillStorage, freeStorage, takeTensor } from './memory.js';
import type { MixedPrecisionPolicy } from './policy.js';

/** What a tensor subclass has that decides itself how it is gathered. Both are called on the local shard. */
export interface FsdpGatherExtension {
  /**
   * What this rank sends, and anything that `fsdpPostAllGather` is to be given. An input whose first dimension is the shard's
   * keeps its other dimensions when it arrives.
   *
   * @param mesh the axis over which is gathered
   * @param outerSize shape of the whole parameter
   * @param outerStride its strides
   * @param module where the parameter is registered
   */
  fsdpPreAllGather(
    mesh: DeviceMesh,
    outerSize: readonly number[],
    outerStride: readonly number[],
    module: Module,
    mpPolicy: MixedPrecisionPolicy,
  ): readonly [inputs: readonly Tensor[], metadata: unknown];
  /**
   * Without `out`, the first time: the unsharded tensor, and the tensors whose memory it needs, which is freed and taken
   * again with the parameter. With `out`, later: writes into it what it is to be (its memory is there again) and returns nothing.
   *
   * @param outputs the inputs of all ranks, put together along dimension 0
   * @param paramDtype that of the mixed precision policy, else the parameter's own
   */
  fsdpPostAllGather(
    outputs: readonly Tensor[],
    metadata: unknown,
    paramDtype: DType,
    options?: { out?: Tensor },
    // biome-ignore lint/suspicious/noConfusingVoidType: an implementation without `return` is of type void
  ): readonly [unsharded: Tensor, inner: readonly Tensor[]] | undefined | void;
}

/** The hooks of a local tensor, if it has them. Both or none. */
export function extensionOf(local: Tensor, named: string): FsdpGatherExtension | null {
  const own = local as Tensor & Partial<FsdpGatherExtension>;
  const [pre, post] = [own.fsdpPreAllGather, own.fsdpPostAllGather].map((f) => typeof f === 'function');
  if (pre !== post) {
    throw fsdpError(
      'EXTENSION',
      `Cannot shard ${named}: its class ${local.constructor.name} has ${pre ? 'fsdpPreAllGather' : 'fsdpPostAllGather'} only, wanted both hooks`,
      'define fsdpPreAllGather and fsdpPostAllGather, or neither',
    );
  }
  return pre ? (own as FsdpGatherExtension) : null;
}

export interface ExtendedParam {
  readonly named: string;
  readonly wholeShape: readonly number[];
  readonly wholeStrides: readonly number[];
  readonly paddedShape: readonly number[];
  readonly mesh: DeviceMesh;
  readonly module: Module;
  readonly policy: MixedPrecisionPolicy;
}

/** The gathers of one such parameter: inputs, outputs and the memory behind the unsharded tensor. */
export class ExtendedGather {
  #metadata: unknown = null;
  #sent: { shape: readonly number[]; dtype: DType }[] = [];
  #outputs: Tensor[] = [];
  #inner: readonly Tensor[] = [];
  #sizes: number[] = [];
  #claims: MemoryClaim[] = [];

  constructor(private readonly param: ExtendedParam) {}

  /** What this rank sends, flat. */
  inputs(local: Tensor): Tensor[] {
    const { mesh, wholeShape, wholeStrides, module, policy, paddedShape } = this.param;
    const hooks = extensionOf(local, this.param.named)!;
    const [inputs, metadata] = hooks.fsdpPreAllGather(mesh, wholeShape, wholeStrides, module, policy);
    const same = (a: readonly number[], b: readonly number[]): boolean => String(a) === String(b);
    if (!same(local.shape, paddedShape) && inputs.some((t) => !same(t.shape, paddedShape))) {
      throw fsdpError(
        'EXTENSION',
        `Cannot gather ${this.param.named}: fsdpPreAllGather gave ${inputs.map((t) => t.describe()).join(', ')}, wanted tensors of the padded shard's shape [${paddedShape.join(', ')}]`,
        'a parameter that is cut unevenly has a smaller last shard: pad what it sends, or give the parameter a first dimension that the ranks divide',
      );
    }
    this.#metadata = metadata;
    this.#sent = inputs.map((t) => ({ shape: t.shape, dtype: t.dtype }));
    return inputs.map((t) => t.contiguous().view([-1]));
  }

  /** Memory for what arrives, one for each input, flat. */
  open(ranks: number, fqn: string): Tensor[] {
    this.release();
    if (this.#outputs.length === 0)
      this.#outputs = this.#sent.map(({ shape, dtype }) => takeTensor(numelOf(shape) * ranks, dtype));
    for (const [i, t] of this.#outputs.entries()) {
      this.#claims.push(claimMemory(t, 'Unsharded Param', fqn));
      fillStorage(t.storage, numelOf(this.#sent[i]!.shape) * ranks * t.dtype.itemsize);
    }
    return this.#outputs;
  }

  /** The unsharded tensor of what arrived; later the same one, written anew. */
  finish(local: Tensor, dtype: DType, out: Tensor | null, fqn: string): Tensor {
    const hooks = extensionOf(local, this.param.named)!;
    const outputs = this.#outputs.map((t, i) => t.view([-1, ...this.#sent[i]!.shape.slice(1)]));
    const metadata = this.#metadata;
    this.#metadata = null;
    if (out !== null) {
      for (const [i, t] of this.#inner.entries()) {
        this.#claims.push(claimMemory(t, 'Unsharded Param', fqn));
        fillStorage(t.storage, this.#sizes[i]!);
      }
      // What autograd saved of it is what it becomes again: not a change.
      const version = out.versionCounter.value;
      noGrad(() => hooks.fsdpPostAllGather(outputs, metadata, dtype, { out }));
      out.versionCounter.value = version;
      return out;
    }
    const made = noGrad(() => hooks.fsdpPostAllGather(outputs, metadata, dtype));
    const [whole, inner] = made ?? [];
    if (
      !(whole instanceof Tensor) ||
      inner === undefined ||
      String(whole.shape) !== String(this.param.wholeShape)
    ) {
      throw fsdpError(
        'EXTENSION',
        `Cannot gather ${this.param.named}: fsdpPostAllGather returned ${whole instanceof Tensor ? whole.describe() : typeof whole}, wanted [tensor of shape [${this.param.wholeShape.join(', ')}], tensors whose memory it needs]`,
      );
    }
    const arrived = new Set<Storage>(this.#outputs.map((t) => t.storage));
    this.#inner = inner.filter((t) => !arrived.has(t.storage));
    this.#sizes = this.#inner.map((t) => t.storage.nbytes);
    for (const t of this.#inner) this.#claims.push(claimMemory(t, 'Unsharded Param', fqn));
    return whole;
  }

  free(): void {
    for (const t of [...this.#outputs, ...this.#inner]) freeStorage(t.storage);
    this.release();
  }

  release(): void {
    for (const claim of this.#claims.splice(0)) claim.release();
  }

  get bytes(): number {
    return [...this.#outputs, ...this.#inner].reduce((sum, t) => sum + t.storage.nbytes, 0);
  }
}
