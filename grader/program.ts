/** A submission, or the reference, as it is run: a folder with what it is compiled to, a cage, the processes of its ranks. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as shardbook from 'shardbook';
import type { Exercise } from './exercise.js';
import { compileFiles, type SourceFile } from './intake/index.js';
import { HARNESS_FILE, RankWorld } from './rank-world.js';
import { Cage, type Kit, makeKit, type Recipe } from './sandbox/index.js';
import { removeTemporary, temporaryFolder } from './temporary.js';
import { SOURCES } from './wire.js';
import { PART_FILE, partOfRuntime } from './withheld.js';

export interface ProgramSources {
  /** The first one is the entry. */
  readonly files: readonly SourceFile[];
  /** Cells have names without importing them and need not say `export`. */
  readonly isCells: boolean;
  /** See `WorldOptions.startAhead`. */
  readonly startAhead: boolean;
}

export class Program {
  readonly kit: Kit;
  readonly cage: Cage;
  private readonly folder: string;
  private world: RankWorld | undefined;
  private written: Promise<void> = Promise.resolve();

  constructor(
    private readonly exercise: Exercise,
    private readonly packageRoot: string,
    /** The sandbox, where nobody trusts it. */
    recipe: Recipe | undefined,
  ) {
    this.kit = makeKit(packageRoot);
    this.folder = temporaryFolder('grade');
    const ranks = Math.max(...exercise.worlds);
    this.cage = new Cage(this.kit, this.folder, recipe, { memoryMb: exercise.limits.memoryMb, ranks });
  }

  /** Compiles it, and starts processes in the meantime; throws a `compile-error`. Called once. */
  async start({ files, isCells, startAhead }: ProgramSources): Promise<RankWorld> {
    const { limits, exports, comm, store, harness, worlds } = this.exercise;
    this.written = this.write(files, isCells);
    // What goes wrong there is heard of below.
    this.written.catch(() => {});
    this.world = new RankWorld({
      cage: this.cage,
      program: await this.cage.rankProgram(limits.memoryMb),
      limits,
      exports,
      comm,
      store,
      harness: harness !== undefined,
      sources: files.map(({ name }) => name),
      largest: Math.max(...worlds),
      startAhead,
    });
    this.world.warm();
    await this.written;
    return this.world;
  }

  /** Ends its processes, and leaves nothing behind. */
  async close(): Promise<void> {
    this.world?.stop();
    await this.cage.close();
    await this.written.catch(() => {});
    removeTemporary(this.folder);
  }

  private async write(files: readonly SourceFile[], isCells: boolean): Promise<void> {
    const { exercise } = this;
    const { kit, folder } = this.cage.inside;
    const addresses = Object.fromEntries(
      exercise.imports.map((name) => [name, pathToFileURL(`${kit}/dist/index.js`).href]),
    );
    const isClosed = exercise.without.length > 0;
    const given = pathToFileURL(`${folder}/${PART_FILE}`).href;
    if (isClosed) this.put(PART_FILE, partOfRuntime(exercise, addresses['shardbook']!));
    const compiled = await compileFiles(this.packageRoot, {
      files,
      addresses: isClosed ? { ...addresses, shardbook: given } : addresses,
      exports: exercise.exports,
      closed: isClosed,
      ...(isCells ? { preloaded: { names: Object.keys(shardbook), from: 'shardbook' } } : {}),
    });
    // Loaded before anything of the submission, whether or not it imports the runtime; on its first line, so that lines stay.
    const closing = isClosed ? `import ${JSON.stringify(given)}; ` : '';
    for (const { name, code } of compiled) this.put(name, closing + code);
    for (const { name, text } of files) this.put(`${SOURCES}/${name}`, text);
    if (exercise.harness === undefined) return;
    const [harness] = await compileFiles(this.packageRoot, {
      files: [{ name: 'harness.ts', text: exercise.harness }],
      addresses,
      exports: [],
    });
    this.put(HARNESS_FILE, harness!.code);
  }

  private put(name: string, text: string): void {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}
