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

/** `local` is this rank's rows of a matrix; returns its rows of the transposed matrix. */
export function transposeShards(local: Tensor, rows: number, columns: number, comm: Comm): Tensor {
  // TODO: a piece for every rank, a piece from every rank.
  throw new Error(`rank ${comm.rank} has not begun: ${rows} x ${columns}, ${local.numel()} elements here`);
}
