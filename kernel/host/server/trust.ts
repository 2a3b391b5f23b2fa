/**
 * Whose outputs may be shown as they are. As in Jupyter: a notebook file's own word counts for nothing, else any download
 * could run as trusted; trusted is what a front end of this server saved last, byte for byte, with every output its own.
 * The digests of these files stand in a hidden file of the workspace, which no address of the server reaches.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { realInside } from './paths.js';

const FILE = '.shardbook-trust.json';
const FORMAT = 'shardbook.trust/1';
const MOST_PATHS = 2000;
/** Outputs of these types cannot act, whoever made them. */
const HARMLESS = /^(text\/(plain|markdown|latex)|image\/(png|jpeg|gif)|application\/json)$/;

interface Cell {
  cell_type?: unknown;
  metadata?: { trusted?: unknown };
  outputs?: unknown;
}

export class TrustStore {
  #digests: Promise<Map<string, string>> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(private readonly root: string) {}

  /** Takes the marks out of a notebook that is about to be saved; returns whether its outputs are all the learner's own. */
  takeMarks(notebook: unknown): boolean {
    let own = true;
    for (const cell of codeCells(notebook)) {
      if (cell.metadata?.trusted !== true && !isHarmless(cell)) own = false;
      if (isRecord(cell.metadata)) delete cell.metadata.trusted;
    }
    return own;
  }

  /** What was written: trusted from now on, or no longer. */
  async saved(path: string, bytes: string | Uint8Array, own: boolean): Promise<void> {
    const digests = await this.#load();
    const value = own ? digest(bytes) : undefined;
    if (digests.get(path) === value) return;
    digests.delete(path);
    if (value !== undefined) digests.set(path, value);
    for (const oldest of digests.keys()) {
      if (digests.size <= MOST_PATHS) break;
      digests.delete(oldest);
    }
    this.#writing = this.#writing.then(() => this.#write(digests)).catch(() => {});
    await this.#writing;
  }

  /** Follows a file that was renamed. */
  async moved(from: string, to: string): Promise<void> {
    const digests = await this.#load();
    const value = digests.get(from);
    if (value === undefined) return;
    digests.delete(from);
    digests.set(to, value);
    this.#writing = this.#writing.then(() => this.#write(digests)).catch(() => {});
    await this.#writing;
  }

  /** Marks the cells of a notebook that was read. */
  async mark(path: string, bytes: Uint8Array, notebook: unknown): Promise<void> {
    const trusted = (await this.#load()).get(path) === digest(bytes);
    for (const cell of codeCells(notebook)) {
      if (trusted || isHarmless(cell)) {
        if (!isRecord(cell.metadata)) cell.metadata = {};
        cell.metadata.trusted = true;
      } else if (isRecord(cell.metadata)) delete cell.metadata.trusted;
    }
  }

  #load(): Promise<Map<string, string>> {
    this.#digests ??= this.#read();
    return this.#digests;
  }

  async #read(): Promise<Map<string, string>> {
    try {
      const file = join(this.root, FILE);
      await realInside(this.root, file);
      const value = JSON.parse(await readFile(file, 'utf8')) as { format?: unknown; files?: unknown };
      if (value.format !== FORMAT || !isRecord(value.files)) return new Map();
      return new Map(
        Object.entries(value.files).filter((e): e is [string, string] => typeof e[1] === 'string'),
      );
    } catch {
      return new Map();
    }
  }

  async #write(digests: ReadonlyMap<string, string>): Promise<void> {
    const file = join(this.root, FILE);
    const temporary = `${file}.${randomBytes(6).toString('hex')}`;
    try {
      await writeFile(
        temporary,
        `${JSON.stringify({ format: FORMAT, files: Object.fromEntries(digests) })}\n`,
        {
          mode: 0o600,
        },
      );
      await rename(temporary, file);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

function codeCells(notebook: unknown): Cell[] {
  const cells = isRecord(notebook) ? notebook['cells'] : undefined;
  if (!Array.isArray(cells)) return [];
  return cells.filter((cell): cell is Cell => isRecord(cell) && cell['cell_type'] === 'code');
}

function isHarmless(cell: Cell): boolean {
  if (cell.outputs === undefined) return true;
  if (!Array.isArray(cell.outputs)) return false;
  return cell.outputs.every((output: unknown) => {
    if (!isRecord(output)) return false;
    const type = output['output_type'];
    if (type === 'stream' || type === 'error') return true;
    const data = output['data'];
    return isRecord(data) && Object.keys(data).every((mime) => HARMLESS.test(mime));
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function digest(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
