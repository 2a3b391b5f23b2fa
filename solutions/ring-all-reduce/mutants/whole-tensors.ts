// fails: wrong in bytes-per-rank, "is the tensor cut into chunks"
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
  const parts: Tensor[] = new Array(worldSize);
  parts[rank] = t.clone();
  for (let step = 0; step < worldSize - 1; step++) {
    const from = (rank - step - 1 + worldSize) % worldSize;
    const work = comm.isend(parts[(from + 1) % worldSize]!, (rank + 1) % worldSize);
    parts[from] = torch.emptyLike(t);
    comm.recv(parts[from]!, (rank + worldSize - 1) % worldSize);
    work.wait();
  }
  // The same order on every rank, so that all get the same bits.
  const sum = torch.zerosLike(t);
  for (const part of parts) sum.add_(part);
  return sum;
}
