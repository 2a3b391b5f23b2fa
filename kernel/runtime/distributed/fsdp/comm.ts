/**
 * The collectives of a parameter group.
 *
 * [Note: flat buffers] A group travels as one message. The all-gather output is cut in one block per rank, and a block in one
 * padded piece per parameter, in the group's order; the reduce-scatter input has the same form. So piece i of rank r lies at
 * r * block + offset i, and both directions are plain copies of bytes. Parameters of several dtypes travel as bytes.
 */
import {
  claimMemory,
  type DType,
  type MemoryClaim,
  noGrad,
  numelOf,
  type Storage,
  Tensor,
  torch,
} from '../../tensor/index.js';
import { dist, type ProcessGroup, type ReduceOp, type Work, withCommStream } from '../group/index.js';
import type { DividePlan } from './divide.js';
import { fsdpError } from './errors.js';
import { freeStorage, takeTensor } from './memory.js';
import type { FSDPParam } from './param.js';

/** Replaces how a group's parameters are gathered: where the buffer comes from, and the collective. */
export interface AllGatherComm {
  allocate(size: readonly number[], options: { dtype: DType }): Tensor;
  /** Fills `output` with the `input` of all ranks of `group`; may return a handle to wait for when `asyncOp`. */
  run(output: Tensor, input: Tensor, group: ProcessGroup, asyncOp: boolean): Waitable | undefined;
}

/** Replaces how a group's gradients are reduced. */
export interface ReduceScatterComm {
  allocate(size: readonly number[], options: { dtype: DType }): Tensor;
  run(
    output: Tensor,
    input: Tensor,
    group: ProcessGroup,
    op: ReduceOp,
    asyncOp: boolean,
  ): Waitable | undefined;
}

export type Waitable = Pick<Work, 'wait'> & Partial<Pick<Work, 'settle'>>;

/** Reductions have a stream of their own in simulated time, beside all-gathers and computing. */
const onStream = <T>(body: () => T): T => withCommStream({ name: 'reduce-scatter' }, body);

const allocate = (size: readonly number[], { dtype }: { dtype: DType }): Tensor =>
  takeTensor(numelOf(size), dtype);

/** dist's own collectives. */
export class DefaultAllGather implements AllGatherComm {
  allocate = allocate;
  run(output: Tensor, input: Tensor, group: ProcessGroup, asyncOp: boolean): Work | undefined {
    return dist.allGatherSingle(output, input, { group, asyncOp });
  }
}

/** dist's own reduce-scatter. */
export class DefaultReduceScatter implements ReduceScatterComm {
  allocate = allocate;
  run(output: Tensor, input: Tensor, group: ProcessGroup, op: ReduceOp, asyncOp: boolean): Work | undefined {
    return dist.reduceScatterSingle(output, input, { group, op, asyncOp });
  }
}

/** Bytes of a contiguous tensor. */
function bytesOf(t: Tensor): Uint8Array {
  const { itemsize } = t.dtype;
  return new Uint8Array(t.storage.buffer as ArrayBuffer, t.storageOffset * itemsize, t.numel() * itemsize);
}

// ---------------------------------------------------------------- all-gather

export interface PendingGather {
  /** null: one rank, nothing travels. */
  readonly output: Tensor | null;
  readonly claim: MemoryClaim | null;
  /** Whether the output's memory may be used again. */
  readonly pooled: boolean;
  readonly work: Waitable | undefined;
  readonly group: ProcessGroup;
  /** Bytes of each piece: those of the first parameter, of the second, ... */
  readonly pieces: readonly number[];
}

/** Copies this rank's pieces into their places and starts the collective. */
export function startAllGather(
  params: readonly FSDPParam[],
  group: ProcessGroup,
  comm: AllGatherComm,
  onStart: (output: Tensor) => void,
): PendingGather {
  if (group.size() === 1) return nothingToGather(group);
  return noGrad(() => {
    const inputs = params.flatMap((p) => p.allGatherInputs());
    const pieces = inputs.map((t) => t.numel() * t.dtype.itemsize);
    const first = inputs[0]!.dtype;
    const dtype = inputs.every((t) => t.dtype === first) ? first : torch.uint8;
    const block = pieces.reduce((sum, n) => sum + n, 0) / dtype.itemsize;
    const output = comm.allocate([block * group.size()], { dtype });
    const input = output.narrow(0, block * group.rank(), block);
    const target = bytesOf(input);
    let at = 0;
    for (const [i, t] of inputs.entries()) {
      target.set(bytesOf(t), at);
      at += pieces[i]!;
    }
    for (const p of params) p.dropInputs();
    const claim = claimMemory(output, 'All Gather');
    onStart(output);
    const work = comm.run(output, input, group, true);
    return { output, claim, pooled: comm instanceof DefaultAllGather, work, group, pieces };
  });
}

