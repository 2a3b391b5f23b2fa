/** What every rank knows of a distributed tensor: the whole's shape, and how it lies on the mesh. */
import type { DType } from '../../tensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { isShardLike, type Placements, placementsText, StridedShardPlacement } from './placements.js';

/** Shape, strides and dtype of a whole tensor. */
export interface TensorMeta {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly dtype: DType;
}

export class DTensorSpec implements TensorMeta {
  /** Equal specs have equal keys. */
  readonly key: string;
  constructor(
    readonly mesh: DeviceMesh,
    readonly placements: Placements,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly dtype: DType,
  ) {
    this.key = `${placements.map((p) => p.key).join(' ')};${shape.join()};${strides.join()};${dtype.name}`;
  }

  static of(mesh: DeviceMesh, placements: Placements, meta: TensorMeta): DTensorSpec {
    return new DTensorSpec(mesh, placements, meta.shape, meta.strides, meta.dtype);
  }

  get ndim(): number {
    return this.shape.length;
  }

  /** The same tensor, lying otherwise. */
  placed(placements: Placements): DTensorSpec {
    return new DTensorSpec(this.mesh, placements, this.shape, this.strides, this.dtype);
  }

  /** The same placements of another tensor. */
  withMeta(meta: TensorMeta): DTensorSpec {
    return DTensorSpec.of(this.mesh, this.placements, meta);
  }

  get isReplicated(): boolean {
    return this.placements.every((p) => p.isReplicate());
  }

  get isSharded(): boolean {
    return this.placements.some(isShardLike);
  }

  get hasStrided(): boolean {
    return this.placements.some((p) => p instanceof StridedShardPlacement);
  }

  /** In how many pieces each dimension is cut. */
  get shardsPerDim(): number[] {
    const out = this.shape.map(() => 1);
    this.placements.forEach((p, axis) => {
      if (isShardLike(p)) out[p.dim] = (out[p.dim] ?? 1) * this.mesh.size(axis);
    });
    return out;
  }

  /** In how many pieces the tensor is cut. */
  get shardCount(): number {
    return this.placements.reduce((n, p, axis) => n * (isShardLike(p) ? this.mesh.size(axis) : 1), 1);
  }

  /** `f32[1024, 512] S(1) on mesh (tp=4)`, as errors write it. */
  toString(): string {
    return `${this.dtype.short}[${this.shape.join(', ')}] ${placementsText(this.placements)} on mesh ${this.mesh.describe()}`;
  }
}
