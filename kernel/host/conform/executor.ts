/** Runs programs one after the other in a world of one size, and replaces the world when a program fails. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { World } from '../world/index.js';
import { MissingOperation } from './access.js';
import type { ProgramSource } from './format.js';
import { listOperations, type OperationUse } from './inventory.js';
import type { Failure, ProgramResult, RankJob } from './report.js';
import { worldOptions } from './world-options.js';

/** Every so often the ranks start afresh, so that groups which programs made and never ended don't add up. */
const PROGRAMS_PER_WORLD = 60;

export class Executor {
  readonly size: number;
  private programs = 0;
  private readonly timeoutMs: number;
  private world: World | undefined;

  constructor(size: number, timeoutMs: number) {
    this.size = size;
    this.timeoutMs = timeoutMs;
  }

  async run(source: ProgramSource): Promise<ProgramResult> {
    const started = performance.now();
    const unknown = firstUnknown(source);
    if (unknown !== undefined) {
      const { suite, name, file } = source;
      const failures = [{ label: '', rank: 0, text: unknown }];
      return { suite, name, file, passed: false, failures, milliseconds: performance.now() - started };
    }
    const scratch = mkdtempSync(join(tmpdir(), 'shardbook-conform-'));
    let failures: Failure[];
    try {
      failures = await this.onRanks({ text: source.text, scratch });
    } catch (error) {
      failures = [{ label: '', rank: 0, text: error instanceof Error ? error.message : String(error) }];
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
    // What a failed program leaves behind (a lock, a mode, half a collective) must not reach the next one.
    const cut = this.size > 1 && source.text.includes('"raises":true');
    if (cut || failures.length > 0 || ++this.programs % PROGRAMS_PER_WORLD === 0) await this.stop();
    const { suite, name, file } = source;
    return {
      suite,
      name,
      file,
      passed: failures.length === 0,
      failures,
      milliseconds: performance.now() - started,
    };
  }

  async stop(): Promise<void> {
    const world = this.world;
    this.world = undefined;
    await world?.stop();
  }

  private async onRanks(job: RankJob): Promise<Failure[]> {
    const world = this.world ?? (await World.start(worldOptions(this.size)));
    this.world = world;
    const answers = Array.from({ length: this.size }, (_, rank) => answered(world, rank, job));
    const late: Failure = { label: '', rank: 0, text: `it did not end within ${this.timeoutMs / 1000} s` };
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<Failure[][]>((resolve) => {
      timer = setTimeout(() => resolve([[late]]), this.timeoutMs);
    });
    try {
      return order((await Promise.race([Promise.all(answers), deadline])).flat());
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Why the program cannot run at all, found before any rank starts on it. */
function firstUnknown(source: ProgramSource): string | undefined {
  let lacking: OperationUse | undefined;
  try {
    lacking = listOperations([source]).find((use) => !use.known);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return lacking === undefined ? undefined : new MissingOperation(lacking.op).message;
}

async function answered(world: World, rank: number, job: RankJob): Promise<Failure[]> {
  try {
    return await world.request<RankJob, Failure[]>(rank, job);
  } catch (error) {
    return [{ label: '', rank, text: error instanceof Error ? error.message : String(error) }];
  }
}

/** Differences first, then the errors; of those the root cause before what other ranks say about it. */
function order(failures: Failure[]): Failure[] {
  const echo = (f: Failure) => (/aborted|peer|deadlock|other rank|rank \d+ failed/i.test(f.text) ? 1 : 0);
  const weight = (f: Failure) => (f.label === '' ? 1 + echo(f) : 0);
  return failures.sort((a, b) => weight(a) - weight(b) || a.rank - b.rank);
}
