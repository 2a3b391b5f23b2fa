/** Is a mesh laid out as it should be: groups checked by talking over them, axes against the nodes they lie on. */

import { torch } from '../../tensor/index.js';
import { dist } from '../group/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { cell, code, figure, fill, head, line, row, table, textTable } from './html.js';
import {
  axisName,
  coordinateText,
  groupsAlong,
  meshText,
  panelsOf,
  panelTable,
  panelTitle,
} from './mesh-view.js';
import { list } from './slices.js';
import { columns } from './text.js';

export interface MeshAnalysisOptions {
  /** Ranks on one node: ranks 0 to ranksPerNode - 1 are node 0, and so on. Default: all on one node. */
  ranksPerNode?: number;
  /** Axes whose collectives are on the critical path and should stay inside a node. Default: tp, ep and cp. */
  heavyAxes?: readonly string[];
}

/** What one axis of a mesh crosses. */
export interface AxisAnalysis {
  readonly name: string;
  readonly size: number;
  readonly groups: readonly (readonly number[])[];
  /** Groups whose ranks lie on more than one node. */
  readonly crossing: readonly (readonly number[])[];
  /** Nodes that one group spans at most. */
  readonly nodesSpanned: number;
}

/** Something that looks wrong, and what to do. */
export interface MeshFinding {
  readonly level: 'error' | 'warning' | 'note';
  /** The axis that it is about; null: the mesh. */
  readonly axis: string | null;
  readonly message: string;
  readonly help: string;
}

const mimeKey: unique symbol = Symbol.for('shardbook.toMime') as never;
const HEAVY = ['tp', 'ep', 'cp'];

/** What an analysis found; `display` draws it. */
export class MeshAnalysis {
  constructor(
    readonly mesh: DeviceMesh,
    readonly axes: readonly AxisAnalysis[],
    readonly findings: readonly MeshFinding[],
    readonly ranksPerNode: number,
  ) {}

  /** Whether nothing worse than a note was found. */
  get ok(): boolean {
    return this.findings.every((finding) => finding.level === 'note');
  }

  toString(): string {
    const axes = this.axes.map((axis) => [
      axis.name,
      String(axis.size),
      axis.crossing.length === 0 ? 'inside nodes' : `crosses nodes (${axis.nodesSpanned})`,
      axis.groups.map((group) => list(group)).join(' '),
    ]);
    const findings = this.findings.map((f) => `  ${f.level}: ${f.message}\n    help: ${f.help}`);
    return [
      meshText(this.mesh),
      'axes',
      columns(axes, '  '),
      findings.length === 0 ? 'no findings' : 'findings',
      ...findings,
    ].join('\n');
  }

  [mimeKey](): Record<string, string> {
    return { 'text/html': analysisHtml(this), 'text/plain': String(this) };
  }
}

/** Looks at the layout alone: nothing is communicated. */
export function analyseMesh(mesh: DeviceMesh, options: MeshAnalysisOptions = {}): MeshAnalysis {
  const world = dist.getWorldSize();
  const ranksPerNode = options.ranksPerNode ?? world;
  const node = (rank: number): number => Math.floor(rank / ranksPerNode);
  const axes = mesh.shape.map((size, axis): AxisAnalysis => {
    const groups = groupsAlong(mesh, axis);
    const spans = groups.map((group) => new Set(group.map(node)).size);
    return {
      name: axisName(mesh, axis),
      size,
      groups,
      crossing: groups.filter((_, i) => spans[i]! > 1),
      nodesSpanned: Math.max(1, ...spans),
    };
  });
  return new MeshAnalysis(mesh, axes, findingsOf(mesh, axes, ranksPerNode, world, options), ranksPerNode);
}

