// fails: wrong in same-bits, "in different orders"
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
  let passing = t.clone();
  for (let step = 0; step < worldSize - 1; step++) {
    const work = comm.isend(passing, (rank + 1) % worldSize);
    const incoming = torch.emptyLike(t);
    comm.recv(incoming, (rank + worldSize - 1) % worldSize);
    work.wait();
    sum.add_(incoming);
    passing = incoming;
  }
  return sum;
}
