/** Replicas of a module, kept equal by averaging gradients. */
import { giveUpWith, Setting, ShardbookError } from '../../base/index.js';
import { joinKwargs, Module, splitKwargs } from '../../nn/index.js';
import { isGradEnabled, noGrad, Tensor, torch } from '../../tensor/index.js';
import { dist, type ProcessGroup, withoutCommHooks } from '../group/index.js';
import { DEFAULT_BUCKET_MB, DEFAULT_FIRST_BUCKET_BYTES } from './buckets.js';
import { type CommHookFn, Reducer } from './reducer.js';

export interface DDPOptions {
  processGroup?: ProcessGroup | null;
  /** Sends rank 0's buffers to all: at the start, and before forwards (see `forwardSyncBuffers`). */
  broadcastBuffers?: boolean;
  /** Sends rank 0's buffers before each forward whose predecessor was synchronised; at the start they are sent in any case. */
  forwardSyncBuffers?: boolean | null;
  /** Compares the ranks' parameters and makes them, and buffers, equal to rank 0's at the start; false communicates nothing. */
  initSync?: boolean;
  /** Looks through the graph after each forward for parameters that it does not use. */
  findUnusedParameters?: boolean;
  /** The graph never changes: parameters may be used often or not at all without looking each time. */
  staticGraph?: boolean;
  /** `.grad` shares the buckets' memory. */
  gradientAsBucketView?: boolean;
  /** Megabytes of a bucket; 25. */
  bucketCapMb?: number | null;
  /** Accepted for PyTorch's sake. */
  deviceIds?: readonly number[] | null;
  outputDevice?: number | null;
  dim?: number;
  checkReduction?: boolean;
}

/**
 * Every rank holds the whole model and a share of the data; gradients are averaged during backward.
 *
 * ```ts
 * const model = new DistributedDataParallel(net);
 * loss(model(x)).backward(); // gradients are now equal on all ranks
 * ```
 */
export class DistributedDataParallel<M extends Module = Module> extends Module {
  declare module: M;
  readonly processGroup: ProcessGroup;
  /** @internal */
  readonly reducer: Reducer;
  readonly broadcastBuffers: boolean;
  readonly #sync = new Setting(true);
  /** Whether the last forward was followed by a synchronised backward: only then may buffers differ for a new reason. */
  #syncBuffersNext = true;

  constructor(module: M, options: DDPOptions = {}) {
    super();
    dist.initProcessGroup();
    this.module = module;
    this.processGroup = options.processGroup ?? dist.group.WORLD;
    const initBuffers = options.forwardSyncBuffers != null || (options.broadcastBuffers ?? true);
    this.broadcastBuffers = options.forwardSyncBuffers ?? options.broadcastBuffers ?? true;
    const trained = module.namedParameters().filter(([, p]) => p.requiresGrad);
    if (trained.length === 0) {
      throw new ShardbookError({
        code: 'SB_DDP_NO_PARAMETERS',
        message: `Cannot wrap ${module._getName()} in DistributedDataParallel: none of its parameters requires a gradient`,
        help: 'there is nothing to average: use the module as it is',
      });
    }
    const distributed = trained.find(([, p]) => p.constructor !== Tensor);
    if (distributed) {
      throw new ShardbookError({
        code: 'SB_DDP_SHARDED',
        message: `Cannot wrap ${module._getName()} in DistributedDataParallel: parameter "${distributed[0]}" is ${distributed[1].describe()}, wanted plain tensors`,
        help: 'use fullyShard with a mesh whose first axis replicates',
      });
    }
    const capMb = options.bucketCapMb ?? DEFAULT_BUCKET_MB;
    const rest = Math.floor(capMb * 1024 * 1024);
    if (options.initSync ?? true) {
      this.#checkSameEverywhere(trained.map(([, p]) => p));
      this.#synchronise([...module.parameters(), ...(initBuffers ? module.buffers() : [])]);
    }
    this.reducer = new Reducer(
      trained.map(([, p]) => p),
      trained.map(([name]) => name),
      {
        group: this.processGroup,
        sizes: {
          first: Math.min(
            DEFAULT_FIRST_BUCKET_BYTES,
            options.bucketCapMb ? rest : DEFAULT_FIRST_BUCKET_BYTES,
          ),
          rest,
        },
        findUnused: options.findUnusedParameters ?? false,
        staticGraph: options.staticGraph ?? false,
        gradientAsBucketView: options.gradientAsBucketView ?? false,
      },
    );
    giveUpWith(this, (ddp, stopped) => {
      ddp.reducer.giveUp(stopped);
      if (stopped) ddp.#syncBuffersNext = true;
    });
  }

