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

/** The root's `t`, in a new tensor on every rank. */
export function treeBroadcast(t: Tensor, root: number, comm: Comm): Tensor {
  // TODO: in each round, every rank that has the data sends it to one that has not.
  throw new Error(`rank ${comm.rank} has not begun: ${t.shape.length} dimensions, root ${root}`);
}
