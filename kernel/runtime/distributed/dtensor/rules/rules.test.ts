/** Rules alone, without ranks: what PyTorch 2.13 chooses for placements of the inputs, recorded from its propagator. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  applyOp,
  type DType,
  type OpName,
  type OpParams,
  type Tensor,
  torch,
} from '../../../tensor/index.js';
import type { DeviceMesh } from '../../mesh/index.js';
import { Partial, type Placement, type Placements, Replicate, Shard, StridedShard } from '../placements.js';
import { propagate } from '../propagate.js';
import { DTensorSpec } from '../spec.js';
import { rules } from './index.js';
import type { AxisRule, MeshRule, RuleCall } from './rule.js';
import { propagateView, viewSources } from './views.js';
import '../plan.js';

interface Recorded {
  name: OpName;
  params: Record<string, unknown>;
  /** `f[8,12]`, a number that stands for one, or null. */
  inputs: (string | number | null)[];
  /** Which of the listed placements each tensor input has; as listed unless given. */
  order?: number[];
  inplace?: boolean;
  /** Placements of the inputs, and of the results (null: it refuses). */
  cases: [string, string | null][];
}

const recorded = JSON.parse(
  readFileSync(new URL('./recorded-placements.json', import.meta.url), 'utf8'),
) as Recorded[];

/** A mesh of this shape with no ranks behind it. */
function meshOf(...shape: number[]): DeviceMesh {
  return {
    shape,
    ndim: shape.length,
    size: (axis?: number) => (axis === undefined ? shape.reduce((a, b) => a * b, 1) : shape[axis]!),
    describe: () => `(${shape.join(', ')})`,
    getCoordinate: () => shape.map(() => 0),
    isMember: true,
  } as unknown as DeviceMesh;
}
const meshes = [meshOf(4), meshOf(2, 2)];

function placementOf(text: string): Placement {
  if (text === 'R') return Replicate();
  const [, kind, args] = /^(S|_S|P)\((.*)\)$/.exec(text)!;
  if (kind === 'P') return Partial(args!);
  const [dim, factor] = args!.split(', ').map(Number);
  return kind === 'S' ? Shard(dim!) : StridedShard(dim!, factor!);
}
const listOf = (text: string): Placements => (text.match(/R|_?[SP]\([^)]*\)/g) ?? []).map(placementOf);

const DTYPES: Readonly<Record<string, DType>> = { f: torch.float32, i: torch.int64, b: torch.bool };

function blank(text: string): Tensor {
  const shape = text.slice(2, -1).split(',').filter(Boolean).map(Number);
  return torch.empty(shape, { dtype: DTYPES[text[0]!]!, device: 'meta' });
}
/** What stands for a number; which one does not matter to placements. */
function number(): Tensor {
  const t = torch.empty([], { dtype: torch.int64, device: 'meta' });
  t.wrapped = true;
  return t;
}
const readParams = (params: Record<string, unknown>): OpParams[OpName] =>
  Object.fromEntries(
    Object.entries(params).map(([key, value]) => {
      if (value === 'inf') return [key, Number.POSITIVE_INFINITY];
      const dtype = (value as { dtype?: string } | null)?.dtype;
      return [key, dtype === undefined ? value : torch[dtype as 'float32']];
    }),
  ) as unknown as OpParams[OpName];

/** Where the results lie; null when the rule refuses. */
function resultOf(entry: Recorded, placements: readonly Placements[]): string | null {
  const tensors = entry.inputs.map((x) => (typeof x === 'string' ? blank(x) : x === null ? null : number()));
  const params = readParams(entry.params);
  const made = applyOp(entry.name, tensors, params as never) as Tensor | Tensor[];
  const outputs = Array.isArray(made) ? made : [made];
  const mesh = meshes[placements[0]!.length - 1]!;
  let next = 0;
  const call: RuleCall = {
    name: entry.name,
    params,
    inputs: tensors.map((x) => {
      if (x === null || x.wrapped) return null;
      const at = next++;
      return new DTensorSpec(mesh, placements[entry.order?.[at] ?? at]!, x.shape, x.strides, x.dtype);
    }),
    outputs,
    mesh,
    inplace: entry.inplace ?? false,
  };
  try {
    const rule = rules[entry.name] as AxisRule<OpName> | MeshRule<OpName>;
    const { chosen } = propagate(call, rule);
    return chosen.out.map((spec) => spec!.placements.join(' ')).join(' | ');
  } catch (error) {
    if ((error as { code?: string }).code === undefined) throw error;
    return null;
  }
}

describe('placements of results are those that PyTorch chooses', () => {
  test.each(
    recorded.map(
      (entry) => [`${entry.name}${entry.inplace ? '_' : ''} ${entry.inputs.join(' ')}`, entry] as const,
    ),
  )('%s', (_name, entry) => {
    const ours = entry.cases.map(([given]) => [given, resultOf(entry, given.split(' | ').map(listOf))]);
    // Of an op with values and indices only the values were recorded.
    const comparable = ours.map(([given, result], i) => {
      const theirs = entry.cases[i]![1];
      const count = theirs === null ? 0 : theirs.split(' | ').length;
      return [
        given,
        typeof result === 'string' && count > 0 ? result.split(' | ').slice(0, count).join(' | ') : result,
      ];
    });
    expect(comparable).toEqual(entry.cases);
  });
});

test('every op of the table has a rule of a known kind', () => {
  for (const [name, rule] of Object.entries(rules))
    expect(['axis', 'mesh', 'compose', 'refuse'], name).toContain(rule.kind);
});

describe('viewSources', () => {
  test('passes, merges and takes apart in the smallest groups', () => {
    expect(viewSources([2, 3, 4], [2, 12])).toEqual([
      { kind: 'dim', dim: 0 },
      { kind: 'merged', dims: [1, 2] },
    ]);
    expect(viewSources([6], [2, 3])).toEqual([
      { kind: 'part', of: { kind: 'dim', dim: 0 }, group: [2, 3], index: 0 },
      { kind: 'part', of: { kind: 'dim', dim: 0 }, group: [2, 3], index: 1 },
    ]);
  });
  test('ends without elements', () => {
    expect(viewSources([0, 3], [0])).toEqual([{ kind: 'dim', dim: 0 }]);
  });
});

describe('propagateView', () => {
  const refuse = (why: string): Error => new Error(why);
  const view = (
    placements: Placements,
    from: number[],
    to: number[],
    mesh: number[],
    strict = true,
  ): string => propagateView(placements, from, viewSources(from, to), mesh, strict, refuse).output.join(' ');

  test('gives a merged dimension that is not the first a StridedShard, and a later split gives it back', () => {
    expect(view([Shard(1)], [8, 6], [48], [2])).toBe('_S(0, 8)');
    expect(view([StridedShard(0, 8)], [48], [8, 6], [2])).toBe('S(1)');
  });
  test('refuses to merge a dimension that is cut unevenly, unless it is the last', () => {
    expect(() => view([Shard(0)], [5, 4], [20], [2])).toThrow('its size 5 is not a multiple of 2 ranks');
    expect(view([Shard(1)], [4, 5], [20], [2])).toBe('_S(0, 4)');
  });
  test('replicates where it may move its input', () => {
    const choice = propagateView([Shard(1)], [8, 6], viewSources([8, 6], [48]), [2], false, refuse);
    expect(choice.input.join()).toBe('R');
  });
});
