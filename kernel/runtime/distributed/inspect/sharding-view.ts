/** Which rank holds which slice of a DTensor, as text and as HTML. */
import type { DTensorSpec } from '../dtensor/index.js';
import { bold, cell, code, el, figure, fill, head, LINE, line, type Markup, row, table } from './html.js';
import { axisName, coordinateText, groupsAlong, panelsOf, panelTable, panelTitle } from './mesh-view.js';
import {
  type Interval,
  lengthOf,
  list,
  type RankSlice,
  ranksText,
  sliceKey,
  slicesOf,
  sliceText,
} from './slices.js';
import { columns, tabulate } from './text.js';

/** More segments than this along a dimension are not drawn one by one. */
const SEGMENTS_MAX = 32;

/** What each axis does to the tensor, in words. */
export function placementNotes(spec: DTensorSpec): string[] {
  return spec.placements.map((placement, axis) => {
    const name = `${axisName(spec.mesh, axis)} (${spec.mesh.shape[axis]}): ${placement}`;
    if (placement.isReplicate()) return `${name}, every rank holds the same`;
    if (placement.isPartial()) {
      const groups = groupsAlong(spec.mesh, axis).map((group) => list(group));
      return `${name}, pending: the value is the ${kindText(placement.reduceOp)} over the ranks of ${groups.join(' ')}`;
    }
    const { dim } = placement as { dim: number };
    const cut = 'splitFactor' in placement ? `, after a cut in ${String(placement.splitFactor)}` : '';
    return `${name}, dimension ${dim} is cut${cut}`;
  });
}

function kindText(kind: string): string {
  const words: Readonly<Record<string, string>> = { avg: 'average', min: 'minimum', max: 'maximum' };
  return words[kind] ?? kind;
}

/** `dp=0, tp=1  [4, 6]  [0:4, :]` of every rank. */
export function shardingText(spec: DTensorSpec): string {
  const slices = slicesOf(spec.shape, spec.mesh, spec.placements);
  const rows = slices.map((slice) => [
    String(slice.rank),
    coordinateText(spec.mesh, slice.coordinate),
    list(slice.shape),
    sliceText(slice, spec.shape),
  ]);
  return [
    String(spec),
    columns([['rank', 'coordinate', 'local shape', 'slice'], ...rows], '  '),
    ...placementNotes(spec).map((note) => `  ${note}`),
  ].join('\n');
}

// ---------------------------------------------------------------- as PyTorch's visualize_sharding

/** The table that PyTorch's visualize_sharding prints: rows and columns of the tensor, with who holds them. */
export function pytorchTable(spec: DTensorSpec): string {
  const blocks = slicesOf(spec.shape, spec.mesh, spec.placements).map((slice) => {
    const at = (dim: number): [number, number] => {
      const ranges = slice.ranges[dim];
      if (ranges === undefined) return [0, 0];
      const start = ranges[0]?.start ?? spec.shape[dim]!;
      return [start, start + lengthOf(ranges) - 1];
    };
    return { rank: slice.rank, rows: at(0), cols: at(1) };
  });
  const unique = (pick: (b: (typeof blocks)[number]) => [number, number]): [number, number][] => {
    const seen = new Map(blocks.map((b) => [pick(b).join(), pick(b)]));
    return [...seen.values()].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  };
  const [rows, cols] = [unique((b) => b.rows), unique((b) => b.cols)];
  const kind = spec.mesh.deviceType;
  const body = rows.map((r) => [
    `Row ${r[0]}-${r[1]}`,
    ...cols.map((c) => {
      const here = blocks.filter((b) => b.rows.join() === r.join() && b.cols.join() === c.join());
      return here.length === 0 ? '' : `${kind}:${here.map((b) => b.rank).join(',')}`;
    }),
  ]);
  return tabulate(['', ...cols.map((c) => `Col ${c[0]}-${c[1]}`)], body);
}

// ---------------------------------------------------------------- HTML

/** The dimensions that a flat picture shows as rows and columns: those that are cut, then the last ones. */
function pictureDims(
  shape: readonly number[],
  slices: readonly RankSlice[],
): { rows: number | null; cols: number | null; hidden: number[] } {
  const dims = shape.map((_, dim) => dim);
  if (dims.length === 0) return { rows: null, cols: null, hidden: [] };
  if (dims.length === 1) return { rows: null, cols: 0, hidden: [] };
  const isCut = (dim: number): boolean => slices.some((slice) => slice.shape[dim] !== shape[dim]);
  const chosen = [...dims.filter(isCut), ...[...dims].reverse().filter((dim) => !isCut(dim))].slice(0, 2);
  chosen.sort((a, b) => a - b);
  return {
    rows: chosen[0]!,
    cols: chosen[1]!,
    hidden: dims.filter((dim) => isCut(dim) && !chosen.includes(dim)),
  };
}

/** The dimension cut wherever some rank's part begins or ends. */
function segments(size: number, slices: readonly RankSlice[], dim: number | null): Interval[] {
  if (dim === null) return [{ start: 0, end: 1 }];
  const ends = new Set([0, size]);
  for (const slice of slices)
    for (const { start, end } of slice.ranges[dim]!) {
      ends.add(start);
      ends.add(end);
    }
  const sorted = [...ends].sort((a, b) => a - b);
  return sorted.slice(1).map((end, i) => ({ start: sorted[i]!, end }));
}

function holds(slice: RankSlice, dim: number | null, segment: Interval): boolean {
  return (
    dim === null || slice.ranges[dim]!.some(({ start, end }) => start <= segment.start && segment.end <= end)
  );
}

