// fails: wrong in input-unchanged, "an earlier call"
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

const kept: Record<string, Tensor> = {};

/** The root's `t`, in a new tensor on every rank. */
export function treeBroadcast(t: Tensor, root: number, comm: Comm): Tensor {
  const { rank, worldSize } = comm;
  // Counted from the root, so that the tree always begins at 0.
  const me = (rank - root + worldSize) % worldSize;
  const key = `${t.shape.join()} ${t.dtype.name}`;
  const out = kept[key] ?? t.clone();
  kept[key] = out.copy_(t);
  for (let reached = 1; reached < worldSize; reached *= 2) {
    if (me < reached) {
      const peer = me + reached;
      if (peer < worldSize) comm.send(out, (peer + root) % worldSize);
    } else if (me < 2 * reached) {
      comm.recv(out, (me - reached + root) % worldSize);
    }
  }
  return out;
}
