/**
 * One rank of a submission: a process of its own, in the cage that the grading asks for, with limits on time, memory and
 * output, and one pipe to the grader. Ranks share no memory, so that what they tell each other passes through the grader.
 */
import type { Duplex } from 'node:stream';
import type { Limits } from './exercise.js';
import { type Cage, type CagedProcess, startDeadline } from './sandbox/index.js';
import { CheckFailure } from './verdict.js';
import { type Answer, encodeFrame, type Frame, FrameReader, type Request } from './wire.js';

/** Why a process is gone that should not be. */
export interface Ending {
  readonly verdict: CheckFailure['verdict'];
  readonly message: string;
}

/** Hears what a rank says once it is ready, and of its end. */
export interface RankListener {
  frame(rank: number, frame: Frame<Answer>): void;
  ended(rank: number, ending: Ending): void;
}

const START_SECONDS = 20;
const MEMORY_POLL_MS = 100;
const KEPT_PRINTS = 4096;
/** By how much loading a submission and the first calls may raise the memory of a process. */
const LOADED_BYTES = 32 * 2 ** 20;
/** Frames that a rank may send within one case, and how much in them: the grader keeps what it is told until the case is over. */
const MOST_FRAMES = 100_000;
const MOST_BYTES = 64 * 2 ** 20;
const MOST_HEADER_BYTES = 32 * 2 ** 20;
const OUT_OF_MEMORY =
  /heap out of memory|Array buffer allocation failed|Failed to reserve|Cannot allocate memory/;

export class RankProcess {
  /** Settles when the process waits for a submission; rejects with an `infra-error` when it comes to nothing. */
  readonly started: Promise<void>;
  /** The first part of what the submission printed. */
  prints = '';
  private frames = 0;
  private bytes = 0;
  private readonly caged: CagedProcess;
  private readonly pipe: Duplex;
  private readonly reader = new FrameReader<Answer>();
  private readonly poll: NodeJS.Timeout;
  private printed = 0;
  /** Bytes that are the runtime's. */
  private ready: number | undefined;
  private start: { succeed(): void; fail(ending: Ending): void } | undefined;
  private resident: number | undefined;
  private ending: Ending | undefined;
  private stopped = false;

  constructor(
    readonly rank: number,
    private readonly cage: Cage,
    private readonly limits: Limits,
    /** Arguments of Node, see `Cage.rankProgram`. */
    program: readonly string[],
    private readonly listener: RankListener,
  ) {
    this.caged = cage.spawn({
      args: program,
      folder: cage.folder,
      memoryMb: limits.memoryMb,
      pipe: true,
    });
    this.started = this.waitForStart();
    // Whoever needs the rank waits for it; one that was started ahead of time may never be needed.
    this.started.catch(() => {});
    const { child } = this.caged;
    this.pipe = child.stdio[3] as Duplex;
    this.pipe.on('data', (chunk: Uint8Array) => this.read(chunk));
    this.pipe.on('error', () => {});
    child.stdout?.on('data', (chunk: Buffer) => this.print(chunk));
    child.stderr?.on('data', (chunk: Buffer) => this.print(chunk));
    child.on('error', (error) => this.finish({ verdict: 'infra-error', message: error.message }));
    child.on('close', (code, signal) => this.finish(this.ending ?? this.exitReason(code, signal)));
    this.poll = setInterval(() => this.watchMemory(), MEMORY_POLL_MS);
    this.poll.unref();
  }

  send(request: Request, body?: Uint8Array): void {
    if (this.pipe.destroyed) return;
    // What is sent in one go is one write: each wakes the rank.
    if (this.pipe.writableCorked === 0) {
      this.pipe.cork();
      process.nextTick(() => this.pipe.uncork());
    }
    this.pipe.write(encodeFrame(request, body));
  }

  /** A case begins: what may be sent in it is counted anew. */
  beginCase(): void {
    this.frames = 0;
    this.bytes = 0;
    this.reader.headerBytes = 0;
  }

  /** Milliseconds that it has waited for a processor so far. */
  get waitedMs(): number {
    return this.caged.waitedMs();
  }

