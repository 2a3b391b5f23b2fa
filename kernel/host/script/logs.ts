/** Where the output of ranks goes: the terminal, whole lines marked with their rank, and files per attempt and rank. */
import { createWriteStream, type WriteStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../folders/index.js';

export type Stream = 'stdout' | 'stderr';

/** Which streams: 0 none, 1 stdout, 2 stderr, 3 both; for all ranks or for each, as in torchrun's `0:3,1:2`. */
export interface StreamChoice {
  all: number;
  ranks: ReadonlyMap<number, number>;
}

export interface LogPlan {
  /** Files are `folder/attempt_K/R/stdout.log` and `stderr.log`. */
  folder: string | undefined;
  /** Streams that go to files only. */
  redirects: StreamChoice;
  /** Streams that go to files and the terminal. */
  tee: StreamChoice;
  /** Local ranks whose output is shown; undefined: all. */
  shown: ReadonlySet<number> | undefined;
}

const BIT: Record<Stream, number> = { stdout: 1, stderr: 2 };

function chosen({ all, ranks }: StreamChoice, rank: number, stream: Stream): boolean {
  return ((ranks.get(rank) ?? all) & BIT[stream]) !== 0;
}

/** The output of one attempt. */
export class AttemptLogs {
  readonly #files = new Map<string, WriteStream>();
  readonly #pending = new Map<string, string>();

  constructor(
    private readonly plan: LogPlan,
    private readonly attempt: number,
    private readonly perNode: number,
  ) {}

  write(rank: number, stream: Stream, text: string): void {
    const local = rank % this.perNode;
    const redirected = chosen(this.plan.redirects, local, stream);
    if (redirected || chosen(this.plan.tee, local, stream)) this.#file(rank, stream)?.write(text);
    if (redirected || this.plan.shown?.has(local) === false) return;
    const key = `${stream} ${rank}`;
    const lines = ((this.#pending.get(key) ?? '') + text).split('\n');
    this.#pending.set(key, lines.pop() ?? '');
    for (const line of lines) process[stream].write(`[${rank}] ${line}\n`);
  }

  /** What failed the rank, for programs that read it; returns the path. */
  writeError(rank: number, error: object): string | undefined {
    const folder = this.#folder(rank);
    if (folder === undefined) return undefined;
    const path = join(folder, 'error.json');
    writeFileSync(path, `${JSON.stringify(error, null, 2)}\n`);
    return path;
  }

  async close(): Promise<void> {
    // Lines that never ended.
    for (const [key, text] of this.#pending) {
      const [stream, rank] = key.split(' ') as [Stream, string];
      if (text !== '') process[stream].write(`[${rank}] ${text}\n`);
    }
    this.#pending.clear();
    await Promise.all([...this.#files.values()].map((file) => new Promise<void>((done) => file.end(done))));
  }

  #folder(rank: number): string | undefined {
    if (this.plan.folder === undefined) return undefined;
    const folder = join(this.plan.folder, `attempt_${this.attempt}`, String(rank));
    makeFolder(folder);
    return folder;
  }

  #file(rank: number, stream: Stream): WriteStream | undefined {
    const key = `${stream} ${rank}`;
    let file = this.#files.get(key);
    if (file === undefined) {
      const folder = this.#folder(rank);
      if (folder === undefined) return undefined;
      file = createWriteStream(join(folder, `${stream}.log`));
      this.#files.set(key, file);
    }
    return file;
  }
}
