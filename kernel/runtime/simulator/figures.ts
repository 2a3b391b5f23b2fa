/** Figures as data for Plotly: timelines and rank-to-rank matrices. */

/** A value with a method of this name says itself how it is shown. */
export const toMime: unique symbol = Symbol.for('shardbook.toMime') as never;

export type MimeBundle = Record<string, unknown>;

export interface Figure {
  data: Record<string, unknown>[];
  layout: Record<string, unknown>;
}

export interface Bar {
  lane: string;
  name: string;
  start: number;
  end: number;
  /** Shown on hover. */
  note?: string;
}

/** Colour-blind safe (Okabe and Ito). */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442', '#999999'];

/** Horizontal bars over time, a row per lane, a colour per name. */
export function timelineFigure(bars: readonly Bar[], title: string, unit = 'seconds'): Figure {
  const names = [...new Set(bars.map((bar) => bar.name))];
  const lanes = [...new Set(bars.map((bar) => bar.lane))].sort(byNumber);
  const data = names.map((name, i) => {
    const own = bars.filter((bar) => bar.name === name);
    return {
      type: 'bar',
      orientation: 'h',
      name,
      y: own.map((bar) => bar.lane),
      base: own.map((bar) => bar.start),
      x: own.map((bar) => bar.end - bar.start),
      customdata: own.map((bar) => bar.note ?? ''),
      hovertemplate: `${name}<br>%{base} + %{x} ${unit}<br>%{customdata}<extra>%{y}</extra>`,
      marker: { color: COLOURS[i % COLOURS.length], line: { color: 'white', width: 0.5 } },
    };
  });
  const layout = {
    title: { text: title },
    barmode: 'overlay',
    xaxis: { title: { text: unit }, rangemode: 'tozero' },
    yaxis: {
      type: 'category',
      categoryorder: 'array',
      categoryarray: [...lanes].reverse(),
      automargin: true,
    },
    height: 160 + 28 * lanes.length,
  };
  return { data, layout };
}

/** Bytes from each rank (rows) to each rank (columns). */
export function matrixFigure(matrix: readonly (readonly number[])[], title: string): Figure {
  const ranks = matrix.map((_, rank) => `rank ${rank}`);
  return {
    data: [
      {
        type: 'heatmap',
        z: matrix,
        x: ranks,
        y: ranks,
        colorscale: 'Viridis',
        colorbar: { title: { text: 'bytes' } },
        hovertemplate: '%{y} to %{x}: %{z:.0f} bytes<extra></extra>',
      },
    ],
    layout: {
      title: { text: title },
      xaxis: { title: { text: 'to' }, type: 'category' },
      yaxis: { title: { text: 'from' }, type: 'category', autorange: 'reversed', scaleanchor: 'x' },
    },
  };
}

/** One area per category, stacked, over steps; `beside` are dotted lines that are not part of the stack. */
export function stackFigure(
  series: readonly { name: string; values: readonly number[] }[],
  labels: readonly string[],
  title: string,
  line?: { name: string; value: number },
  beside: readonly { name: string; values: readonly number[] }[] = [],
): Figure {
  const x = labels.map((_, i) => i);
  const data: Record<string, unknown>[] = series.map(({ name, values }, i) => ({
    type: 'scatter',
    mode: 'lines',
    stackgroup: 'bytes',
    name,
    x,
    y: values,
    text: labels,
    line: { shape: 'hv', width: 0.5, color: COLOURS[i % COLOURS.length] },
    hovertemplate: `${name}: %{y} bytes<br>%{text}<extra></extra>`,
  }));
  for (const [i, { name, values }] of beside.entries()) {
    data.push({
      type: 'scatter',
      mode: 'lines',
      name,
      x,
      y: values,
      text: labels,
      line: { shape: 'hv', dash: 'dot', width: 2, color: COLOURS[(series.length + i) % COLOURS.length] },
      hovertemplate: `${name}: %{y} bytes<br>%{text}<extra></extra>`,
    });
  }
  if (line !== undefined) {
    data.push({
      type: 'scatter',
      mode: 'lines',
      name: line.name,
      x: [0, Math.max(1, labels.length - 1)],
      y: [line.value, line.value],
      line: { dash: 'dash', color: '#d55e00' },
    });
  }
  const layout = {
    title: { text: title },
    xaxis: { title: { text: 'step' } },
    yaxis: { title: { text: 'bytes' }, rangemode: 'tozero' },
    height: 360,
  };
  return { data, layout };
}

/** Two figures in one: the timeline above, the matrix below. */
export function stackedFigure(above: Figure, below: Figure): Figure {
  return {
    data: [
      ...above.data,
      ...below.data.map((trace) => ({
        ...trace,
        xaxis: 'x2',
        yaxis: 'y2',
        colorbar: { ...(trace['colorbar'] as object), x: 0.52, y: 0.2, len: 0.4 },
      })),
    ],
    layout: {
      ...above.layout,
      height: Number(above.layout['height'] ?? 300) + 360,
      xaxis: { ...(above.layout['xaxis'] as object), anchor: 'y' },
      yaxis: { ...(above.layout['yaxis'] as object), domain: [0.55, 1] },
      xaxis2: { ...(below.layout['xaxis'] as object), anchor: 'y2', domain: [0, 0.5] },
      yaxis2: { ...(below.layout['yaxis'] as object), anchor: 'x2', domain: [0, 0.4], scaleanchor: 'x2' },
    },
  };
}

/** "rank 10" after "rank 9". */
function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
