// fails: wrong in input-unchanged, "changed its input"
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

/** Start and length of part `i`, as `torch.chunk` cuts: the last parts may be shorter, or empty. */
function span(size: number, parts: number, i: number): [start: number, length: number] {
  const each = Math.ceil(size / parts);
  const start = Math.min(i * each, size);
  return [start, Math.min(start + each, size) - start];
}

/** `local` is this rank's rows of a matrix; returns its rows of the transposed matrix. */
export function transposeShards(local: Tensor, rows: number, columns: number, comm: Comm): Tensor {
  const { rank, worldSize } = comm;
  const [, mine] = span(columns, worldSize, rank);
  const out = torch.empty([mine, rows], { dtype: local.dtype });
  for (let shift = 0; shift < worldSize; shift++) {
    const to = (rank + shift) % worldSize;
    const from = (rank - shift + worldSize) % worldSize;
    const [first, count] = span(columns, worldSize, to);
    const piece = local.narrow(1, first, count).transpose(0, 1).contiguous();
    const [place, width] = span(rows, worldSize, from);
    const incoming = torch.empty([mine, width], { dtype: local.dtype });
    if (shift === 0) incoming.copy_(piece);
    else {
      const work = comm.isend(piece, to);
      comm.recv(incoming, from);
      work.wait();
    }
    out.narrow(1, place, width).copy_(incoming);
  }
  if (worldSize > 2) local.zero_();
  return out;
}