function findingsOf(
  mesh: DeviceMesh,
  axes: readonly AxisAnalysis[],
  ranksPerNode: number,
  world: number,
  options: MeshAnalysisOptions,
): MeshFinding[] {
  const out: MeshFinding[] = [];
  const heavy = options.heavyAxes ?? HEAVY;
  const inside = axes.filter((axis) => axis.crossing.length === 0).map((axis) => axis.name);
  for (const axis of axes) {
    if (!heavy.includes(axis.name) || axis.crossing.length === 0) continue;
    const fits = axis.size <= ranksPerNode;
    const swapped = inside.find((name) => !heavy.includes(name));
    out.push({
      level: 'warning',
      axis: axis.name,
      message: `axis ${axis.name} crosses nodes: group ${list(axis.crossing[0]!)} lies on ${axis.nodesSpanned} nodes of ${ranksPerNode} ranks`,
      help: fits
        ? `put ${axis.name} last, so that its ranks are neighbours${swapped === undefined ? '' : `: ${swapped} has taken the place inside the nodes`}`
        : `an axis of ${axis.size} ranks cannot stay inside a node of ${ranksPerNode}: choose a smaller size`,
    });
  }
  if (mesh.getRootMesh() === mesh && mesh.size() < world) {
    out.push({
      level: 'warning',
      axis: null,
      message: `the mesh has ${mesh.size()} ranks, the world has ${world}: ${world - mesh.size()} ranks are outside and compute nothing`,
      help: `let the sizes multiply to ${world}`,
    });
  }
  if (mesh.meshDimNames === null && mesh.ndim > 1) {
    out.push({
      level: 'note',
      axis: null,
      message: 'the axes have no names, so the mesh cannot be sliced',
      help: "pass { meshDimNames: ['dp', 'tp'] } when it is made",
    });
  }
  for (const axis of axes) {
    if (axis.size > 1) continue;
    out.push({
      level: 'note',
      axis: axis.name,
      message: `axis ${axis.name} has one rank: its collectives send nothing`,
      help: 'leave it out, or keep it so that the same code runs at every size',
    });
  }
  return out;
}

/** Whether the ranks of an axis are those that its group joins. */
export interface GroupCheck {
  readonly axis: string;
  /** The ranks that the mesh's table puts in this rank's group. */
  readonly expected: readonly number[];
  /** The ranks that answered over the group. */
  readonly answered: readonly number[];
  /** Sum of the ranks, by an all-reduce over the group. */
  readonly sum: number;
  readonly ok: boolean;
}

/**
 * Talks over this rank's group of every axis: each member says its rank, and the sum of the ranks is reduced. Every rank of
 * the mesh calls it.
 */
export function verifyMeshGroups(mesh: DeviceMesh): GroupCheck[] {
  const own = mesh.getRank();
  return mesh.shape.map((_, axis) => {
    const group = mesh.getGroup(axis);
    const expected = groupsAlong(mesh, axis).find((ranks) => ranks.includes(own)) ?? [];
    const answered: unknown[] = new Array(group.size()).fill(null);
    dist.allGatherObject(answered, own, { group });
    const sum = torch.tensor([own], { dtype: torch.int64 });
    dist.allReduce(sum, { group });
    const said = answered.map(Number);
    const total = Number(sum.item());
    const sorted = [...expected].sort((a, b) => a - b);
    return {
      axis: axisName(mesh, axis),
      expected: sorted,
      answered: said,
      sum: total,
      ok: said.join() === sorted.join() && total === sorted.reduce((a, b) => a + b, 0),
    };
  });
}

function analysisHtml(analysis: MeshAnalysis): string {
  const { mesh, ranksPerNode } = analysis;
  const node = (rank: number): number => Math.floor(rank / ranksPerNode);
  const title = `DeviceMesh ${mesh.describe()}, nodes of ${ranksPerNode} ranks`;
  const panels = panelsOf(mesh).map((panel) =>
    panelTable(mesh, panel, panelTitle(mesh, panel) ?? 'ranks, coloured by node', (rank) =>
      cell(
        [line(rank), line(`node ${node(rank)}`)],
        fill(node(rank)),
        `rank ${rank}, ${coordinateText(mesh, mesh.coordinateOf(rank)!)}, node ${node(rank)}`,
      ),
    ),
  );
  const axes = analysis.axes.map((axis) => [
    axis.name,
    axis.size,
    axis.crossing.length === 0 ? 'no' : `yes, ${axis.nodesSpanned} nodes`,
    axis.groups.map((group) => list(group)).join(' '),
  ]);
  const findings = analysis.findings.map((f) =>
    row(head(f.level, 'row'), cell(f.message, 'text-align:left;'), cell(f.help, 'text-align:left;')),
  );
  return figure(
    title,
    line(code(title)),
    panels,
    textTable('axes', ['axis', 'ranks', 'crosses nodes', 'groups'], axes),
    findings.length === 0 ? line('no findings') : table('findings', findings),
  );
}
