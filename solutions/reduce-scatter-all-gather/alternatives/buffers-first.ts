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

export function reduceScatter(t: Tensor, { rank, worldSize, irecv, isend }: Comm): Tensor {
  const chunks = t.chunk(worldSize);
  const at = (i: number): Tensor => chunks[(i + 2 * worldSize) % worldSize]!;
  let sum = (chunks.length === 0 ? t : at(rank - 1)).clone();
  for (let step = 2; step <= worldSize; step++) {
    const next = torch.zerosLike(sum);
    const works = [irecv(next, (rank + worldSize - 1) % worldSize), isend(sum, (rank + 1) % worldSize)];
    for (const work of works) work.wait();
    sum = at(rank - step).add(next);
  }
  return sum;
}

export function allGather(chunk: Tensor, { rank, worldSize, irecv, isend }: Comm): Tensor {
  const parts: Tensor[] = Array.from({ length: worldSize }, () => torch.zerosLike(chunk));
  parts[rank] = chunk.clone();
  for (let step = 0; step < worldSize - 1; step++) {
    const from = (rank - step - 1 + worldSize) % worldSize;
    const works = [
      irecv(parts[from]!, (rank + worldSize - 1) % worldSize),
      isend(parts[(from + 1) % worldSize]!, (rank + 1) % worldSize),
    ];
    for (const work of works) work.wait();
  }
  return torch.cat(parts);
}
