/**
 * Averages gradients across ranks while the backward pass runs: a bucket is reduced as soon as all its gradients are there and
 * those before it are on their way, so that all ranks start the same collectives in the same order.
 *
 * The order in which gradients come is known after one pass, and then buckets are made, once, in rank 0's order; until then all
 * gradients are one bucket. Where the graph may change there is no such order: buckets stay those of the parameters, last ones first.
 */
import { ShardbookError } from '../../base/index.js';
import { type Node, noGrad, queueCallback, Tensor, torch } from '../../tensor/index.js';
import { dist, type ProcessGroup, ReduceOp, type Work } from '../group/index.js';
import { assignBuckets, type BucketSizes } from './buckets.js';

/** What a communication hook sees. */
export class GradBucket {
  #buffer: Tensor;
  constructor(
    buffer: Tensor,
    private readonly place: { index: number; last: boolean; gradients: () => Tensor[]; parameters: Tensor[] },
  ) {
    this.#buffer = buffer;
  }
  /** All gradients of the bucket, flat, in the order of `parameters()`. */
  buffer(): Tensor {
    return this.#buffer;
  }
  setBuffer(buffer: Tensor): void {
    this.#buffer = buffer;
  }
  /** The gradients as views of the buffer. */
  gradients(): Tensor[] {
    return this.place.gradients();
  }
  parameters(): Tensor[] {
    return [...this.place.parameters];
  }
  index(): number {
    return this.place.index;
  }
  isLast(): boolean {
    return this.place.last;
  }
}

/** Replaces the mean of a bucket: returns the tensor that takes the buffer's place, which may still be on its way. */
export type CommHookFn<S = unknown> = (state: S, bucket: GradBucket) => Tensor | (() => Tensor);

export interface ReducerOptions {
  group: ProcessGroup;
  sizes: BucketSizes;
  findUnused: boolean;
  staticGraph: boolean;
  gradientAsBucketView: boolean;
}

interface Bucket {
  readonly members: readonly number[];
  readonly offsets: readonly number[];
  buffer: Tensor;
  waiting: number;
  work: { finish(): Tensor } | null;
}

export class Reducer {
  #buckets: Bucket[] = [];
  /** Bucket of each parameter. */
  #bucketOf: number[] = [];
  #ready: boolean[] = [];
  #used: boolean[] = [];
  #nextBucket = 0;
  /** A forward that asks for reduction has run, and no backward since. */
  #armed = false;
  /** False while a backward pass left buckets unreduced. */
  #finished = true;
  /** A backward pass is under way, and its end will be told. */
  #queued = false;
  #rebuilt = false;
  #arrival: number[] = [];
  #unusedNow: readonly number[] = [];
  /** Of a static graph: how often each parameter's gradient comes in one pass. */
  #expectedHits: number[] | null = null;
  /** Of a static graph: which parameters some rank used in that pass. */
  #usedEver: boolean[] | null = null;
  #hits: number[] = [];
  #hook: { fn: CommHookFn; state: unknown } | null = null;

