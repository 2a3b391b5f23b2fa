/** An n-dimensional arrangement of ranks, with a process group for each axis. */
import { nearestName } from '../../base/index.js';
import { type Tensor, torch } from '../../tensor/index.js';
import { dist, type Group, ProcessGroup } from '../group/index.js';
import { withMesh } from './current.js';
import { meshError } from './errors.js';
import { makeAxisGroup } from './groups.js';
import {
  blocks,
  collapse,
  cutAxis,
  isOrthogonal,
  isSorted,
  layoutText,
  type MeshLayout,
  rowMajor,
  sizeOf,
} from './layout.js';
import { type RankTable, readTable } from './table.js';

export interface MeshOptions {
  /** A name for each axis. */
  meshDimNames?: readonly string[] | null;
}

/** What a mesh is made of when it is derived from another. */
interface Parts {
  deviceType: string;
  layout: MeshLayout;
  rankMap: readonly number[];
  names: readonly string[] | null;
  root: DeviceMesh | null;
  /** null: make them. */
  groups: readonly ProcessGroup[] | null;
}

/** Ranks in n dimensions, each axis with a process group of its own (torch.distributed.device_mesh). */
export class DeviceMesh {
  readonly deviceType: string;
  readonly shape: readonly number[];
  readonly meshDimNames: readonly string[] | null;
  /** Equal meshes have equal keys. */
  readonly key: string;
  readonly #layout: MeshLayout;
  readonly #rankMap: readonly number[];
  readonly #root: DeviceMesh | null;
  /** Own group of each axis; empty on ranks outside the mesh. */
  readonly #groups: readonly ProcessGroup[];
  readonly #flattened = new Map<string, DeviceMesh>();
  readonly #ranks: readonly number[];
  readonly #coordinate: readonly number[] | null;
  #tensor: Tensor | undefined;

  /** A mesh of this table of global ranks (nested lists or an integer tensor). Every rank of the world makes it. */
  constructor(deviceType: string, mesh: RankTable | Tensor, options?: MeshOptions);
  constructor(mesh: RankTable | Tensor, options?: MeshOptions);
  /** @internal */
  constructor(parts: Parts);
  constructor(
    first: string | RankTable | Tensor | Parts,
    second?: RankTable | Tensor | MeshOptions,
    third?: MeshOptions,
  ) {
    const parts = isParts(first) ? first : partsOfTable(first, second, third);
    this.deviceType = parts.deviceType;
    this.#layout = parts.layout;
    this.#rankMap = parts.rankMap;
    this.meshDimNames = parts.names && parts.names.length > 0 ? [...parts.names] : null;
    this.#root = parts.root;
    this.shape = parts.layout.map(sizeOf);
    this.key = [
      parts.rankMap.join(','),
      layoutText(parts.layout),
      parts.deviceType,
      this.meshDimNames?.join(',') ?? '',
    ].join('|');
    if (!isOrthogonal(collapse(parts.layout))) {
      throw meshError(
        'SB_MESH_OVERLAP',
        `Cannot make a mesh of shape [${this.shape.join(', ')}]: its axes overlap`,
      );
    }
    dist.initProcessGroup();
    const world = dist.getWorldSize();
    if (parts.groups === null && this.size() > world) {
      throw meshError(
        'SB_MESH_TOO_BIG',
        `Cannot make a mesh of ${this.size()} ranks: the world has ${world}`,
        `the sizes must multiply to ${world} at most`,
      );
    }
    this.#groups = parts.groups ?? this.#makeGroups();
    this.#ranks = this.#ownBlock();
    this.#coordinate = this.#findCoordinate();
  }

