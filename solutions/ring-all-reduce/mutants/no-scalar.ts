// fails: wrong in shape-and-scale
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
  const sum = t.clone().reshape([-1]);
  const size = sum.numel();
  const each = Math.ceil(size / worldSize);
  const right = (rank + 1) % worldSize;
  const left = (rank + worldSize - 1) % worldSize;

  const chunk = (i: number): Tensor => {
    const index = ((i % worldSize) + worldSize) % worldSize;
    const start = Math.min(index * each, size);
    return sum.narrow(0, start, Math.min(start + each, size) - start);
  };
  const exchange = (outgoing: Tensor, like: Tensor): Tensor => {
    const incoming = torch.emptyLike(like);
    const work = comm.isend(outgoing, right);
    comm.recv(incoming, left);
    work.wait();
    return incoming;
  };

  // Reduce-scatter: afterwards this rank holds the whole sum of chunk rank + 1.
  for (let step = 0; step < worldSize - 1; step++) {
    const mine = chunk(rank - step - 1);
    mine.add_(exchange(chunk(rank - step), mine));
  }
  // All-gather: the finished chunks go round once.
  for (let step = 0; step < worldSize - 1; step++) {
    const mine = chunk(rank - step);
    mine.copy_(exchange(chunk(rank + 1 - step), mine));
  }
  return t.shape.length === 0 ? sum : sum.reshape(t.shape);
}
