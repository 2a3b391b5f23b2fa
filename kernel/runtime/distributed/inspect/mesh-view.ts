/** The grid of a mesh with its groups, as text and as HTML. */
import type { DeviceMesh } from '../mesh/index.js';
import { cell, code, figure, fill, head, line, type Markup, row, table } from './html.js';
import { list } from './slices.js';
import { columns } from './text.js';

/** `dp`, or `axis 0` of a mesh without names. */
export function axisName(mesh: DeviceMesh, axis: number): string {
  return mesh.meshDimNames?.[axis] ?? `axis ${axis}`;
}

/** `dp=0, tp=1`, or `(0, 1)` of a mesh without names. */
export function coordinateText(mesh: DeviceMesh, coordinate: readonly number[]): string {
  return mesh.meshDimNames === null
    ? `(${coordinate.join(', ')})`
    : coordinate.map((at, axis) => `${axisName(mesh, axis)}=${at}`).join(', ');
}

/** All groups along an axis: the ranks that share every other coordinate. */
export function groupsAlong(mesh: DeviceMesh, axis: number): number[][] {
  const groups = new Map<string, number[]>();
  for (const rank of mesh.ranks) {
    const others = mesh
      .coordinateOf(rank)!
      .filter((_, i) => i !== axis)
      .join();
    const group = groups.get(others);
    if (group) group.push(rank);
    else groups.set(others, [rank]);
  }
  return [...groups.values()];
}

/** One table of a mesh: its last two axes, at fixed positions of the others. */
export interface MeshPanel {
  /** Coordinates along the axes before the last two. */
  readonly outer: readonly number[];
  /** Ranks by row and column. */
  readonly grid: readonly (readonly number[])[];
}

export function panelsOf(mesh: DeviceMesh): MeshPanel[] {
  const { ndim, ranks } = mesh;
  const cols = ndim === 0 ? 1 : mesh.shape[ndim - 1]!;
  const rows = ndim < 2 ? 1 : mesh.shape[ndim - 2]!;
  const panels: MeshPanel[] = [];
  for (let start = 0; start < ranks.length; start += rows * cols) {
    const outer = mesh.coordinateOf(ranks[start]!)!.slice(0, Math.max(0, ndim - 2));
    panels.push({
      outer,
      grid: Array.from({ length: rows }, (_, r) => ranks.slice(start + r * cols, start + (r + 1) * cols)),
    });
  }
  return panels;
}

/** `pp=0`: where a panel is; null for a mesh of one or two axes. */
export function panelTitle(mesh: DeviceMesh, panel: MeshPanel): string | null {
  return panel.outer.length === 0
    ? null
    : panel.outer.map((at, axis) => `${axisName(mesh, axis)}=${at}`).join(', ');
}

const label = (mesh: DeviceMesh, axis: number, at: number): string => `${axisName(mesh, axis)}=${at}`;

/** A panel as an HTML table, its cells drawn by `draw`. */
export function panelTable(
  mesh: DeviceMesh,
  panel: MeshPanel,
  caption: string,
  draw: (rank: number) => Markup,
): Markup {
  const { ndim } = mesh;
  const header = row(
    head(''),
    ...panel.grid[0]!.map((_, at) => head(ndim === 0 ? '' : label(mesh, ndim - 1, at))),
  );
  const rows = panel.grid.map((ranks, at) =>
    row(head(ndim < 2 ? '' : label(mesh, ndim - 2, at), 'row'), ...ranks.map(draw)),
  );
  return table(caption, [header, ...rows]);
}

/** The mesh as text: the grid, then the groups of every axis. */
export function meshText(mesh: DeviceMesh): string {
  const { ndim } = mesh;
  const lines = [`DeviceMesh ${mesh.describe()} on ${mesh.deviceType}, ${mesh.size()} ranks`];
  for (const panel of panelsOf(mesh)) {
    const title = panelTitle(mesh, panel);
    if (title !== null) lines.push(title);
    const header = ['', ...panel.grid[0]!.map((_, at) => (ndim === 0 ? '' : label(mesh, ndim - 1, at)))];
    const body = panel.grid.map((ranks, at) => [
      ndim < 2 ? 'rank' : label(mesh, ndim - 2, at),
      ...ranks.map(String),
    ]);
    lines.push(columns([header, ...body], '  '));
  }
  lines.push('groups');
  lines.push(
    columns(
      mesh.shape.map((_, axis) => [
        axisName(mesh, axis),
        groupsAlong(mesh, axis)
          .map((group) => list(group))
          .join(' '),
      ]),
      '  ',
    ),
  );
  return lines.join('\n');
}

/** The mesh as HTML; the colour of a cell is its group along the last axis. */
export function meshHtml(mesh: DeviceMesh): string {
  const last = groupsAlong(mesh, Math.max(0, mesh.ndim - 1));
  const colour = (rank: number): number => last.findIndex((group) => group.includes(rank));
  const title = `DeviceMesh ${mesh.describe()} on ${mesh.deviceType}, ${mesh.size()} ranks`;
  const panels = panelsOf(mesh).map((panel) =>
    panelTable(mesh, panel, panelTitle(mesh, panel) ?? 'ranks by coordinate', (rank) =>
      cell(
        rank,
        `${fill(colour(rank))}min-width:28px;`,
        `rank ${rank}, ${coordinateText(mesh, mesh.coordinateOf(rank)!)}`,
      ),
    ),
  );
  const groups = mesh.shape.map((_, axis) =>
    row(
      head(axisName(mesh, axis), 'row'),
      cell(
        groupsAlong(mesh, axis)
          .map((group) => list(group))
          .join(' '),
        'text-align:left;',
      ),
    ),
  );
  return figure(title, line(code(title)), panels, table('process groups of each axis', groups));
}
