// fails: wrong in neighbours, "does all traffic go through rank 0"
import { type Tensor, torch } from 'shardbook';

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
export function ringAllReduce(t: Tensor, comm: Comm): Tensor {
  const { rank, worldSize } = comm;
  const sum = t.clone();
  if (rank !== 0) {
    comm.send(sum, 0);
    comm.recv(sum, 0);
    return sum;
  }
  const part = torch.emptyLike(t);
  for (let src = 1; src < worldSize; src++) {
    comm.recv(part, src);
    sum.add_(part);
  }
  for (let dst = 1; dst < worldSize; dst++) comm.send(sum, dst);
  return sum;
}
