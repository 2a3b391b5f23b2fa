/** What a cell can show beyond text: `display`, `Markdown`, `HTML`, `Image`, `plot`. */
import { readFileSync } from 'node:fs';
import { inspect, types } from 'node:util';
import { ShardbookError, type Tensor } from '../../../runtime/index.js';
import type { MimeBundle } from '../types.js';
import type { RankDisplay } from './messages.js';

/** A value with a method of this name says itself how it is shown: `[toMime]() { return { 'text/html': ... } }`. */
export const toMime: unique symbol = Symbol.for('shardbook.toMime') as never;

export interface Displayable {
  [toMime](): MimeBundle;
}

interface DisplayOutlet {
  /** The run of code that is speaking; the same number on every rank. */
  run(): number;
  show(display: RankDisplay, displayId: string | undefined): void;
  update(display: RankDisplay, displayId: string): void;
  clear(wait: boolean): void;
  input(prompt: string, password: boolean): Promise<string>;
}

let outlet: DisplayOutlet | undefined;
/** How many displays got an id of their own, by run. */
const displays = new Map<number, number>();
const RUNS_KEPT = 128;

/** Connects this thread's displays to its cell outputs. */
export function setDisplayOutlet(value: DisplayOutlet): void {
  outlet = value;
}

function connected(what: string): DisplayOutlet {
  if (outlet) return outlet;
  throw new ShardbookError({
    code: 'SB_NO_CELL',
    message: `Cannot use "${what}": this code does not run in a cell`,
  });
}

/** A shown output that can be replaced in place. */
export class DisplayHandle {
  readonly id: string;
  constructor(id: string) {
    this.id = id;
  }
  /** Puts `value` where the output of this handle is. */
  update(value: unknown): void {
    connected('update').update(represent(value), this.id);
  }
}

export interface DisplayOptions {
  /** Name of the output, by which `updateDisplay` finds it. */
  displayId?: string;
}

/**
 * Shows a value, or a dictionary of representations by MIME type, below the cell.
 *
 * @example display({ 'text/html': '<b>loss</b>', 'text/plain': 'loss' })
 */
export function display(value: unknown, options: DisplayOptions = {}): DisplayHandle {
  const { run, show } = connected('display');
  const id = options.displayId ?? freshId(run());
  show(represent(value), id);
  return new DisplayHandle(id);
}

/** Counted by run, so that ranks agree on ids although one of them has shown more in earlier cells. */
function freshId(run: number): string {
  const count = (displays.get(run) ?? 0) + 1;
  displays.set(run, count);
  if (displays.size > RUNS_KEPT) displays.delete(displays.keys().next().value!);
  return `display-${run}-${count}`;
}

/** Replaces an output that `display(value, { displayId })` showed. */
export function updateDisplay(displayId: string, value: unknown): void {
  connected('updateDisplay').update(represent(value), displayId);
}

/** Empties the outputs of the cell; with `wait`, when the next output comes. */
export function clearOutput(options: { wait?: boolean } = {}): void {
  connected('clearOutput').clear(options.wait ?? false);
}

/** Asks the reader for a line of text. */
export function input(prompt = '', options: { password?: boolean } = {}): Promise<string> {
  return connected('input').input(prompt, options.password ?? false);
}

