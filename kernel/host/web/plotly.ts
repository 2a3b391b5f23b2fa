/** Plotly figures as outputs. The library is loaded when the first figure is shown: it is larger than all the rest. */
import type { IRenderMime } from '@jupyterlab/rendermime';
import { Widget } from '@lumino/widgets';

const PLOTLY_MIME = 'application/vnd.plotly.v1+json';

interface Figure {
  data?: unknown[];
  layout?: Record<string, unknown>;
  config?: Record<string, unknown>;
}

interface Plotly {
  react(node: HTMLElement, data: unknown[], layout: object, config: object): Promise<unknown>;
  purge(node: HTMLElement): void;
  Plots: { resize(node: HTMLElement): unknown };
}

let loading: Promise<Plotly> | undefined;

function loadPlotly(): Promise<Plotly> {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = '/app/plotly.min.js';
    script.onload = () => resolve((globalThis as unknown as { Plotly: Plotly }).Plotly);
    script.onerror = () => {
      loading = undefined;
      reject(new Error('Cannot load the plotting library from the server'));
    };
    document.head.append(script);
  });
  return loading;
}

class PlotlyRenderer extends Widget implements IRenderMime.IRenderer {
  #plotly: Plotly | undefined;
  #retheme: (() => void) | undefined;
  #observer = new ResizeObserver(() => {
    if (this.node.offsetWidth > 0) this.#plotly?.Plots.resize(this.node);
  });

  constructor() {
    super();
    this.addClass('sb-plot');
    this.node.setAttribute('role', 'figure');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const figure = (model.data[PLOTLY_MIME] ?? {}) as Figure;
    const plotly = await loadPlotly();
    if (this.isDisposed) return;
    const title = figure.layout?.['title'];
    const label = typeof title === 'string' ? title : (title as { text?: string } | undefined)?.text;
    this.node.setAttribute('aria-label', label ?? 'Plot');
    await plotly.react(this.node, figure.data ?? [], themedLayout(figure.layout ?? {}), {
      responsive: false,
      displaylogo: false,
      // Sending the plot elsewhere is not offered.
      modeBarButtonsToRemove: ['sendDataToCloud'],
      ...figure.config,
      plotlyServerURL: '',
    });
    this.#plotly = plotly;
    this.#observer.observe(this.node);
    if (this.#retheme !== undefined) return;
    this.#retheme = () => void this.renderModel(model);
    document.addEventListener('shardbook-theme', this.#retheme);
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.#observer.disconnect();
    if (this.#retheme !== undefined) document.removeEventListener('shardbook-theme', this.#retheme);
    this.#plotly?.purge(this.node);
    super.dispose();
  }
}

/** Told apart by people with the common colour deficiencies, and readable on both grounds. */
const SERIES = ['#4c6ef5', '#e8590c', '#12a37c', '#c2255c', '#9c6ade', '#d19a00', '#1098ad', '#868e96'];

/** The figure's own layout wins; what it leaves open follows the page's colours. */
function themedLayout(layout: Record<string, unknown>): Record<string, unknown> {
  const styles = getComputedStyle(document.documentElement);
  const color = (name: string) => styles.getPropertyValue(name).trim();
  const axis = {
    gridcolor: color('--sb-line'),
    zerolinecolor: color('--sb-line-strong'),
    linecolor: color('--sb-line-strong'),
    automargin: true,
  };
  const themed: Record<string, unknown> = {
    autosize: true,
    colorway: SERIES,
    modebar: { bgcolor: 'rgba(0,0,0,0)', color: color('--sb-text-soft'), activecolor: color('--sb-brand') },
    paper_bgcolor: 'rgba(0,0,0,0)',
    plot_bgcolor: 'rgba(0,0,0,0)',
    margin: { t: layout['title'] === undefined ? 24 : 56, r: 24, b: 48, l: 56 },
    ...layout,
    font: {
      color: color('--sb-text'),
      family: color('--sb-sans'),
      ...(layout['font'] as object | undefined),
    },
  };
  for (const name of new Set([
    'xaxis',
    'yaxis',
    ...Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key)),
  ])) {
    themed[name] = { ...axis, ...(layout[name] as object | undefined) };
  }
  return themed;
}

export const plotlyFactory: IRenderMime.IRendererFactory = {
  safe: true,
  mimeTypes: [PLOTLY_MIME],
  createRenderer: () => new PlotlyRenderer(),
};