  constructor(
    private readonly parameters: readonly Tensor[],
    private readonly names: readonly string[],
    private readonly options: ReducerOptions,
  ) {
    // The last parameters' gradients come first.
    const once = options.staticGraph || !options.findUnused;
    const sizes = once ? { first: Infinity, rest: Infinity } : options.sizes;
    this.#plan(assignBuckets(parameters, sizes).reverse());
    for (const [i, p] of parameters.entries()) p.registerPostAccumulateGradHook(() => this.#arrived(i));
  }

  setHook(fn: CommHookFn, state: unknown): void {
    this.#hook = { fn, state };
  }

  /** Parameters of each bucket, by name. */
  get buckets(): string[][] {
    return this.#buckets.map((bucket) => bucket.members.map((i) => this.names[i]!));
  }

  #plan(assignment: readonly number[][]): void {
    this.#bucketOf = this.parameters.map(() => -1);
    this.#buckets = assignment.map((members, b) => {
      let total = 0;
      const offsets = members.map((i) => {
        const at = total;
        total += this.parameters[i]!.numel();
        this.#bucketOf[i] = b;
        return at;
      });
      const buffer = torch.zeros([total], { dtype: this.parameters[members[0]!]!.dtype });
      return { members, offsets, buffer, waiting: members.length, work: null };
    });
  }

  /** Before each forward that will be followed by a synchronised backward. */
  prepare(): void {
    if (!this.#finished) throw this.#unfinished();
    if (this.#canRebuild()) this.#rebuild();
  }

  /** After that forward, with what it returned: finds parameters that its graph does not reach. */
  watch(outputs: readonly Tensor[]): void {
    this.#armed = true;
    this.#nextBucket = 0;
    this.#arrival = [];
    this.#ready = this.parameters.map(() => false);
    this.#used = this.parameters.map(() => false);
    this.#hits = this.parameters.map(() => 0);
    for (const bucket of this.#buckets) {
      bucket.waiting = bucket.members.length;
      bucket.work = null;
    }
    this.#unusedNow = this.#looksForUnused ? this.#unreached(outputs) : [];
  }

  /** Whether each pass may leave out other parameters. */
  get #looksForUnused(): boolean {
    return this.options.findUnused && !this.options.staticGraph;
  }

  /** Nothing is expected of the next backward: gradients stay as they are. */
  pause(): void {
    this.#armed = false;
  }

  /** A backward pass that was under way is given up. */
  giveUp(stopped: boolean): void {
    if (this.#queued) this.#passIsOver();
    // Ranks are stopped at different places: all of them learn the order of arrival from the next pass.
    if (stopped) this.#arrival = [];
  }

  #unreached(outputs: readonly Tensor[]): number[] {
    const seen = new Set<Node>();
    const stack = outputs.flatMap((t) => t.gradEdge()?.node ?? []);
    for (const node of stack) seen.add(node);
    while (stack.length > 0) {
      for (const edge of stack.pop()!.nextEdges) {
        if (!edge || seen.has(edge.node)) continue;
        seen.add(edge.node);
        stack.push(edge.node);
      }
    }
    return this.parameters.flatMap((p, i) => (seen.has(p.gradAccumulator()) ? [] : [i]));
  }

  #arrived(i: number): void {
    if (!this.#armed) return;
    if (!this.#queued) {
      this.#queued = true;
      this.#finished = false;
      queueCallback(() => this.#finish());
      // A static graph's unused parameters are those that never came in its first pass; known from the second on.
      const expected = this.#expectedHits;
      const unused = expected ? expected.flatMap((n, at) => (n === 0 ? [at] : [])) : this.#unusedNow;
      for (const at of unused) this.#markReady(at);
    }
    this.#hits[i]!++;
    this.#used[i] = true;
    if (this.options.staticGraph) {
      const expected = this.#expectedHits;
      if (expected && this.#hits[i]! < expected[i]!) return;
      // In the first pass nobody knows how often a gradient comes: everything waits for the end.
      if (!expected) return;
    } else if (this.#ready[i]) {
      throw new ShardbookError({
        code: 'SB_DDP_READY_TWICE',
        message: `Cannot reduce the gradient of parameter "${this.names[i]}": it came twice in one backward pass`,
        help: 'the parameter is used by several recomputed parts of the model, or outside of forward: pass { staticGraph: true } if the graph never changes',
      });
    }
    this.#markReady(i);
  }

  #markReady(i: number): void {
    if (this.#ready[i]) return;
    this.#ready[i] = true;
    this.#arrival.push(i);
    const bucket = this.#buckets[this.#bucketOf[i]!]!;
    bucket.waiting--;
    while (this.#nextBucket < this.#buckets.length && this.#buckets[this.#nextBucket]!.waiting === 0)
      this.#launch(this.#nextBucket++);
  }

  #launch(index: number): void {
    const bucket = this.#buckets[index]!;
    const { group } = this.options;
    noGrad(() => {
      for (const [k, i] of bucket.members.entries()) {
        const p = this.parameters[i]!;
        const slot = this.#slot(bucket, k);
        if (p.grad === null) slot.zero_();
        else if (p.grad.storage !== bucket.buffer.storage) slot.copy_(p.grad);
      }
      if (this.#hook !== null) {
        const seen = new GradBucket(bucket.buffer, {
          index,
          last: index === this.#buckets.length - 1,
          gradients: () => bucket.members.map((_, k) => this.#slot(bucket, k)),
          parameters: bucket.members.map((i) => this.parameters[i]!),
        });
        const given = this.#hook.fn(this.#hook.state, seen);
        bucket.work = {
          finish: () =>
            typeof given === 'function' ? given() : given instanceof Tensor ? given : seen.buffer(),
        };
        return;
      }
      // As PyTorch: divided before the sum, so that the sum of many ranks does not overflow.
      bucket.buffer.div_(group.size());
      const work: Work | undefined = dist.allReduce(bucket.buffer, {
        group,
        op: ReduceOp.SUM,
        asyncOp: true,
      });
      bucket.work = {
        finish: () => {
          work?.wait();
          return bucket.buffer;
        },
      };
    });
  }

  #slot(bucket: Bucket, k: number): Tensor {
    const p = this.parameters[bucket.members[k]!]!;
    return bucket.buffer.narrow(0, bucket.offsets[k]!, p.numel()).view([...p.shape]);
  }

  /** The end of the backward pass. */
  #finish(): void {
    if (this.options.staticGraph && this.#expectedHits === null) {
      this.#expectedHits = [...this.#hits];
      this.#usedEver = this.#usedSomewhere();
      for (let i = 0; i < this.parameters.length; i++) this.#markReady(i);
      // That was no order of arrival.
      this.#arrival = [];
    }
    // Some gradients never came: the next forward says which.
    if (this.#nextBucket < this.#buckets.length) {
      this.#queued = false;
      return;
    }
    const usedSomewhere = this.#looksForUnused ? this.#usedSomewhere() : this.#usedEver;
    noGrad(() => {
      for (const bucket of this.#buckets) {
        const result = bucket.work!.finish();
        if (result !== bucket.buffer) bucket.buffer.copy_(result.reshape([-1]));
        bucket.work = null;
        for (const [k, i] of bucket.members.entries()) {
          const p = this.parameters[i]!;
          if (usedSomewhere && !usedSomewhere[i]) continue;
          const slot = this.#slot(bucket, k);
          if (this.options.gradientAsBucketView) p.setGrad(slot);
          else if (p.grad === null) p.setGrad(slot.clone());
          else p.grad.copy_(slot);
        }
      }
    });
    this.#passIsOver();
  }

  #passIsOver(): void {
    this.#queued = false;
    this.#finished = true;
    this.#armed = false;
  }

  /** Which parameters some rank used. Those that none did keep their gradient as it is. */
  #usedSomewhere(): boolean[] {
    const flags = torch.tensor(
      this.#used.map((used) => (used ? 1 : 0)),
      { dtype: torch.int32 },
    );
    dist.allReduce(flags, { group: this.options.group });
    return (flags.tolist() as number[]).map((n) => Number(n) > 0);
  }

  // ---------------------------------------------------------------- buckets in the order of arrival

  #canRebuild(): boolean {
    return (
      !this.#rebuilt &&
      !this.#looksForUnused &&
      this.#finished &&
      this.#arrival.length === this.parameters.length
    );
  }

  #rebuild(): void {
    this.#rebuilt = true;
    const order = this.#arrival;
    const { group, sizes } = this.options;
    const own = assignBuckets(
      order.map((i) => this.parameters[i]!),
      sizes,
    ).map((indices) => indices.map((at) => order[at]!));
    // Ranks may have seen another order: rank 0's counts.
    const indices = torch.tensor([...own.flat(), own.length], { dtype: torch.int32 });
    dist.broadcast(indices, { groupSrc: 0, group });
    const agreed = (indices.tolist() as number[]).map(Number);
    const lengths = torch.tensor(
      Array.from({ length: agreed.pop()! }, (_, b) => own[b]?.length ?? 0),
      { dtype: torch.int32 },
    );
    dist.broadcast(lengths, { groupSrc: 0, group });
    this.#plan((lengths.tolist() as number[]).map((n) => agreed.splice(0, Number(n))));
  }

  #unfinished(): ShardbookError {
    const missing = this.names.filter((_, i) => !this.#ready[i]);
    this.#passIsOver();
    return new ShardbookError({
      code: 'SB_DDP_UNFINISHED',
      message: `Cannot run the next forward: the gradients of ${missing.length} parameters never came in the last backward pass, so their buckets were not reduced: ${missing
        .slice(0, 5)
        .map((name) => `"${name}"`)
        .join(', ')}${missing.length > 5 ? ', ...' : ''}`,
      help: 'let every parameter take part in the loss, or pass { findUnusedParameters: true }',
    });
  }
}
