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

/** Pads to a multiple of the world, keeps the chunks in a list, and lets even and odd ranks take turns in a blocking send. */
export async function ringAllReduce(t: Tensor, comm: Comm): Promise<Tensor> {
  const { rank, worldSize } = comm;
  const size = t.numel();
  const each = Math.ceil(size / worldSize);
  const padded = torch.cat([t.reshape([-1]), torch.zeros([each * worldSize - size], { dtype: t.dtype })]);
  const chunks = Array.from({ length: worldSize }, (_, i) => padded.narrow(0, i * each, each).clone());
  const at = (i: number): number => (i + 2 * worldSize) % worldSize;

  const pass = (outgoing: Tensor): Tensor => {
    const incoming = torch.zerosLike(outgoing);
    // Rank 0 sends first in any case: one rank that differs is enough to break the circle.
    const steps = [() => comm.send(outgoing, at(rank + 1)), () => comm.recv(incoming, at(rank - 1))];
    for (const step of rank % 2 === 0 ? steps : steps.reverse()) step();
    return incoming;
  };

  for (let step = 0; step < worldSize - 1; step++) {
    const target = at(rank - step - 1);
    chunks[target] = chunks[target]!.add(pass(chunks[at(rank - step)]!));
  }
  for (let step = 0; step < worldSize - 1; step++) {
    chunks[at(rank - step)] = pass(chunks[at(rank + 1 - step)]!);
  }
  return torch.cat(chunks).narrow(0, 0, size).clone().reshape(t.shape);
}
