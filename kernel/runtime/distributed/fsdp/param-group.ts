/** Parameters that travel together: one all-gather, one reduce-scatter. */
import { runThen } from '../../base/index.js';
import type { Module } from '../../nn/index.js';
import {
  AutogradFunction,
  type DType,
  type FunctionContext,
  isBackwardRunning,
  isGradEnabled,
  noGrad,
  type Storage,
  type Tensor,
} from '../../tensor/index.js';
import {
  dist,
  hostTransfer,
  markCompute,
  type ProcessGroup,
  type ReduceOp,
  streamWaitsFor,
  withCommStream,
} from '../group/index.js';
import {
  type AllGatherComm,
  DefaultAllGather,
  DefaultReduceScatter,
  finishAllGather,
  nothingToGather,
  type PendingGather,
  type PendingReduce,
  type ReduceScatterComm,
  startAllGather,
  startReduce,
} from './comm.js';
import { dividePlan } from './divide.js';
import { fsdpError } from './errors.js';
import { emitFsdp, type FsdpEvent, type FsdpEventKind, hasListeners, nextTransfer } from './events.js';
import type { MeshInfo } from './mesh-info.js';
import type { FSDPParam, ShardedState } from './param.js';
import type { MixedPrecisionPolicy } from './policy.js';
import { gradTensors, mapTensors } from './tree.js';

/** Where a group or a state is in the iteration. */
export type TrainingState = 'idle' | 'forward' | 'preBackward' | 'postBackward';

/** What the groups of one root share. */
export class CommContext {
  /** Groups in the order in which they ended forward, each as often as it did. */
  readonly postForwardOrder: FSDPParamGroup[] = [];
  /** Reductions under way, oldest first. */
  readonly reductions: { group: FSDPParamGroup; pending: PendingReduce }[] = [];
  /** How many may be under way at once. */
  maxReductions = 1;
  /** The next all-gather is the first after the optimizer. */
  stepBegins = true;
  /** Mark of simulated time that it waits for, instead of all that was computed before. */
  postOptimEvent: string | null = null;
  /** Events of simulated time: copy-outs so far, and the latest one of a forward that no gather waits for yet. */
  copyOuts = 0;
  copyOut: string | null = null;

  /** Finishes the oldest reductions until fewer than `keep` are left. */
  finishReductions(keep = 1): void {
    while (this.reductions.length >= keep) this.reductions.shift()!.pending.finish();
  }
}

export class FSDPParamGroup {
  comm = new CommContext();
  /** Path from the root; null until the root is known. */
  fqn: string | null = null;
  training: TrainingState = 'idle';
  sharded: ShardedState = 'sharded';
  reduceGrads = true;
  allReduceGrads = true;
  reshardAfterBackward = true;
  reduceUnused = false;
  forceSum = false;
  divideFactor: number | null = null;
  unshardInBackward = true;
  maxInputBuffers = 1;
  /** Place among the groups of one state, where parameters use several meshes. */
  index = 0;
  count = 1;
  gatherComm: AllGatherComm = new DefaultAllGather();
  reduceComm: ReduceScatterComm = new DefaultReduceScatter();
  /** Where flat buffers were asked to be; it makes no difference on this transport, but excludes custom collectives. */
  buffers: 'own' | 'process group' | 'symmetric' = 'own';
  allReduceHook: ((output: Tensor) => void) | null = null;
  #origDtype: DType | null = null;
  #reduceDtype: DType | null = null;
  #gather: PendingGather | null = null;
  #partial: Tensor | null = null;
  readonly #postForwardIndices: number[] = [];
  #wasReset = false;
  #stateDictHooked = false;
  /** The last copy of gradients to the host that nobody has waited for. */
  #toHost: string | null = null;

  constructor(
    readonly modules: readonly Module[],
    readonly params: readonly FSDPParam[],
    readonly meshInfo: MeshInfo,
    /** Where parameters go after forward; null: they stay whole. */
    public postForward: MeshInfo | null,
    readonly policy: MixedPrecisionPolicy,
  ) {}

  // ---------------------------------------------------------------- before the first use

  /** Looks at the parameters once more before they are used first; cheap to repeat. */
  lazyInit(): void {
    if (this.sharded === 'sharded' && !this.#wasReset) {
      for (const p of this.params) p.resetSharded();
      this.#wasReset = true;
    }
    const onMeta = this.params.filter((p) => p.isMeta);
    if (onMeta.length > 0) {
      throw fsdpError(
        'META',
        `Cannot run ${this.label}: ${onMeta.length === 1 ? 'a parameter is' : `${onMeta.length} parameters are`} on the meta device, without data: ${onMeta.map((p) => `"${p.fqn}"`).join(', ')}`,
        "materialise them: module.toEmpty({ device: 'cpu' }), then initialise, for example with resetParameters() of each module",
      );
    }
    this.#initDtypes();
    this.#hookStateDicts();
  }

