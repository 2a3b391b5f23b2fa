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
  const me = (comm.rank - root + comm.worldSize) % comm.worldSize;
  const out = t.clone();
  const share = (low: number, high: number): void => {
    if (high - low < 2) return;
    const middle = low + Math.ceil((high - low) / 2);
    if (me === low) comm.isend(out, (middle + root) % comm.worldSize).wait();
    if (me === middle) comm.irecv(out, (low + root) % comm.worldSize).wait();
    if (me < middle) share(low, middle);
    else share(middle, high);
  };
  share(0, comm.worldSize);
  return out;
}