  forward(...given: Parameters<M['forward']>): ReturnType<M['forward']> {
    const [args, kwargs] = splitKwargs(given);
    const call = this.module as unknown as (...a: unknown[]) => unknown;
    const training = isGradEnabled() && this.#sync.value;
    if (isGradEnabled()) this.reducer.prepare();
    if (this.broadcastBuffers && this.#syncBuffersNext) this.#synchronise(this.module.buffers());
    const output = call(...joinKwargs(args, kwargs));
    this.#syncBuffersNext = training;
    if (training) this.reducer.watch(tensorsOf(output));
    else this.reducer.pause();
    return output as ReturnType<M['forward']>;
  }

  /** Runs `body` without averaging: gradients add up locally until the next backward pass outside. */
  noSync<R>(body: () => R): R {
    return this.#sync.during(false, body);
  }

  /** Replaces how a bucket is averaged: `hook(state, bucket)` returns what takes the place of its buffer. */
  registerCommHook<S>(state: S, hook: CommHookFn<S>): void {
    this.reducer.setHook(hook as CommHookFn, state);
  }

  /** Sends rank 0's values, those of one dtype as one message. */
  #synchronise(tensors: readonly Tensor[]): void {
    const byDtype = new Map<string, Tensor[]>();
    for (const t of tensors) byDtype.set(t.dtype.name, [...(byDtype.get(t.dtype.name) ?? []), t.data]);
    noGrad(() => {
      for (const same of byDtype.values()) {
        const flat = torch.cat(same.map((t) => t.reshape([-1])));
        dist.broadcast(flat, { groupSrc: 0, group: this.processGroup });
        let at = 0;
        for (const t of same) {
          t.copy_(flat.narrow(0, at, t.numel()).view([...t.shape]));
          at += t.numel();
        }
      }
    });
  }

  /** The ranks' models must have the same parameters, or their buckets would not fit together. */
  #checkSameEverywhere(trained: readonly Tensor[]): void {
    const { processGroup: group } = this;
    const own = this.module
      .namedParameters()
      .map(([name, p]) => `${name} ${p.describe()}${p.requiresGrad ? '' : ' frozen'}`);
    const all: unknown[] = new Array<unknown>(group.size()).fill(null);
    // What PyTorch compares, and lets be seen: how many parameters there are, and rank 0's shapes and strides.
    const counted = Array.from({ length: group.size() }, () => torch.zeros([1], { dtype: torch.int64 }));
    dist.allGather(counted, torch.tensor([trained.length], { dtype: torch.int64 }), { group });
    // Who differs is to be known on every rank, by name: that is our own business.
    withoutCommHooks(() => dist.allGatherObject(all, own, { group }));
    for (const [r, other] of (all as string[][]).entries()) {
      const at = Array.from({ length: Math.max(own.length, other.length) }, (_, i) => i).find(
        (i) => (all as string[][])[0]![i] !== other[i],
      );
      if (at === undefined) continue;
      throw new ShardbookError({
        code: 'SB_DDP_RANKS_DIFFER',
        message: `Cannot wrap ${this.module._getName()} in DistributedDataParallel: the ranks have different parameters`,
        notes: [
          `parameter ${at} is ${(all as string[][])[0]![at] ?? 'missing'} on rank ${group.ranks[0]}`,
          `and ${other[at] ?? 'missing'} on rank ${group.ranks[r]}`,
        ],
        help: 'build the same model on every rank',
      });
    }
    const layout = trained.flatMap((p) => [...p.shape, ...p.strides]);
    dist.broadcast(torch.tensor(layout, { dtype: torch.int64 }), { groupSrc: 0, group });
  }
}

function tensorsOf(value: unknown): Tensor[] {
  if (value instanceof Tensor) return [value];
  if (Array.isArray(value)) return value.flatMap(tensorsOf);
  if (value instanceof Map) return [...value.values()].flatMap(tensorsOf);
  if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
    return Object.values(value).flatMap(tensorsOf);
  return [];
}