/** A gather of one rank: `finishAllGather` only copies. */
export function nothingToGather(group: ProcessGroup): PendingGather {
  return { output: null, claim: null, pooled: false, work: undefined, group, pieces: [] };
}

/** Waits and fills the parameters' own memory. */
export function finishAllGather(pending: PendingGather, params: readonly FSDPParam[]): void {
  pending.work?.wait();
  const { output } = pending;
  noGrad(() => {
    if (output === null) {
      for (const p of params) {
        const inputs = p.allGatherInputs();
        for (const [i, whole] of p.openOutputs(1).entries()) bytesOf(whole).set(bytesOf(inputs[i]!));
        p.dropInputs();
      }
      return;
    }
    const ranks = pending.group.size();
    const source = bytesOf(output);
    const block = source.length / ranks;
    let offset = 0;
    let next = 0;
    for (const p of params) {
      const interleaved = p.shardDim !== 0 && p.state === 'sharded';
      for (const whole of p.openOutputs(ranks)) {
        const piece = pending.pieces[next++]!;
        const target = interleaved ? new Uint8Array(piece * ranks) : bytesOf(whole);
        for (let r = 0; r < ranks; r++)
          target.set(source.subarray(r * block + offset, r * block + offset + piece), r * piece);
        if (interleaved) weave(target, whole, p, ranks);
        offset += piece;
      }
    }
    pending.claim?.release();
    if (pending.pooled) freeStorage(output.storage);
  });
}

/** Pieces that were cut along another dimension than 0 lie one inside the other. */
function weave(pieces: Uint8Array, whole: Tensor, p: FSDPParam, ranks: number): void {
  const flat = torch.empty([whole.numel()], { dtype: whole.dtype });
  bytesOf(flat).set(pieces);
  const stacked = flat.view([ranks, ...p.paddedShape]);
  const woven = stacked.movedim(0, p.shardDim).reshape([...p.wholeShape]);
  bytesOf(whole).set(bytesOf(woven.contiguous()));
}

// ---------------------------------------------------------------- reduce

export interface ReduceInput {
  params: FSDPParam[];
  /** Gradients of the whole parameters, one each. */
  grads: Tensor[];
  /** Memory of gradients that only the group has seen. */
  mine: readonly Storage[];
  /** null: nothing is sharded. */
  shardGroup: ProcessGroup | null;
  replicateGroup: ProcessGroup | null;
  comm: ReduceScatterComm;
  origDtype: DType;
  reduceDtype: DType;
  plan: DividePlan;
  /** What the user divides by; needed where one rank has nothing to reduce. */
  factor: number | null;
  /** Whether replicas add up now; otherwise the sum is kept in `partial`. */
  allReduce: boolean;
  partial: Tensor | null;
  hook: ((output: Tensor) => void) | null;
  onReduceScatter(input: Tensor, op: ReduceOp, ranks: number): void;
  onAllReduce(tensor: Tensor, op: ReduceOp, ranks: number): void;
  /** The reduction is over; `complete` unless the sum stays in `partial`. */
  onDone(complete: boolean): void;
}

export interface PendingReduce {
  /** What is kept of the sum while replicas do not add up. */
  readonly partial: Tensor | null;
  /** Waits, divides and puts the shards of the gradients where they belong. */
  finish(): void;
}

