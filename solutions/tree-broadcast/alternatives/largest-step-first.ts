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
  const real = (i: number): number => (i + root) % worldSize;
  const out = t.clone();
  let step = 1;
  while (step < worldSize) step *= 2;
  for (step /= 2; step >= 1; step /= 2) {
    if (me % (2 * step) === 0 && me + step < worldSize) comm.send(out, real(me + step));
    else if (me % (2 * step) === step) comm.recv(out, real(me - step));
  }
  return out;
}
