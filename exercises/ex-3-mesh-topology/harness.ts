import { type DeviceMesh, dist, type Tensor, torch } from 'shardbook';

type Sizes = { readonly pp?: number; readonly dp?: number; readonly tp?: number };

/** A function that waits for something may be asynchronous. */
type Awaitable<T> = T | Promise<T>;

interface Submission {
  buildMesh(sizes: Sizes): Awaitable<DeviceMesh>;
  report(mesh: DeviceMesh): unknown;
  sumAlong(t: Tensor, mesh: DeviceMesh, name: string): Awaitable<Tensor>;
}

export async function reported({ buildMesh, report }: Submission, sizes: Sizes) {
  const mesh = await buildMesh(sizes);
  return {
    names: [...(mesh.meshDimNames ?? [])],
    shape: [...mesh.shape],
    ranks: [...mesh.ranks],
    report: await report(mesh),
  };
}

export async function refused({ buildMesh }: Submission, sizes: Sizes): Promise<string> {
  try {
    return `a mesh of ${(await buildMesh(sizes)).size()} ranks`;
  } catch (error) {
    return `refused: ${(error as Error).message}`;
  }
}

/**
 * As many numbers as asked for, each this rank's; returns the first and the last one of the sum, what became of the input, and
 * whether the sum is the input.
 */
export async function summed(
  { buildMesh, sumAlong }: Submission,
  sizes: Sizes,
  name: string,
  count: number,
  dtype: 'float32' | 'int64',
) {
  const t = torch.full([count], dist.getRank(), { dtype: torch[dtype] });
  const sum = await sumAlong(t, await buildMesh(sizes), name);
  const ends = (of: Tensor): Tensor => torch.stack([of.get(0), of.get(-1)]);
  const seen = { sum: ends(sum), input: ends(t), count: sum.numel() };
  sum.add_(1);
  return { ...seen, isInput: !torch.equal(ends(t), seen.input) };
}