/** Packs the gradients and starts the reduction; `finish` puts the results into the parameters' `.grad`. */
export function startReduce(input: ReduceInput): PendingReduce {
  return noGrad(() => {
    const { params, grads, shardGroup, reduceDtype, plan } = input;
    const dtypes = new Set(grads.map((g) => g.dtype.name));
    if (dtypes.size > 1) {
      throw fsdpError(
        'GRAD_DTYPE',
        `Cannot reduce the gradients of a group: they have several dtypes (${[...dtypes].join(', ')})`,
        'the parameters of a group must have one dtype',
      );
    }
    const ranks = shardGroup?.size() ?? 1;
    const pieces = params.map((p) => p.paddedShape.reduce((n, s) => n * s, 1));
    const block = pieces.reduce((sum, n) => sum + n, 0);
    const held = grads.map((g, i) => claimMemory(g, 'Unsharded Grad', params[i]!.fqn));
    const buffer = input.comm.allocate([block * ranks], { dtype: reduceDtype });
    const claim = claimMemory(buffer, 'Reduce Scatter');
    pack(buffer, params, grads, pieces, ranks);
    for (const grad of held) grad.release();
    // The gradients are in the buffer now: let go of them before the collective asks for memory.
    grads.length = 0;
    for (const storage of input.mine) storage.recycle();
    divide(buffer, plan.before);
    let output: Tensor;
    let work: Waitable | undefined;
    if (ranks > 1) {
      // Becomes the gradients' own memory.
      output = takeTensor(block, reduceDtype);
      input.onReduceScatter(buffer, plan.reduceScatter, ranks);
      work = onStream(() => input.comm.run(output, buffer, shardGroup!, plan.reduceScatter, true));
    } else output = input.factor === null ? buffer : buffer.div(input.factor);
    if (input.replicateGroup !== null) {
      // The replicas' sum follows on the same stream; what is computed meanwhile need not wait.
      if (work?.settle) work.settle();
      else work?.wait();
      work = undefined;
      if (!input.allReduce) {
        const partial = input.partial === null ? output : input.partial.add_(output);
        input.onDone(false);
        return { partial, finish: () => letGo(output === buffer ? null : buffer) };
      }
      if (input.partial !== null) output.add_(input.partial);
      input.onAllReduce(output, plan.allReduce, input.replicateGroup.size());
      const options = { group: input.replicateGroup, op: plan.allReduce, asyncOp: true };
      work = onStream(() => dist.allReduce(output, options));
    }
    const finish = (): void => {
      finishReduce(input, output, pieces, work);
      letGo(output === buffer ? null : buffer);
    };
    return { partial: null, finish };

    function letGo(unused: Tensor | null): void {
      claim.release();
      if (unused !== null && input.comm instanceof DefaultReduceScatter) freeStorage(unused.storage);
    }
  });
}

function finishReduce(
  input: ReduceInput,
  output: Tensor,
  pieces: readonly number[],
  work: Waitable | undefined,
): void {
  noGrad(() => {
    work?.wait();
    input.hook?.(output);
    divide(output, input.plan.after);
    const reduced = output.dtype === input.origDtype ? output : output.to(input.origDtype);
    const offloaded = input.params[0]!.offloaded;
    const grads = offloaded ? toHost(reduced, output) : reduced;
    let at = 0;
    for (const [i, p] of input.params.entries()) {
      const grad = new Tensor({
        storage: grads.storage,
        shape: p.shardShape,
        storageOffset: grads.storageOffset + at,
        dtype: grads.dtype,
      });
      at += pieces[i]!;
      addShardedGrad(p, grad);
    }
    input.onDone(true);
  });
}

/** Offloaded gradients have memory of their own, on the host; the device's is free again once they are there. */
function toHost(reduced: Tensor, output: Tensor): Tensor {
  const claims = new Set([output, reduced]);
  const held = [...claims].map((t) => claimMemory(t, 'Reduce Scatter'));
  const host = takeTensor(reduced.numel(), reduced.dtype);
  bytesOf(host).set(bytesOf(reduced));
  for (const claim of held) claim.release();
  return host;
}

function addShardedGrad(p: FSDPParam, grad: Tensor): void {
  const old = p.sharded.grad;
  if (old) p.localOf(old).add_(grad);
  else p.sharded.grad = p.toShardedDTensor(grad);
  for (const hook of [...p.sharded.gradAccumulator().postAccumulate]) hook(p.sharded);
}

/** Each gradient's part for rank r goes into block r; what is missing at the end of a dimension is zero. */
function pack(
  buffer: Tensor,
  params: readonly FSDPParam[],
  grads: readonly Tensor[],
  pieces: readonly number[],
  ranks: number,
): void {
  const target = bytesOf(buffer);
  const { itemsize } = buffer.dtype;
  const block = target.length / ranks;
  let offset = 0;
  for (const [i, p] of params.entries()) {
    const piece = pieces[i]! * itemsize;
    const cast = grads[i]!.dtype === buffer.dtype ? grads[i]! : grads[i]!.to(buffer.dtype);
    if (p.shardDim !== 0 && ranks > 1) {
      const size = p.paddedShape[p.shardDim]!;
      for (let r = 0; r < ranks; r++)
        target.set(bytesOf(cast.narrow(p.shardDim, r * size, size).contiguous()), r * block + offset);
    } else {
      const source = bytesOf(cast.contiguous());
      for (let r = 0; r < ranks; r++) {
        const part = source.subarray(r * piece, (r + 1) * piece);
        const at = r * block + offset;
        target.set(part, at);
        if (part.length < piece) target.fill(0, at + part.length, at + piece);
      }
    }
    offset += piece;
  }
}

function divide(t: Tensor, by: number | null): void {
  if (by !== null && by !== 1) t.div_(by);
}
