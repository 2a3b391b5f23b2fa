/** Replicas of a module, kept equal by averaging gradients. */
import { ShardbookError } from '../../base/index.js';
import { joinKwargs, Module, splitKwargs } from '../../nn/index.js';
import { isGradEnabled, noGrad, Tensor } from '../../tensor/index.js';
import { dist, type ProcessGroup } from '../group/index.js';
import { DEFAULT_BUCKET_MB, DEFAULT_FIRST_BUCKET_BYTES } from './buckets.js';
import { type CommHookFn, Reducer } from './reducer.js';

export interface DDPOptions {
  processGroup?: ProcessGroup | null;
  /** Sends rank 0's buffers to all before each forward. */
  broadcastBuffers?: boolean;
  /** Makes parameters and buffers equal to rank 0's at the start. */
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
  #sync = true;

  constructor(module: M, options: DDPOptions = {}) {
    super();
    dist.initProcessGroup();
    this.module = module;
    this.processGroup = options.processGroup ?? dist.group.WORLD;
    this.broadcastBuffers = options.broadcastBuffers ?? true;
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
    this.#checkSameEverywhere();
    if (options.initSync ?? true) this.#synchronise([...module.parameters(), ...module.buffers()]);
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
  }

  forward(...given: Parameters<M['forward']>): ReturnType<M['forward']> {
    const [args, kwargs] = splitKwargs(given);
    const call = this.module as unknown as (...a: unknown[]) => unknown;
    const training = isGradEnabled() && this.#sync;
    if (training) this.reducer.prepare();
    if (this.broadcastBuffers && this.#sync) this.#synchronise(this.module.buffers());
    const output = call(...joinKwargs(args, kwargs));
    if (training) this.reducer.watch(tensorsOf(output));
    else this.reducer.pause();
    return output as ReturnType<M['forward']>;
  }

  /** Runs `body` without averaging: gradients add up locally until the next backward pass outside. */
  noSync<R>(body: () => R): R {
    const before = this.#sync;
    this.#sync = false;
    try {
      return body();
    } finally {
      this.#sync = before;
    }
  }

  /** Replaces how a bucket is averaged: `hook(state, bucket)` returns what takes the place of its buffer. */
  registerCommHook<S>(state: S, hook: CommHookFn<S>): void {
    this.reducer.setHook(hook as CommHookFn, state);
  }

  #synchronise(tensors: readonly Tensor[]): void {
    if (this.processGroup.size() === 1) return;
    noGrad(() => {
      for (const t of tensors) dist.broadcast(t.data, { groupSrc: 0, group: this.processGroup });
    });
  }

  /** The ranks' models must have the same parameters, or their buckets would not fit together. */
  #checkSameEverywhere(): void {
    const { processGroup: group } = this;
    if (group.size() === 1) return;
    const own = this.module
      .namedParameters()
      .map(([name, p]) => `${name} ${p.describe()}${p.requiresGrad ? '' : ' frozen'}`);
    const all: unknown[] = new Array<unknown>(group.size()).fill(null);
    dist.allGatherObject(all, own, { group });
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