  #initDtypes(): void {
    for (const p of this.params) p.initDtypes();
    const trained = this.params.filter((p) => p.sharded.requiresGrad);
    const original = new Set(trained.map((p) => p.origDtype));
    const reduce = new Set(trained.map((p) => p.reduceDtype));
    if (original.size > 1 || reduce.size > 1) {
      const by = [...original].map(
        (dtype) =>
          `${dtype.name}: ${trained
            .filter((p) => p.origDtype === dtype)
            .map((p) => p.fqn)
            .join(', ')}`,
      );
      throw fsdpError(
        'DTYPES',
        `Cannot run ${this.label}: its parameters have several dtypes, wanted one in a group`,
        'cast them, or put the parameters of each dtype into a fullyShard call of their own',
        by,
      );
    }
    this.#origDtype = [...original][0] ?? null;
    this.#reduceDtype = [...reduce][0] ?? null;
  }

  /** State dictionaries always show sharded parameters. */
  #hookStateDicts(): void {
    if (this.#stateDictHooked) return;
    this.#stateDictHooked = true;
    for (const module of new Set(this.params.map((p) => p.places[0]!.module))) {
      module.registerStateDictPreHook(() => this.toSharded());
      module.registerLoadStateDictPreHook(() => this.toSharded());
    }
  }

  // ---------------------------------------------------------------- unshard

  get gatherGroup(): ProcessGroup | null {
    const info = this.sharded === 'shardedPostForward' ? this.postForward! : this.meshInfo;
    return info.shard?.group ?? null;
  }

  /** Starts the all-gather, unless the parameters are whole or on their way. */
  unshard(): void {
    if (this.#gather !== null || this.sharded === 'unsharded') return;
    if (!this.unshardInBackward && this.training === 'preBackward') return;
    const group = this.gatherGroup;
    // Shards do not change within a step, so but for the first a gather need not wait for what is computed before it.
    const { stepBegins, postOptimEvent } = this.comm;
    this.comm.stepBegins = false;
    this.comm.postOptimEvent = null;
    if (postOptimEvent !== null) streamWaitsFor('all-gather', postOptimEvent);
    const alone = group === null || group.size() === 1;
    this.#move('toDevice', this.params, {
      after: stepBegins ? 'compute' : undefined,
      before: alone ? 'compute' : 'all-gather',
    });
    if (alone) {
      this.#gather = nothingToGather(group ?? dist.group.WORLD);
      return;
    }
    const stream = { name: 'all-gather', independent: !stepBegins || postOptimEvent !== null };
    this.#gather = withCommStream(stream, () =>
      startAllGather(this.params, group, this.gatherComm, (output) =>
        this.emit('allGather', {
          elements: output.numel(),
          dtype: output.dtype,
          bytes: output.numel() * output.dtype.itemsize,
          groupSize: group.size(),
        }),
      ),
    );
    this.emit('allGather', { phase: 'end' });
  }

  /** Waits for the all-gather and registers the whole parameters. */
  waitForUnshard(): void {
    const pending = this.#gather;
    if (pending === null) return;
    const quiet = pending.output === null;
    if (!quiet) this.emit('copyOut');
    finishAllGather(pending, this.params);
    if (!quiet) this.#markCopyOut();
    if (this.sharded !== 'unsharded') {
      for (const p of this.params) p.toUnsharded();
      this.sharded = 'unsharded';
    }
    this.#gather = null;
    if (!quiet) this.emit('copyOut', { phase: 'end' });
  }

  /**
   * As PyTorch's streams: in forward the next gather may overlap this copy-out and waits for the one before, in backward it
   * waits for this one.
   */
  #markCopyOut(): void {
    const name = `copy-out ${++this.comm.copyOuts}`;
    markCompute(name);
    if (this.comm.copyOut !== null) streamWaitsFor('all-gather', this.comm.copyOut);
    this.comm.copyOut = this.training === 'forward' ? name : null;
    if (this.training !== 'forward') streamWaitsFor('all-gather', name);
  }

  // ---------------------------------------------------------------- reshard

  /** Frees the whole parameters, as far as this moment of the iteration asks for it. */
  reshard(): void {
    if (this.training === 'forward') {
      if (this.postForward === null) return;
      if (this.postForward !== this.meshInfo) {
        if (this.sharded === 'shardedPostForward') return;
        this.emit('reshard');
        for (const p of this.params) p.toShardedPostForward(this.postForward);
        this.sharded = 'shardedPostForward';
        this.emit('reshard', { phase: 'end' });
        return;
      }
    }
    this.toSharded();
  }

  toSharded(): void {
    if (this.sharded === 'sharded') return;
    this.emit('reshard');
    for (const p of this.params) p.toSharded();
    this.sharded = 'sharded';
    this.emit('reshard', { phase: 'end' });
  }

  // ---------------------------------------------------------------- the four moments

  /** Returns the arguments, which the end of the backward pass of this group is hung on. */
  beforeForward(
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): [readonly unknown[], Readonly<Record<string, unknown>>] {
    this.emit('preForward');
    const entering = this.training !== 'forward';
    this.training = 'forward';
    this.unshard();
    this.waitForUnshard();
    const out: [readonly unknown[], Readonly<Record<string, unknown>>] = entering
      ? this.#watchInputs(args, kwargs)
      : [args, kwargs];
    this.emit('preForward', { phase: 'end' });
    return out;
  }

  afterForward(): void {
    this.emit('postForward');
    // A recompute calls the module inside the backward pass: then the backward hooks reshard.
    if (!isBackwardRunning()) {
      this.reshard();
      this.#postForwardIndices.push(this.comm.postForwardOrder.length);
      this.comm.postForwardOrder.push(this);
    }
    this.training = 'idle';
    this.emit('postForward', { phase: 'end' });
  }

  beforeBackward(prefetch: boolean): void {
    if (this.training === 'preBackward') return;
    this.emit('preBackward');
    this.training = 'preBackward';
    this.unshard();
    this.waitForUnshard();
    if (prefetch) this.#prefetchBackward();
    this.emit('preBackward', { phase: 'end' });
  }

  /** The group's backward pass is complete: reduce and reshard. Does nothing for a group that had none. */
  afterBackward(): void {
    this.training = 'postBackward';
    this.emit('accumulate');
    for (const p of this.params) p.accumulate();
    this.emit('accumulate', { phase: 'end' });
    this.emit('postBackwardReshard');
    const params: FSDPParam[] = [];
    const grads: Tensor[] = [];
    const mine: Storage[] = [];
    if (this.reduceGrads) {
      for (const p of this.params) {
        const grad = noGrad(() => p.takeGrad(this.reduceUnused, mine));
        if (grad === null) continue;
        params.push(p);
        grads.push(grad);
      }
    }
    if (this.reshardAfterBackward) this.reshard();
    if (!this.reduceGrads) for (const p of this.params) p.keepInReduceDtype();
    this.emit('postBackwardReshard', { phase: 'end' });
    if (!this.reduceGrads) return;
    const { comm } = this;
    if (this.index === this.count - 1 && comm.reductions.length >= comm.maxReductions) {
      this.emit('reduceWait');
      comm.finishReductions(comm.maxReductions);
      this.emit('reduceWait', { phase: 'end' });
    }
    if (params.length > 0) this.#reduce(params, grads, mine);
    this.emit('postBackward');
  }

  #reduce(params: FSDPParam[], grads: Tensor[], mine: readonly Storage[]): void {
    this.emit('reduce');
    const { shard, replicate } = this.meshInfo;
    const shardGroup = this.meshInfo.reduceScatterGroup ?? shard?.group ?? null;
    const reduceDtype = this.#reduceDtype ?? grads[0]!.dtype;
    const sized = (kind: FsdpEventKind, t: Tensor, op: ReduceOp, groupSize: number): void =>
      this.emit(kind, {
        elements: t.numel(),
        dtype: t.dtype,
        bytes: t.numel() * t.dtype.itemsize,
        op: String(op),
        groupSize,
      });
    const pending = startReduce({
      params,
      grads,
      mine,
      shardGroup,
      replicateGroup: replicate?.group ?? null,
      comm: this.reduceComm,
      origDtype: this.#origDtype ?? reduceDtype,
      reduceDtype,
      plan: dividePlan({
        dtype: reduceDtype,
        shardSize: shard?.size ?? null,
        replicateSize: replicate?.size ?? null,
        factor: this.divideFactor,
        forceSum: this.forceSum,
      }),
      factor: this.divideFactor,
      allReduce: this.allReduceGrads,
      partial: this.#partial,
      hook: this.allReduceHook,
      onReduceScatter: (t, op, n) => sized('reduceScatter', t, op, n),
      onAllReduce: (t, op, n) => sized('allReduce', t, op, n),
      onDone: (complete) => {
        this.emit('reduceScatter', { phase: 'end' });
        const reduces = (shard?.size ?? 1) > 1 || replicate !== null;
        if (complete) this.#move('toHost', params, { after: reduces ? 'reduce-scatter' : 'compute' });
      },
    });
    this.#partial = pending.partial;
    this.comm.reductions.push({ group: this, pending });
    this.emit('reduce', { phase: 'end' });
  }

  /** Offloaded shards go to the device, and their gradients to the host. */
  #move(
    kind: 'toDevice' | 'toHost',
    params: readonly FSDPParam[],
    order: { after?: string | undefined; before?: string },
  ): void {
    if (this.sharded === 'shardedPostForward') return;
    const bytes = params.reduce(
      (sum, p) => sum + (p.offloaded ? p.shardData.numel() * p.shardData.dtype.itemsize : 0),
      0,
    );
    if (bytes === 0) return;
    const transfer = nextTransfer();
    this.emit(kind, { bytes, transfer });
    hostTransfer({ name: transfer, direction: kind, bytes, label: this.fqn ?? '', ...order });
    this.emit(kind, { phase: 'end', bytes, transfer });
    if (kind === 'toHost') this.#toHost = transfer;
  }

  /** The iteration is over. */
  finishBackward(): void {
    // The optimizer reads the gradients on the host.
    if (this.#toHost !== null) streamWaitsFor('compute', `${this.#toHost} end`);
    this.#toHost = null;
    // A gather that nobody waited for: prefetched for a module that did not run.
    this.#gather?.work?.wait();
    this.#gather = null;
    this.#postForwardIndices.length = 0;
  }

  /** After an error: back to sharded parameters, whatever was under way. */
  resetIteration(): void {
    this.#partial = null;
    this.training = 'idle';
    for (const p of this.params) p.dropGrads();
    this.letGo();
  }

  /** Back to sharded parameters, also where they are on their way to be whole. */
  letGo(): void {
    try {
      this.#gather?.work?.wait();
    } catch {
      // It failed with what is given up.
    }
    this.#gather = null;
    this.#postForwardIndices.length = 0;
    this.toSharded();
  }

  // ---------------------------------------------------------------- prefetch

  #prefetchBackward(): void {
    const at = this.#postForwardIndices.pop();
    // Is empty where one forward is followed by several backward passes.
    if (at === undefined) return;
    const order = this.comm.postForwardOrder;
    if (this.count === 1) {
      if (at > 0) order[at - 1]!.prefetch('backward');
      return;
    }
    // Of several groups of a module the last but one in backward order fetches all groups of the module before.
    if (this.index !== 1) return;
    let target: readonly Module[] | null = null;
    for (let i = at - 1; i >= 0; i--) {
      const group = order[i]!;
      if (group.modules === this.modules) continue;
      target ??= group.modules;
      if (group.modules !== target) break;
      group.prefetch('backward');
    }
  }

  /** Starts this group's all-gather on behalf of another one. */
  prefetch(pass: 'forward' | 'backward'): void {
    this.emit(pass === 'forward' ? 'forwardPrefetch' : 'backwardPrefetch');
    const before = this.training;
    runThen(
      () => {
        this.training = pass === 'forward' ? 'forward' : 'preBackward';
        this.unshard();
      },
      () => {
        this.training = before;
      },
    );
    this.emit(pass === 'forward' ? 'forwardPrefetch' : 'backwardPrefetch', { phase: 'end' });
  }

  // ---------------------------------------------------------------- autograd

  /** Sends the inputs that need gradients through an identity whose backward is the end of this group's backward. */
  #watchInputs(
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
  ): [readonly unknown[], Readonly<Record<string, unknown>>] {
    if (!isGradEnabled()) return [args, kwargs];
    const inputs = gradTensors([args, kwargs]);
    if (inputs.length === 0) return [args, kwargs];
    const passed = AfterBackward.apply(this, ...inputs) as Tensor[];
    let next = 0;
    return mapTensors([args, kwargs] as [readonly unknown[], Readonly<Record<string, unknown>>], (t) =>
      t.requiresGrad ? passed[next++]! : t,
    );
  }

  // ---------------------------------------------------------------- for people

  get label(): string {
    return this.fqn ? `the FSDP group of "${this.fqn}"` : `the FSDP group of ${this.modules[0]!._getName()}`;
  }

  emit(kind: FsdpEventKind, more: Partial<FsdpEvent> = {}): void {
    if (!hasListeners()) return;
    emitFsdp({
      kind,
      phase: 'begin',
      rank: dist.getRank(),
      module: this.fqn ?? '',
      params: () =>
        this.params.map((p) => ({
          name: p.fqn,
          state: p.state,
          shape: p.spec.shape,
          localShape: p.shardShape,
          dtype: p.sharded.dtype.name,
          unshardedBytes: p.unshardedBytes,
        })),
      ...more,
    });
  }
}

class AfterBackward extends AutogradFunction {
  static override forward(ctx: FunctionContext, group: FSDPParamGroup, ...inputs: Tensor[]): Tensor[] {
    ctx['group'] = group;
    return inputs;
  }

  static override backward(ctx: FunctionContext, ...grads: (Tensor | null)[]): (Tensor | null)[] {
    (ctx['group'] as FSDPParamGroup).afterBackward();
    return [null, ...grads];
  }
}
