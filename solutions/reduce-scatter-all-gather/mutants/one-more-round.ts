// fails: wrong in traffic, "messages were sent"
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

function exchange(outgoing: Tensor, incoming: Tensor, comm: Comm): void {
  const { rank, worldSize } = comm;
  const work = comm.isend(outgoing, (rank + 1) % worldSize);
  comm.recv(incoming, (rank + worldSize - 1) % worldSize);
  work.wait();
}

/** Chunk `rank` of the sum of all ranks' `t`. */
export function reduceScatter(t: Tensor, comm: Comm): Tensor {
  const { rank, worldSize } = comm;
  const each = t.numel() / worldSize;
  const chunk = (i: number): Tensor => t.narrow(0, ((i + worldSize) % worldSize) * each, each);
  // What goes round: first the chunk of the left neighbour, in the end the own one.
  let sum = chunk(rank - 1).clone();
  for (let step = 1; step < worldSize; step++) {
    const incoming = torch.emptyLike(sum);
    exchange(sum, incoming, comm);
    sum = incoming.add(chunk(rank - 1 - step));
  }
  if (worldSize > 1) exchange(torch.empty([0]), torch.empty([0]), comm);
  return sum;
}

/** All ranks' chunks one after the other. */
export function allGather(chunk: Tensor, comm: Comm): Tensor {
  const { rank, worldSize } = comm;
  const each = chunk.numel();
  const out = torch.empty([worldSize * each], { dtype: chunk.dtype });
  const place = (i: number): Tensor => out.narrow(0, ((i + worldSize) % worldSize) * each, each);
  place(rank).copy_(chunk);
  for (let step = 0; step < worldSize - 1; step++) {
    const incoming = torch.emptyLike(chunk);
    exchange(place(rank - step), incoming, comm);
    place(rank - step - 1).copy_(incoming);
  }
  return out;
}
