// fails: wrong in rounds, "rounds"
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

export function treeBroadcast(t: Tensor, root: number, comm: Comm): Tensor {
  const { rank, worldSize } = comm;
  const me = (rank - root + worldSize) % worldSize;
  const out = t.clone();
  if (me > 0) comm.recv(out, (rank + worldSize - 1) % worldSize);
  if (me < worldSize - 1) comm.send(out, (rank + 1) % worldSize);
  return out;
}