  /** From here on the peak of its memory counts. What a submission has put by before counts as well. */
  resetPeak(): void {
    const resident = this.caged.resetPeak();
    this.resident =
      resident === undefined ? undefined : Math.min(resident, (this.ready ?? resident) + LOADED_BYTES);
  }

  /** Bytes by which the memory of the process rose at most since `resetPeak`; undefined where the system does not count them. */
  get peakBytes(): number | undefined {
    const peak = this.caged.peakBytes();
    return this.resident === undefined || peak === undefined ? undefined : peak - this.resident;
  }

  /** Ends the process and what it started; the listener hears nothing of it. */
  kill(): void {
    this.stopped = true;
    clearInterval(this.poll);
    this.caged.kill();
  }

  private waitForStart(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (action: () => void): void => {
        this.start = undefined;
        cancel();
        action();
      };
      const fail = ({ message }: Ending): void =>
        settle(() => reject(new CheckFailure('infra-error', { message })));
      this.start = { succeed: () => settle(resolve), fail };
      const waited = (): number => this.caged.waitedMs();
      const message = `Rank ${this.rank} had not started after ${START_SECONDS} s`;
      const cancel = startDeadline(START_SECONDS, waited, () => fail({ verdict: 'infra-error', message }));
    });
  }

  /** It has nothing of a submission yet: what it holds now is the runtime's. */
  private becomeReady({ header }: Frame<Answer>): void {
    if (header.type !== 'ready') throw new Error('something before it was ready');
    const megabytes = this.caged.megabytes();
    if (megabytes !== undefined) this.ready = megabytes * 2 ** 20;
    this.start?.succeed();
  }

  private end(ending: Ending): void {
    this.ending ??= ending;
    this.caged.kill();
  }

  private finish(ending: Ending): void {
    clearInterval(this.poll);
    if (this.start !== undefined) this.start.fail(ending);
    else if (!this.stopped) this.listener.ended(this.rank, ending);
    this.stopped = true;
  }

  private read(chunk: Uint8Array): void {
    if (this.stopped || this.ending !== undefined) return;
    try {
      this.bytes += chunk.length;
      if (this.bytes > MOST_BYTES) throw new Error(`more than ${MOST_BYTES / 2 ** 20} MiB in one call`);
      for (const frame of this.reader.push(chunk)) {
        if (++this.frames > MOST_FRAMES) throw new Error(`more than ${MOST_FRAMES} frames in one call`);
        if (this.reader.headerBytes > MOST_HEADER_BYTES)
          throw new Error(`more than ${MOST_HEADER_BYTES / 2 ** 20} MiB of headers in one call`);
        if (this.start !== undefined) this.becomeReady(frame);
        else this.listener.frame(this.rank, frame);
      }
    } catch (error) {
      this.end({ verdict: 'protocol-error', message: `Rank ${this.rank} sent ${(error as Error).message}` });
    }
  }

  private print(chunk: Buffer): void {
    this.printed += chunk.length;
    if (this.prints.length < KEPT_PRINTS)
      this.prints += chunk.toString('utf8').slice(0, KEPT_PRINTS - this.prints.length);
    if (this.printed <= this.limits.outputKb * 1024) return;
    this.end({
      verdict: 'output-limit',
      message: `Rank ${this.rank} printed more than ${this.limits.outputKb} KiB`,
    });
  }

  /** V8's limit covers its heap only; the data of tensors lies outside it. */
  private watchMemory(): void {
    const megabytes = this.caged.megabytes();
    if (megabytes !== undefined && megabytes > this.limits.memoryMb) this.end(this.outOfMemory());
  }

  private outOfMemory(): Ending {
    return {
      verdict: 'memory-limit',
      message: `Rank ${this.rank} used more than ${this.limits.memoryMb} MiB`,
    };
  }

  private exitReason(code: number | null, rawSignal: NodeJS.Signals | null): Ending {
    if (OUT_OF_MEMORY.test(this.prints) || this.cage.outOfMemory) return this.outOfMemory();
    const signal = this.caged.signal(code, rawSignal);
    const how = signal === undefined ? `with exit code ${code}` : `by ${signal}`;
    return {
      verdict: 'crashed',
      message: `The process of rank ${this.rank} ended ${how} before the call was over`,
    };
  }
}
