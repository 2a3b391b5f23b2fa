/** How many rows a piece has, and where it begins. */
export interface Extent {
  readonly size: number;
  readonly offset: number;
}

/** Piece `index` of `size` rows cut in `pieces` as torch.chunk cuts: ceil(size / pieces) each, the last ones short or empty. */
export function chunkExtent(size: number, pieces: number, index: number): Extent {
  const full = Math.ceil(size / pieces);
  const offset = Math.min(size, full * index);
  return { size: Math.max(0, Math.min(size, offset + full) - offset), offset };
}
