/** The loops of all ranks as one output that is replaced while they run. */
import { escapeHtml } from '../../runtime/base/index.js';
import type { Progress } from './rank/index.js';
import type { CellOutput, MimeBundle } from './types.js';

/** Between two pictures, in milliseconds. */
const EVERY_MS = 100;
const WIDTH = 24;

interface Loop {
  label: string;
  ranks: Map<number, Progress>;
  shown: boolean;
}

export class ProgressBars {
  readonly #loops = new Map<number, Loop>();
  readonly #changed = new Set<number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    /** Name of the cell's outputs, different for each cell. */
    private readonly name: string,
    private readonly ranks: readonly number[],
    private readonly emit: (output: CellOutput) => void,
  ) {}

  add(rank: number, progress: Progress): void {
    const loop = this.#loops.get(progress.id) ?? { label: progress.label, ranks: new Map(), shown: false };
    this.#loops.set(progress.id, loop);
    loop.ranks.set(rank, progress);
    this.#changed.add(progress.id);
    if (!loop.shown) this.#show(progress.id);
    else this.#timer ??= setTimeout(() => this.flush(), EVERY_MS);
  }

  /** Shows how far all are; to be called at the end of the cell. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const id of this.#changed) this.#show(id);
  }

  #show(id: number): void {
    const loop = this.#loops.get(id)!;
    this.#changed.delete(id);
    const type = loop.shown ? 'update_display_data' : 'display_data';
    loop.shown = true;
    const displayId = `${this.name}-progress-${id}`;
    this.emit({ type, data: picture(loop), metadata: {}, displayId, ranks: this.ranks });
  }
}

function picture({ label, ranks }: Loop): MimeBundle {
  const rows = [...ranks].sort(([a], [b]) => a - b);
  const alike = rows.every(
    ([, { done, finished }]) => done === rows[0]![1].done && finished === rows[0]![1].finished,
  );
  const shown = alike ? rows.slice(0, 1) : rows;
  const named = (rank: number): string => [label, alike ? '' : `[rank ${rank}]`].filter(Boolean).join(' ');
  const html = shown.map(([rank, { done, total }]) => {
    const name = escapeHtml(named(rank) || 'progress');
    const value = total === undefined ? '' : ` value="${done}"`;
    return `<div>${escapeHtml(named(rank))} <progress aria-label="${name}" max="${total ?? 1}"${value}></progress> ${count(done, total)}</div>`;
  });
  const text = shown.map(([rank, { done, total }]) =>
    [named(rank), bar(done, total), count(done, total)].filter(Boolean).join(' '),
  );
  return { 'text/html': html.join(''), 'text/plain': text.join('\n') };
}

function count(done: number, total: number | undefined): string {
  return total === undefined ? `${done}` : `${done} of ${total}`;
}

function bar(done: number, total: number | undefined): string {
  if (total === undefined || total === 0) return '';
  const filled = Math.min(WIDTH, Math.round((done / total) * WIDTH));
  return `[${'#'.repeat(filled)}${'-'.repeat(WIDTH - filled)}]`;
}
