/** Thrown values in the learner's terms: places of cells instead of places of generated code. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ShardbookError } from '../../../runtime/index.js';
import type { CellProgram, SideFile } from '../compiler/index.js';
import { text } from './display.js';
import type { CellPosition, RankFailure } from './messages.js';
import { type Decoded, decode, lookUp } from './source-map.js';

/** The compiler puts one line before a cell. */
const PREFIX_LINES = 1;
/** Where Shardbook's own code is: its frames say nothing to a learner. */
const OWN_FOLDER = path.dirname(fileURLToPath(import.meta.url)).replace(/[\\/]chunks$/, '');

interface Mapped {
  /** What places are of: the cell, or the learner's file. */
  name: string;
  maps: readonly string[];
  prefixLines: number;
}

/** The cells that ran, and the files that they import, for mapping stacks: functions of earlier cells throw in later ones. */
export class CellPlaces {
  readonly #programs = new Map<string, Mapped>();
  readonly #decoded = new Map<string, Decoded[]>();

  add(program: CellProgram): void {
    const { name, maps } = program;
    this.#programs.set(name, { name, maps, prefixLines: PREFIX_LINES });
    this.#decoded.delete(name);
  }

  addFiles(files: readonly SideFile[]): void {
    for (const { path: script, original } of files) {
      if (original === undefined) continue;
      this.#programs.set(script, { name: original.path, maps: [original.map], prefixLines: 0 });
      this.#decoded.delete(script);
    }
  }

  /** Whether places of that name can be those of a cell. */
  isCell(name: string): boolean {
    return this.#programs.get(name)?.prefixLines === PREFIX_LINES;
  }

  /** Place in the cell, or file, of a place (from 1) in its script. */
  original(script: string, line: number, column: number): CellPosition | undefined {
    const program = this.#programs.get(script);
    if (!program) return undefined;
    let maps = this.#decoded.get(script);
    if (!maps) {
      maps = program.maps.map(decode);
      this.#decoded.set(script, maps);
    }
    let inCell: { line: number; column: number } | undefined = { line: line - 1, column: column - 1 };
    for (const map of maps.toReversed()) inCell = inCell && lookUp(map, inCell.line, inCell.column);
    if (!inCell || inCell.line < program.prefixLines) return undefined;
    return { cell: program.name, line: inCell.line + 1 - program.prefixLines, column: inCell.column + 1 };
  }

  /** From now on every stack of this thread names places of cells. */
  install(): void {
    Error.stackTraceLimit = 40;
    Error.prepareStackTrace = (error, sites) => {
      const head = headOf(error);
      return [head, ...sites.map((site) => `    at ${this.#describe(site)}`)].join('\n');
    };
  }

  #describe(site: NodeJS.CallSite): string {
    const file = site.getFileName();
    if (!file || !this.#programs.has(file)) return site.toString();
    const place = this.original(file, site.getLineNumber() ?? 1, site.getColumnNumber() ?? 1);
    const where = place ? `${place.cell}:${place.line}:${place.column}` : file;
    const name = site.getFunctionName() ?? '';
    const type = site.isToplevel() ? '' : (site.getTypeName() ?? '');
    if (name === '') return where;
    const full =
      type !== '' && type !== 'Object' && !name.includes('.') && !site.isConstructor()
        ? `${type}.${name}`
        : name;
    return `${site.isConstructor() ? 'new ' : ''}${site.isAsync() ? 'async ' : ''}${full} (${where})`;
  }
}

function headOf(error: Error): string {
  try {
    return Error.prototype.toString.call(error);
  } catch {
    return 'Error';
  }
}

/** Describes any thrown value; never throws itself. */
export function toFailure(thrown: unknown, places: CellPlaces, depth = 0): RankFailure {
  if (!(thrown instanceof Error))
    return { name: 'Uncaught', message: safely(() => text(thrown)), frames: [] };
  const lines = safely(() => String(thrown.stack ?? '')).split('\n');
  const frames = lines.filter((line) => /^\s+at /.test(line)).map((line) => line.trim().slice(3));
  const cellFrames = frames.filter((frame) => positionOf(frame, places));
  const shown = frames.filter((frame) => positionOf(frame, places) || isLearners(frame));
  const position = cellFrames[0] === undefined ? undefined : positionOf(cellFrames[0], places);
  const code = thrown instanceof ShardbookError ? thrown.code : (thrown as { code?: unknown }).code;
  return {
    name: safely(() => String(thrown.name)) || 'Error',
    message: safely(() => String(thrown.message)),
    ...(typeof code === 'string' ? { code } : {}),
    frames: shown,
    ...(position ? { position } : {}),
    ...(thrown.cause !== undefined && depth < 3 ? { cause: toFailure(thrown.cause, places, depth + 1) } : {}),
  };
}

function safely(describe: () => string): string {
  try {
    return describe();
  } catch {
    return '(this value cannot be shown)';
  }
}

function positionOf(frame: string, places: CellPlaces): CellPosition | undefined {
  const match = /(?:^|\()([^()]*):(\d+):(\d+)\)?$/.exec(frame);
  if (!match || !places.isCell(match[1]!)) return undefined;
  return { cell: match[1]!, line: Number(match[2]), column: Number(match[3]) };
}

function isLearners(frame: string): boolean {
  return !/node:|node_modules|<anonymous>|^native/.test(frame) && !frame.includes(OWN_FOLDER);
}
