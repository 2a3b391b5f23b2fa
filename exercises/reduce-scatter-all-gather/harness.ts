import { type Tensor, torch } from 'shardbook';

interface Submission {
  reduceScatter(t: Tensor, comm: unknown): Tensor | Promise<Tensor>;
}

/** A large input that is made here: `each` elements for each rank. Returns the first numbers of the result. */
export async function scattered({ reduceScatter }: Submission, each: number, world: number, comm: unknown) {
  const t = torch.ones([each * world]);
  const own = await reduceScatter(t, comm);
  return own.narrow(0, 0, 4).clone();
}