/** One colour for each distinct slice. */
function colours(slices: readonly RankSlice[]): Map<string, number> {
  const out = new Map<string, number>();
  for (const slice of slices)
    if (!slice.isEmpty && !out.has(sliceKey(slice))) out.set(sliceKey(slice), out.size);
  return out;
}

const rangeLabel = ({ start, end }: Interval): string => `${start}:${end}`;

/** The whole tensor, each block with the ranks that hold it. */
function wholePicture(spec: DTensorSpec, slices: readonly RankSlice[]): Markup | null {
  const { shape } = spec;
  if (shape.includes(0)) return null;
  const dims = pictureDims(shape, slices);
  const rows = segments(dims.rows === null ? 1 : shape[dims.rows]!, slices, dims.rows);
  const cols = segments(dims.cols === null ? 1 : shape[dims.cols]!, slices, dims.cols);
  if (rows.length > SEGMENTS_MAX || cols.length > SEGMENTS_MAX) return null;
  const colour = colours(slices);
  const scale = (size: number, total: number, all: number): number =>
    Math.max(24, Math.round((size / total) * all));
  const block = (r: Interval, c: Interval): Markup => {
    const owners = slices.filter((s) => !s.isEmpty && holds(s, dims.rows, r) && holds(s, dims.cols, c));
    const text = ranksText(owners.map((s) => s.rank));
    const style = `${fill(colour.get(sliceKey(owners[0] ?? slices[0]!)) ?? 0)}min-width:${scale(c.end - c.start, dims.cols === null ? 1 : shape[dims.cols]!, 280)}px;height:${scale(r.end - r.start, dims.rows === null ? 1 : shape[dims.rows]!, 120)}px;`;
    const where = [dims.rows === null ? null : rangeLabel(r), dims.cols === null ? null : rangeLabel(c)];
    return cell(text, style, `${where.filter((w) => w !== null).join(', ')}: rank ${text}`);
  };
  const header = row(
    head(dims.rows === null ? '' : `dim ${dims.rows} \\ dim ${dims.cols}`),
    ...cols.map((c) => head(dims.cols === null ? '' : rangeLabel(c))),
  );
  const body = rows.map((r) =>
    row(
      head(dims.rows === null ? (dims.cols === null ? '' : 'dim 0') : rangeLabel(r), 'row'),
      ...cols.map((c) => block(r, c)),
    ),
  );
  const note = dims.hidden.length > 0 ? ` (dimension ${dims.hidden.join(', ')} is cut too, not drawn)` : '';
  return table(`the tensor, and the ranks that hold each block${note}`, [header, ...body]);
}

/** A small outline of the tensor with this rank's part filled. */
function thumbnail(
  spec: DTensorSpec,
  slices: readonly RankSlice[],
  slice: RankSlice,
  colour: number,
): Markup | null {
  const { shape } = spec;
  if (shape.includes(0)) return null;
  const dims = pictureDims(shape, slices);
  const rows = segments(dims.rows === null ? 1 : shape[dims.rows]!, [slice], dims.rows);
  const cols = segments(dims.cols === null ? 1 : shape[dims.cols]!, [slice], dims.cols);
  if (rows.length > SEGMENTS_MAX || cols.length > SEGMENTS_MAX) return null;
  const part = (segment: Interval, dim: number | null, all: number): number =>
    Math.max(2, Math.round(((segment.end - segment.start) / (dim === null ? 1 : shape[dim]!)) * all));
  const body = rows.map((r) =>
    row(
      ...cols.map((c) => {
        const mine = !slice.isEmpty && holds(slice, dims.rows, r) && holds(slice, dims.cols, c);
        return el('td', {
          style: `padding:0;border:0;width:${part(c, dims.cols, 56)}px;height:${part(r, dims.rows, 36)}px;${mine ? fill(colour) : ''}`,
        });
      }),
    ),
  );
  return el(
    'table',
    {
      role: 'img',
      'aria-label': sliceText(slice, shape),
      title: sliceText(slice, shape),
      style: `border-collapse:collapse;border:1px ${slice.isEmpty ? 'dashed' : 'solid'} ${LINE};margin:2px auto;`,
    },
    el('tbody', {}, body),
  );
}

/** The mesh, each rank with its part. */
export function shardsOnMesh(spec: DTensorSpec): Markup[] {
  const { mesh } = spec;
  const slices = slicesOf(spec.shape, mesh, spec.placements);
  const colour = colours(slices);
  const pending = spec.placements.find((p) => p.isPartial());
  const byRank = new Map(slices.map((slice) => [slice.rank, slice]));
  return panelsOf(mesh).map((panel) => {
    const at = panelTitle(mesh, panel);
    return panelTable(
      mesh,
      panel,
      at === null ? 'what each rank holds' : `what each rank holds, ${at}`,
      (rank) => {
        const slice = byRank.get(rank)!;
        const text = sliceText(slice, spec.shape);
        return cell(
          [
            line(bold(`rank ${rank}`)),
            thumbnail(spec, slices, slice, colour.get(sliceKey(slice)) ?? 0),
            line(text),
            line(list(slice.shape)),
            pending?.isPartial() ? line(`pending ${kindText(pending.reduceOp)}`) : null,
          ],
          'vertical-align:top;',
          `rank ${rank}, ${coordinateText(mesh, slice.coordinate)}: ${text}`,
        );
      },
    );
  });
}

export function shardingHtml(spec: DTensorSpec): string {
  const slices = slicesOf(spec.shape, spec.mesh, spec.placements);
  const notes = placementNotes(spec).map((note) => el('li', {}, note));
  return figure(
    `DTensor ${spec}`,
    line(code(String(spec))),
    wholePicture(spec, slices),
    shardsOnMesh(spec),
    el('ul', { style: 'margin:4px 0;padding-left:20px;' }, notes),
  );
}