class Rich implements Displayable {
  readonly #bundle: MimeBundle;
  constructor(bundle: MimeBundle) {
    this.#bundle = bundle;
  }
  [toMime](): MimeBundle {
    return this.#bundle;
  }
  [inspect.custom](): string {
    return String(this.#bundle['text/plain']);
  }
}

/** Markdown, with formulas between dollar signs. */
export function Markdown(text: string): Displayable {
  return new Rich({ 'text/markdown': text, 'text/plain': text });
}

export function HTML(html: string): Displayable {
  return new Rich({ 'text/html': html, 'text/plain': html });
}

export function SVG(svg: string): Displayable {
  return new Rich({ 'image/svg+xml': svg, 'text/plain': `SVG image of ${svg.length} characters` });
}

export function Latex(formula: string): Displayable {
  return new Rich({ 'text/latex': formula, 'text/plain': formula });
}

const IMAGE_TYPES: readonly [type: string, starts: readonly number[]][] = [
  ['image/png', [0x89, 0x50, 0x4e, 0x47]],
  ['image/jpeg', [0xff, 0xd8, 0xff]],
  ['image/gif', [0x47, 0x49, 0x46, 0x38]],
];

/** A PNG, JPEG or GIF image, from its bytes or a file's path. */
export function Image(source: Uint8Array | string): Displayable {
  const bytes = typeof source === 'string' ? readFileSync(source) : Buffer.from(source);
  const type = IMAGE_TYPES.find(([, starts]) => starts.every((byte, i) => bytes[i] === byte))?.[0];
  if (type === undefined) {
    throw new ShardbookError({
      code: 'SB_IMAGE',
      message: `Cannot show ${typeof source === 'string' ? `"${source}"` : `${bytes.length} bytes`} as an image: wanted PNG, JPEG or GIF`,
      help: 'use SVG(text) for SVG',
    });
  }
  return new Rich({ [type]: bytes.toString('base64'), 'text/plain': `${type} of ${bytes.length} bytes` });
}

/** One trace of a Plotly figure: see plotly.js's reference. */
export type PlotTrace = Record<string, unknown>;

/**
 * A Plotly figure of traces, or of one list of numbers.
 *
 * @example plot([{ y: losses, name: 'loss' }], { title: { text: 'Training' } })
 */
export function plot(
  traces: PlotTrace | readonly PlotTrace[] | readonly number[] | Tensor,
  layout: Record<string, unknown> = {},
): Displayable {
  const given = plain(traces);
  const numbers = Array.isArray(given) && given.length > 0 && given.every((y) => typeof y === 'number');
  const data = numbers ? [{ y: given }] : Array.isArray(given) ? given : [given];
  const names = data.map((trace) => (trace as PlotTrace)['name']).filter((name) => typeof name === 'string');
  return new Rich({
    'application/vnd.plotly.v1+json': { data, layout: plain(layout) },
    'text/plain': `Figure with ${data.length} ${data.length === 1 ? 'trace' : 'traces'}${names.length > 0 ? `: ${names.join(', ')}` : ''}`,
  });
}

/** Plotly takes JSON: typed arrays and tensors become lists. */
function plain(value: unknown): unknown {
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return Array.from(value as unknown as ArrayLike<number | bigint>, (x) =>
      typeof x === 'bigint' ? Number(x) : x,
    );
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'bigint') return Number(value);
  if (typeof value !== 'object' || value === null) return value;
  const { tolist } = value as { tolist?: () => unknown };
  if (typeof tolist === 'function') return plain(tolist.call(value));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

const MIME_TYPE = /^[a-z]+\/[\w.+-]+$/i;

/** The representations of any value; there is always a `text/plain`. */
export function represent(value: unknown): RankDisplay {
  const bundle = ownBundle(value);
  if (types.isPromise(value))
    return { data: { 'text/plain': `${text(value)}: await before it gives its value` }, metadata: {} };
  if (!bundle) return { data: { 'text/plain': text(value) }, metadata: {} };
  const data = Object.fromEntries(
    Object.entries(bundle).map(([type, item]) => [
      type,
      item instanceof Uint8Array ? Buffer.from(item).toString('base64') : item,
    ]),
  );
  return { data, metadata: {} };
}

function ownBundle(value: unknown): MimeBundle | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { [toMime]: own } = value as Partial<Displayable>;
  if (typeof own === 'function') return own.call(value);
  const keys = Object.keys(value);
  return keys.length > 0 && keys.every((key) => MIME_TYPE.test(key)) ? (value as MimeBundle) : undefined;
}

/** As Node's console shows it, deep enough for nested results. */
export function text(value: unknown): string {
  return inspect(value, { depth: 4, maxArrayLength: 100, maxStringLength: 10_000, breakLength: 100 });
}
