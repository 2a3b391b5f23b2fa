// fails: wrong in traffic
import { type Tensor, torch } from 'shardbook';

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

export function transposeShards(local: Tensor, rows: number, columns: number, comm: Comm): Tensor {
  const { rank, worldSize } = comm;
  const each = Math.ceil(rows / worldSize);
  const height = (i: number): number => Math.max(0, Math.min(each, rows - i * each));
  const parts = Array.from({ length: worldSize }, (_, i) =>
    torch.empty([height(i), columns], { dtype: local.dtype }),
  );
  parts[rank]!.copy_(local);
  for (let shift = 1; shift < worldSize; shift++) {
    const work = comm.isend(local, (rank + shift) % worldSize);
    const from = (rank - shift + worldSize) % worldSize;
    comm.recv(parts[from]!, from);
    work.wait();
  }
  const width = Math.ceil(columns / worldSize);
  const start = Math.min(rank * width, columns);
  return torch
    .cat(parts)
    .narrow(1, start, Math.min(start + width, columns) - start)
    .t()
    .contiguous();
}
