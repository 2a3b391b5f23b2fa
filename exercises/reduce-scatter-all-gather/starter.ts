import type { Tensor } from 'shardbook';

/** An operation that has begun. */
export interface Work {
  wait(): void;
}

/** All that you have to reach the other ranks. */
export interface Comm {
  readonly rank: number;
  readonly worldSize: number;
  /** May return only when `dst` has received. */
  send(tensor: Tensor, dst: number): void;
  /** Waits for a tensor from `src` and fills `tensor` with it. */
  recv(tensor: Tensor, src: number): void;
  isend(tensor: Tensor, dst: number): Work;
  irecv(tensor: Tensor, src: number): Work;
}

/** Chunk `rank` of the sum of all ranks' `t`. */
export function reduceScatter(t: Tensor, comm: Comm): Tensor {
  // TODO: partial sums go round the ring.
  throw new Error(`rank ${comm.rank} has not begun on ${t.numel()} elements`);
}

/** All ranks' chunks one after the other. */
export function allGather(chunk: Tensor, comm: Comm): Tensor {
  // TODO: chunks go round the ring.
  throw new Error(`rank ${comm.rank} has not begun on ${chunk.numel()} elements`);
}
