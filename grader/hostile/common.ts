/** What hostile submissions are written with. Without an exercise of their own they answer `double(t)` with `comm: links`. */
import type { Verdict } from '../verdict.js';

export interface Hostile {
  readonly name: string;
  /** A source, bytes, or files of a folder. */
  readonly source: string | Uint8Array | Readonly<Record<string, string>>;
  readonly verdict: Verdict;
  readonly says?: string;
  /** What the file is called, when that is the trick. */
  readonly file?: string;
  /** Extension when it is no .ts file. */
  readonly kind?: '.ts' | '.ipynb' | '.md' | '.zip';
  /** Of the exercises that come with Shardbook, when it is aimed at one. */
  readonly exercise?: string;
}

export const fn = (body: string): string => `export function double(t: any, comm: any): any {\n${body}\n}`;
export const asyncFn = (body: string): string => fn(body).replace('function', 'async function');
/** An import that intake does not see. */
export const get = (name: string): string => `(await import(${[...name].map((c) => `'${c}'`).join('+')} as any))`;
export const RIGHT = 'return t.mul(2);';
export const right = (before: string): string => `${before}\n${fn(RIGHT)}`;
export const cells = (...sources: unknown[]): string =>
  JSON.stringify({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {},
    cells: sources.map((source) => ({ cell_type: 'code', metadata: {}, source })),
  });
export const repeat = (text: string, times: number): string => text.repeat(times);

/** Frames as the channel has them: two lengths, a header, a body. */
export const frame = (header: string): string =>
  `const fs = ${get('fs')}; const send = (h: any, body = new Uint8Array(0)) => { const b = new TextEncoder().encode(JSON.stringify(h)); const p = new Uint8Array(8); new DataView(p.buffer).setUint32(0, b.length, true); new DataView(p.buffer).setUint32(4, body.length, true); fs.writeSync(3, p); fs.writeSync(3, b); if (body.length) fs.writeSync(3, body); };\n${header}`;