  #makeGroups(): ProcessGroup[] {
    const made = this.#layout.map((axis, d) =>
      makeAxisGroup(axis, this.#rankMap, this.meshDimNames?.[d] ?? String(d)),
    );
    return made.filter((group) => group instanceof ProcessGroup);
  }

  /** The ranks of this mesh, row by row: of all blocks with its layout, the one that holds this rank. */
  #ownBlock(): readonly number[] {
    const all = blocks(collapse(this.#layout), this.#rankMap.length);
    const rank = dist.getRank();
    const own =
      all.length === 1 ? all[0]! : all.find((block) => block.some((at) => this.#rankMap[at] === rank));
    if (own === undefined) {
      throw meshError(
        'SB_MESH_NOT_MEMBER',
        `Cannot take a part of mesh ${(this.#root ?? this).describe()} on rank ${rank}: the rank is not in the mesh, so no part is its own`,
        'slice the mesh on its ranks only',
      );
    }
    // A merged layout runs through its positions in the order of the unmerged axes.
    return own.map((at) => this.#rankMap[at]!);
  }

  #findCoordinate(): readonly number[] | null {
    let at = this.#ranks.indexOf(dist.getRank());
    if (at < 0) return null;
    const out: number[] = [];
    for (let d = this.shape.length - 1; d >= 0; d--) {
      out.unshift(at % this.shape[d]!);
      at = Math.floor(at / this.shape[d]!);
    }
    return out;
  }

  // ---------------------------------------------------------------- what it is

  get ndim(): number {
    return this.shape.length;
  }

  /** Number of ranks, or of those along one axis. */
  size(meshDim?: number | null): number {
    if (meshDim === undefined || meshDim === null) return this.shape.reduce((n, size) => n * size, 1);
    return this.shape[this.#axisIndex(meshDim, 'size')]!;
  }

  /** The table of global ranks. */
  get mesh(): Tensor {
    this.#tensor ??= torch.tensor([...this.#ranks], { dtype: torch.int32 }).reshape([...this.shape]);
    return this.#tensor;
  }

  /** The global ranks, row by row. */
  get ranks(): readonly number[] {
    return this.#ranks;
  }

  /** The global rank of this rank. */
  getRank(): number {
    return dist.getRank();
  }

  /** Position of this rank along each axis; null when it is not in the mesh. */
  getCoordinate(): number[] | null {
    return this.#coordinate === null ? null : [...this.#coordinate];
  }

  /** The coordinate of any global rank; null when it is not in the mesh. */
  coordinateOf(rank: number): number[] | null {
    let at = this.#ranks.indexOf(rank);
    if (at < 0) return null;
    const out: number[] = [];
    for (let d = this.shape.length - 1; d >= 0; d--) {
      out.unshift(at % this.shape[d]!);
      at = Math.floor(at / this.shape[d]!);
    }
    return out;
  }

  get isMember(): boolean {
    return this.#coordinate !== null;
  }

  /** The mesh that this one was cut from; itself if none. */
  getRootMesh(): DeviceMesh {
    return this.#root ?? this;
  }

  equals(other: unknown): boolean {
    return other === this || (other instanceof DeviceMesh && other.key === this.key);
  }

  // ---------------------------------------------------------------- groups

  /** This rank's process group along an axis (index or name). A mesh of one axis needs no argument. */
  getGroup(meshDim?: number | string | null): ProcessGroup {
    let axis = 0;
    if (meshDim === undefined || meshDim === null) {
      if (this.ndim !== 1) throw this.#whichAxis('getGroup', 'getAllGroups() returns those of all axes');
    } else if (typeof meshDim === 'string') {
      const flattened = this.getRootMesh().#flattened.get(meshDim);
      if (flattened) return flattened.getGroup(0);
      axis = this.axisOf(meshDim);
    } else axis = this.#axisIndex(meshDim, 'getGroup');
    const group = this.#groups[axis];
    if (group === undefined) {
      throw meshError(
        'SB_NOT_MEMBER',
        `Cannot get a process group of mesh ${this.describe()}: rank ${dist.getRank()} is not in the mesh`,
        'check getCoordinate(), which is null on ranks outside',
      );
    }
    return group;
  }

  /** This rank's group of every axis. */
  getAllGroups(): ProcessGroup[] {
    return this.shape.map((_, d) => this.getGroup(d));
  }

  /** This rank's position in its group along an axis. */
  getLocalRank(meshDim?: number | string | null): number {
    if ((meshDim === undefined || meshDim === null) && this.ndim > 1)
      throw this.#whichAxis('getLocalRank', 'getCoordinate() has the positions along all axes');
    return dist.getRank(this.getGroup(meshDim ?? 0));
  }

  // ---------------------------------------------------------------- parts

  /** The mesh of these axes alone, with the groups of this mesh: `mesh.get('tp')`, `mesh.get(['dp', 'tp'])`. */
  get(names: string | readonly string[]): DeviceMesh {
    const own = this.#named('slice');
    const wanted = typeof names === 'string' ? [names] : [...names];
    if (wanted.length === own.length && wanted.every((name, i) => name === own[i])) return this;
    // Flattened axes are known by the root alone.
    const flattened = this.#root === null ? this.#flattened : new Map<string, DeviceMesh>();
    const valid = [...own, ...flattened.keys()];
    const unknown = wanted.find((name) => !valid.includes(name));
    if (unknown !== undefined) throw this.#unknownName('slice', unknown, valid);
    const layout = wanted.map((name) =>
      own.includes(name) ? this.#layout[own.indexOf(name)]! : flattened.get(name)!.#layout[0]!,
    );
    const flat = collapse(layout);
    const list = `[${wanted.map((name) => `"${name}"`).join(', ')}]`;
    if (!isSorted(flat)) {
      throw meshError(
        'SB_MESH_ORDER',
        `Cannot slice mesh ${this.describe()} by ${list}: its axes come in another order`,
        `name them in the order of the mesh: ${own.map((name) => `"${name}"`).join(', ')}; DeviceMesh.concatenate([...]) puts axes in any order`,
      );
    }
    if (!isOrthogonal(flat))
      throw meshError(
        'SB_MESH_OVERLAP',
        `Cannot slice mesh ${this.describe()} by ${list}: these axes overlap`,
      );
    const groups = this.isMember
      ? wanted.map((name) =>
          own.includes(name) ? this.#groups[own.indexOf(name)]! : flattened.get(name)!.#groups[0]!,
        )
      : [];
    return this.#derive(layout, wanted, groups);
  }

  /** As `get(names)`. */
  slice(...names: string[]): DeviceMesh {
    return this.get(names);
  }

  /**
   * All axes as one, named `name` (default: the names joined by "_"). The root mesh remembers it: DTensors then reduce over
   * these axes in one collective. Every rank of the world calls it.
   */
  flatten(name?: string | null): DeviceMesh {
    const own = this.#named('flatten');
    const flatName = name || own.join('_');
    if (this.ndim === 1 && own.includes(flatName)) return this;
    const root = this.getRootMesh();
    if (root.meshDimNames?.includes(flatName)) {
      throw meshError(
        'SB_MESH_NAME',
        `Cannot flatten mesh ${this.describe()} as "${flatName}": mesh ${root.describe()} has an axis of that name`,
        'choose another name',
      );
    }
    const layout: MeshLayout = [collapse(this.#layout)];
    const known = root.#flattened.get(flatName);
    if (known) {
      if (layoutText(known.#layout) === layoutText(layout)) return known;
      throw meshError(
        'SB_MESH_NAME',
        `Cannot flatten mesh ${this.describe()} as "${flatName}": other axes were flattened under that name`,
        'choose another name',
      );
    }
    const made = root.#derive(layout, [flatName], null);
    root.#flattened.set(flatName, made);
    return made;
  }

  /** Cuts one axis (index or name) into several, row by row, and makes their groups. Every rank of the world calls it. */
  unflatten(dim: number | string, sizes: readonly number[], names: readonly string[]): DeviceMesh {
    const own = this.#named('unflatten');
    let axis: number;
    if (typeof dim === 'string') {
      axis = own.indexOf(dim);
      if (axis < 0) throw this.#unknownName('unflatten', dim, own);
    } else axis = this.#axisIndex(dim, 'unflatten');
    if (sizes.length !== names.length) {
      throw meshError(
        'SB_MESH_NAMES',
        `Cannot unflatten axis ${dim} of mesh ${this.describe()}: ${sizes.length} sizes and ${names.length} names are given: wanted as many`,
      );
    }
    const product = sizes.reduce((n, size) => n * size, 1);
    if (product !== this.shape[axis]) {
      throw meshError(
        'SB_MESH_SHAPE',
        `Cannot unflatten axis ${dim} of mesh ${this.describe()} into [${sizes.join(', ')}]: they multiply to ${product}, the axis has ${this.shape[axis]} ranks`,
      );
    }
    const cut = cutAxis(this.#layout[axis]!, sizes);
    const layout = [...this.#layout.slice(0, axis), ...cut, ...this.#layout.slice(axis + 1)];
    const allNames = [...own.slice(0, axis), ...names, ...own.slice(axis + 1)];
    const root = this.getRootMesh();
    const made = cut
      .map((part, i) => makeAxisGroup(part, root.#rankMap, names[i]!))
      .filter((group) => group instanceof ProcessGroup);
    const groups = this.isMember
      ? [...this.#groups.slice(0, axis), ...made, ...this.#groups.slice(axis + 1)]
      : [];
    return this.#derive(layout, allNames, groups);
  }

  /** The axes of several meshes of one root, one after the other. */
  static concatenate(meshes: readonly DeviceMesh[]): DeviceMesh {
    const first = meshes[0];
    if (first === undefined)
      throw meshError('SB_BAD_ARGUMENT', 'Cannot concatenate meshes: the list is empty');
    for (const mesh of meshes) {
      if (mesh.#rankMap.join() !== first.#rankMap.join()) {
        throw meshError(
          'SB_MESH_ROOT',
          `Cannot concatenate mesh ${first.describe()} and mesh ${mesh.describe()}: they are parts of different meshes`,
        );
      }
    }
    const layout = meshes.flatMap((mesh) => mesh.#layout);
    if (!isOrthogonal(collapse(layout))) {
      throw meshError(
        'SB_MESH_OVERLAP',
        `Cannot concatenate ${meshes.map((mesh) => `mesh ${mesh.describe()}`).join(' and ')}: they overlap`,
      );
    }
    const names = meshes.flatMap((mesh) => mesh.#named('concatenate'));
    return first.#derive(
      layout,
      names,
      meshes.flatMap((mesh) => mesh.#groups),
    );
  }

  /** The meshes of one axis, for every position along the others. */
  getAllSubmeshes(name: string): DeviceMesh[] {
    const axis = this.axisOf(name);
    const rank = dist.getRank();
    return blocks(this.#layout[axis]!, this.#rankMap.length).map((block) => {
      const rankMap = block.map((at) => this.#rankMap[at]!);
      return new DeviceMesh({
        deviceType: this.deviceType,
        layout: rowMajor([rankMap.length]),
        rankMap,
        names: [name],
        root: null,
        groups: rankMap.includes(rank) ? [this.#groups[axis]!] : [],
      });
    });
  }

  /**
   * A mesh of existing groups: one gives a mesh of one axis; a list needs the table of ranks and the names:
   * `DeviceMesh.fromGroup([dp, tp], 'cpu', [[0, 1], [2, 3]], { meshDimNames: ['dp', 'tp'] })`.
   */
  static fromGroup(
    group: Group | readonly Group[],
    deviceType = 'cpu',
    mesh: RankTable | Tensor | null = null,
    options: MeshOptions = {},
  ): DeviceMesh {
    const names = options.meshDimNames ?? null;
    const groups = (Array.isArray(group) ? group : [group]) as Group[];
    const members = groups.filter((one) => one instanceof ProcessGroup);
    const table = mesh === null ? null : readTable(mesh);
    const parts = { deviceType: checkDeviceType(deviceType), names, root: null, groups: members };
    if (!Array.isArray(group)) {
      const ranks = members[0]?.ranks;
      if (ranks === undefined)
        throw meshError('SB_NOT_MEMBER', 'Cannot make a mesh of a group: this rank is not in it');
      if (table !== null && (table.shape.length !== 1 || table.ranks.join() !== ranks.join())) {
        throw meshError(
          'SB_MESH_TABLE',
          `Cannot make a mesh of a group: the table is [${table.ranks.join(', ')}], the group has ranks [${ranks.join(', ')}]`,
        );
      }
      if (names) checkNames(names, [ranks.length]);
      return new DeviceMesh({ ...parts, layout: rowMajor([ranks.length]), rankMap: [...ranks] });
    }
    if (groups.length === 0)
      throw meshError('SB_BAD_ARGUMENT', 'Cannot make a mesh of groups: the list is empty');
    if (table === null || names === null) {
      throw meshError(
        'SB_BAD_ARGUMENT',
        `Cannot make a mesh of ${groups.length} groups: ${table === null ? 'the table of ranks' : 'names'} must be given`,
        "pass the table and the names: fromGroup(groups, 'cpu', [[0, 1], [2, 3]], { meshDimNames: ['dp', 'tp'] })",
      );
    }
    if (table.shape.length !== groups.length) {
      throw meshError(
        'SB_MESH_TABLE',
        `Cannot make a mesh of ${groups.length} groups: the table has ${table.shape.length} axes, wanted one per group`,
      );
    }
    checkNames(names, table.shape);
    return new DeviceMesh({ ...parts, layout: rowMajor(table.shape), rankMap: table.ranks });
  }

  /** The flattened mesh over these axes of this mesh, if one was made; `axes` are indices in ascending order. */
  flattenedOver(axes: readonly number[]): DeviceMesh | null {
    const wanted = layoutText([collapse(axes.map((axis) => this.#layout[axis]!))]);
    for (const mesh of this.getRootMesh().#flattened.values())
      if (layoutText(mesh.#layout) === wanted) return mesh;
    return null;
  }

  #derive(layout: MeshLayout, names: readonly string[], groups: readonly ProcessGroup[] | null): DeviceMesh {
    const root = this.getRootMesh();
    return new DeviceMesh({
      deviceType: this.deviceType,
      layout,
      rankMap: root.#rankMap,
      names,
      root,
      groups,
    });
  }

  // ---------------------------------------------------------------- names, text

  /** Index of a named axis. */
  axisOf(name: string): number {
    const names = this.meshDimNames;
    if (names === null) {
      throw meshError(
        'SB_MESH_UNNAMED',
        `Cannot find axis "${name}" of mesh ${this.describe()}: its axes have no names`,
        "pass { meshDimNames: ['dp', 'tp'] } when it is made",
      );
    }
    const axis = names.indexOf(name);
    if (axis < 0) throw this.#unknownName('find an axis of', name, names);
    return axis;
  }

  #named(action: string): readonly string[] {
    if (this.meshDimNames === null) {
      throw meshError(
        'SB_MESH_UNNAMED',
        `Cannot ${action} mesh ${this.describe()}: its axes have no names`,
        "pass { meshDimNames: ['dp', 'tp'] } when it is made",
      );
    }
    return this.meshDimNames;
  }

  #unknownName(action: string, name: string, valid: readonly string[]): Error {
    const near = nearestName(name, valid);
    return meshError(
      'SB_MESH_NAME',
      `Cannot ${action} mesh ${this.describe()}: it has no axis "${name}"`,
      near === undefined ? `its axes: ${valid.join(', ')}` : `did you mean "${near}"?`,
    );
  }

  #axisIndex(index: number, action: string): number {
    if (!Number.isInteger(index) || index < -this.ndim || index >= this.ndim) {
      throw meshError(
        'SB_MESH_AXIS',
        `Cannot run ${action} on axis ${index} of mesh ${this.describe()}: it has ${this.ndim} axes, wanted ${-this.ndim} to ${this.ndim - 1}`,
      );
    }
    return index < 0 ? index + this.ndim : index;
  }

  #whichAxis(action: string, help: string): Error {
    return meshError(
      'SB_MESH_AXIS',
      `Cannot run ${action} on mesh ${this.describe()} without an axis: it has ${this.ndim} axes`,
      `pass an index or a name; ${help}`,
    );
  }

  /** `(dp=2, tp=4)`, or the sizes of a mesh without names: how errors write it. */
  describe(): string {
    const names = this.meshDimNames;
    return `(${this.shape.map((size, d) => (names ? `${names[d]}=${size}` : String(size))).join(', ')})`;
  }

  /** As PyTorch prints it: `DeviceMesh((dp=2, tp=4), 'cpu', stride=(4, 1))`. */
  toString(): string {
    const sizes = this.meshDimNames === null ? tupleText(this.shape) : this.describe();
    const strides = this.#layout.map((axis) =>
      axis.length === 1 ? axis[0]!.stride : tupleText(axis.map((extent) => extent.stride)),
    );
    return `DeviceMesh(${sizes}, '${this.deviceType}', stride=${tupleText(strides)})`;
  }

  /** Runs `body` with this mesh as the one that DTensor functions use when none is given. */
  run<R>(body: () => R): R {
    return withMesh(this, body);
  }
}

function tupleText(values: readonly (number | string)[]): string {
  return values.length === 1 ? `(${values[0]},)` : `(${values.join(', ')})`;
}

function isParts(value: unknown): value is Parts {
  return typeof value === 'object' && value !== null && 'rankMap' in value && 'layout' in value;
}

function partsOfTable(
  first: string | RankTable | Tensor,
  second: RankTable | Tensor | MeshOptions | undefined,
  third: MeshOptions | undefined,
): Parts {
  const named = typeof first === 'string';
  const given = (named ? second : first) as RankTable | Tensor | undefined;
  const options = ((named ? third : second) ?? {}) as MeshOptions;
  if (given === undefined) {
    throw meshError('SB_BAD_ARGUMENT', 'Cannot make a mesh: the table of ranks is missing');
  }
  const table = readTable(given);
  dist.initProcessGroup();
  const world = dist.getWorldSize();
  const bad = table.ranks.find((rank) => rank < 0 || rank >= world);
  if (table.ranks.length > world || bad !== undefined) {
    throw meshError(
      'SB_MESH_TOO_BIG',
      table.ranks.length > world
        ? `Cannot make a mesh of ${table.ranks.length} ranks: the world has ${world}`
        : `Cannot make a mesh with rank ${bad}: the world has ranks 0 to ${world - 1}`,
    );
  }
  const names = options.meshDimNames ?? null;
  if (names) checkNames(names, table.shape);
  return {
    deviceType: checkDeviceType(named ? first : 'cpu'),
    layout: rowMajor(table.shape),
    rankMap: table.ranks,
    names,
    root: null,
    groups: null,
  };
}

export function checkDeviceType(deviceType: string): string {
  if (/^[A-Za-z]+$/.test(deviceType)) return deviceType;
  throw meshError(
    'SB_MESH_DEVICE',
    `Cannot make a mesh on device "${deviceType}": wanted a kind of device, without an index`,
    'pass "cpu"',
  );
}

export function checkNames(names: readonly string[], shape: readonly number[]): void {
  if (names.length !== shape.length) {
    throw meshError(
      'SB_MESH_NAMES',
      `Cannot make a mesh of shape [${shape.join(', ')}]: ${names.length} names are given, wanted ${shape.length}`,
    );
  }
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw meshError(
      'SB_MESH_NAMES',
      `Cannot make a mesh: two axes are named "${twice}"`,
      'give each axis a name of its own',
    );
}
