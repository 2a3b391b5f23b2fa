import { type DeviceMesh, dist, type Tensor, torch } from 'shardbook';

type Sizes = { readonly pp?: number; readonly dp?: number; readonly tp?: number };

interface Submission {
  buildMesh(sizes: Sizes): DeviceMesh;
  report(mesh: DeviceMesh): unknown;
  sumAlong(t: Tensor, mesh: DeviceMesh, name: string): Tensor;
}

export function reported({ buildMesh, report }: Submission, sizes: Sizes) {
  const mesh = buildMesh(sizes);
  return {
    names: [...(mesh.meshDimNames ?? [])],
    shape: [...mesh.shape],
    ranks: [...mesh.ranks],
    report: report(mesh),
  };
}

export function refused({ buildMesh }: Submission, sizes: Sizes): string {
  try {
    return `a mesh of ${buildMesh(sizes).size()} ranks`;
  } catch (error) {
    return `refused: ${(error as Error).message}`;
  }
}

/** As many numbers as asked for, each this rank's; returns the first and the last one of the sum, and what became of the input. */
export function summed(
  { buildMesh, sumAlong }: Submission,
  sizes: Sizes,
  name: string,
  count: number,
  dtype: 'float32' | 'int64',
) {
  const t = torch.full([count], dist.getRank(), { dtype: torch[dtype] });
  const sum = sumAlong(t, buildMesh(sizes), name);
  const ends = (of: Tensor): Tensor => torch.stack([of.get(0), of.get(-1)]);
  return { sum: ends(sum), input: ends(t), count: sum.numel() };
}
