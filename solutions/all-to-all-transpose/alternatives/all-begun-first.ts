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
  const cut = (size: number): number[] => {
    const each = Math.ceil(size / worldSize);
    return Array.from({ length: worldSize }, (_, i) => Math.max(0, Math.min(each, size - i * each)));
  };
  const widths = cut(columns);
  const pieces = local.t().split(widths, 0);
  const incoming = cut(rows).map((height) => torch.zeros([widths[rank]!, height], { dtype: local.dtype }));
  const works: Work[] = [];
  for (let peer = 0; peer < worldSize; peer++) {
    if (peer === rank) incoming[peer]!.copy_(pieces[peer]!);
    else works.push(comm.irecv(incoming[peer]!, peer), comm.isend(pieces[peer]!.contiguous(), peer));
  }
  for (const work of works) work.wait();
  return torch.cat(incoming, 1);
}
