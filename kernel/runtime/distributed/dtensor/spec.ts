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

export type StridedMeaning = 'order' | 'layout';

const ids = new Map<string, number>();

/** Mesh, placements, and shape, strides and dtype of the whole; never changed. */
export class DTensorSpec implements TensorMeta {
  /** Equal specs of one mesh have equal keys. */
  readonly key: string;
  #id = 0;
  /**
   * @param strided What a StridedShard means to the planner. `order`: axes to the right were cut first, so that undoing the cuts
   * in that order needs no shuffling (FSDP over tensor parallel). `layout`: rows interleaved by a view, nothing more.
   */
  constructor(
    readonly mesh: DeviceMesh,
    readonly placements: Placements,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly dtype: DType,
    readonly strided: StridedMeaning = 'order',
  ) {
    const text = `${placements.map((p) => p.key).join(' ')};${shape.join()};${strides.join()};${dtype.name}`;
    this.key = strided === 'layout' && this.hasStrided ? `${text};layout` : text;
  }

  static of(
    mesh: DeviceMesh,
    placements: Placements,
    meta: TensorMeta,
    strided?: StridedMeaning,
  ): DTensorSpec {
    return new DTensorSpec(mesh, placements, meta.shape, meta.strides, meta.dtype, strided);
  }

  /** A small number that stands for the key. */
  get id(): number {
    if (this.#id === 0) {
      const known = ids.get(this.key);
      this.#id = known ?? ids.size + 1;
      if (known === undefined) ids.set(this.key, this.#id);
    }
    return this.#id;
  }

  get ndim(): number {
    return this.shape.length;
  }

  /** The same tensor, lying otherwise. */
  placed(placements: Placements): DTensorSpec {
    return new DTensorSpec(this.mesh, placements, this.shape, this.strides, this.dtype, this.strided);
  }

  /** The same placements of another tensor. */
  withMeta(meta: TensorMeta): DTensorSpec {
    return DTensorSpec.of(this.mesh, this.placements, meta, this.strided);
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
