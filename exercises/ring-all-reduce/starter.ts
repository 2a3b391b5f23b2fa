import type { Tensor } from 'shardbook';

/** An operation that has begun. */
export interface Work {
  /** Returns when the operation is complete. */
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

/** The sum of all ranks' `t`, in a new tensor; `t` stays as it is. */
export function ringAllReduce(t: Tensor, comm: Comm): Tensor {
  // TODO: cut into chunks, then N - 1 steps that add, then N - 1 steps that copy.
  throw new Error(`rank ${comm.rank} has not begun on its ${t.shape.length}-d tensor`);
}
