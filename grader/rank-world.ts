/** The rank processes of one submission: started together, asked case by case, replaced after a case that went wrong. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { decodeTensor, encodeTensor, type HostTensor } from './compare.js';
import { Exchange, type Schedule } from './exchange.js';
import type { Limits } from './exercise.js';
import { type Ending, type RankListener, type RankPlace, RankProcess } from './rank-process.js';
import { CheckFailure, type Feedback } from './verdict.js';
import { type Answer, byteCount, type Failure, type Frame, type WireTensor } from './wire.js';

export const MODULE_FILE = 'submission.mjs';
const START_SECONDS = 20;
/** How long ranks may take to say where they stood when a deadlock is broken. */
const UNWIND_MS = 500;

export interface Case {
  /** Inputs of each rank; their number is the world size. */
  readonly inputs: readonly (readonly HostTensor[])[];
  readonly schedule: Schedule;
}

export interface RankResult {
  readonly outputs: readonly HostTensor[];
  /** Set instead of outputs when the function returned something else. */
  readonly other: string | undefined;
  /** The inputs after the call. */
  readonly inputs: readonly HostTensor[];
  /** Whether writing to an output changes an input. */
  readonly aliased: boolean;
}

export interface CaseRun {
  readonly ranks: readonly RankResult[];
  readonly exchange: Exchange;
}

export interface WorldOptions {
  readonly place: RankPlace;
  readonly limits: Limits;
  readonly size: number;
  readonly exportName: string;
  /** The submission's file name, as it stands in stack traces. */
  readonly submissionName: string;
}

interface Pending {
  readonly frame: (rank: number, frame: Frame<Answer>) => void;
  readonly fail: (failure: CheckFailure) => void;
}

export class RankWorld implements RankListener {
  private ranks: RankProcess[] = [];
  private loaded: Promise<void> | undefined;
  private pending: Pending | undefined;
  private runCount = 0;
  private printed: string[] = [];

  constructor(private readonly options: WorldOptions) {}

  /** Starts the processes and loads the submission in each. */
  async start(): Promise<void> {
    this.loaded ??= this.startRanks().catch((error: unknown) => {
      this.stop();
      throw error;
    });
    await this.loaded;
  }

  /** Runs one case; throws a `CheckFailure` for anything but results from all ranks. */
  async run(work: Case): Promise<CaseRun> {
    await this.start();
    try {
      return await this.runCase(work, ++this.runCount);
    } catch (error) {
      // What state the ranks are in is unknown now.
      this.stop();
      throw error;
    }
  }

  /** What the submission printed so far, by rank. */
  prints(): string[] {
    return this.ranks.length > 0 ? this.ranks.map((rank) => rank.prints) : this.printed;
  }

  stop(): void {
    if (this.ranks.length > 0) this.printed = this.ranks.map((rank) => rank.prints);
    for (const rank of this.ranks) rank.kill();
    this.ranks = [];
    this.loaded = undefined;
    this.pending = undefined;
  }

  frame(rank: number, frame: Frame<Answer>): void {
    this.pending?.frame(rank, frame);
  }

  ended(_rank: number, ending: Ending): void {
    this.pending?.fail(failure(ending.verdict as CheckFailure['verdict'], { message: ending.message }));
  }

  private async startRanks(): Promise<void> {
    const { place, limits, size, exportName } = this.options;
    const url = pathToFileURL(join(place.folder, MODULE_FILE)).href;
    const started = this.collect<true>(size, START_SECONDS, 'infra-error', 'started', (_rank, { header }) =>
      header.type === 'ready' ? true : undefined,
    );
    this.ranks = Array.from({ length: size }, (_, rank) => new RankProcess(rank, place, limits, this));
    await started;
    const loaded = this.collect<true>(
      size,
      limits.loadSeconds,
      'timeout',
      'loaded the submission',
      (rank, { header }) => {
        if (header.type === 'load-failed') throw this.threw('load-error', rank, header.failure);
        return header.type === 'loaded' ? true : undefined;
      },
    );
    for (const rank of this.ranks) rank.send({ type: 'load', url, export: exportName });
    await loaded;
  }

  private async runCase(work: Case, run: number): Promise<CaseRun> {
    const worldSize = work.inputs.length;
    const exchange = new Exchange(worldSize, work.schedule, (rank, { body, ...completion }) =>
      this.ranks[rank]?.send({ type: 'complete', run, ...completion }, body),
    );
    let stuck: string[] | undefined;
    const finished = this.collect<RankResult>(
      worldSize,
      this.options.limits.caseSeconds,
      'timeout',
      'returned',
      (rank, frame) => {
        const { header, body } = frame;
        if (!('run' in header) || header.run !== run)
          throw protocolError(rank, `an answer "${header.type}" out of turn`);
        if (stuck !== undefined) return undefined;
        const result = this.answer(rank, header, body, exchange);
        if (exchange.violation !== undefined)
          throw failure('protocol-error', { message: sentence(exchange.violation) });
        if (result !== undefined) exchange.finish(rank);
        stuck = exchange.deadlock();
        if (stuck !== undefined) this.unwind(stuck, exchange);
        return result;
      },
    );
    work.inputs.forEach((inputs, rank) => {
      const body = Buffer.concat(inputs.map(encodeTensor));
      this.ranks[rank]!.send({ type: 'run', run, rank, worldSize, inputs: inputs.map(wireTensor) }, body);
    });
    return { ranks: await finished, exchange };
  }

  private answer(rank: number, header: Answer, body: Uint8Array, exchange: Exchange): RankResult | undefined {
    switch (header.type) {
      case 'send':
      case 'recv':
        exchange.post(header.type, rank, header.handle, header.peer, header.tensor, body);
        return undefined;
      case 'wait':
        exchange.wait(rank, header.handle);
        return undefined;
      case 'returned':
        return readResult(rank, header, body);
      case 'returned-other':
        return { outputs: [], other: header.what, inputs: [], aliased: false };
      case 'threw':
        throw this.threw('runtime-error', rank, header.failure);
      case 'never-settled':
        throw failure('never-settled', {
          message: `The promise that rank ${rank} returned never settles: nothing is left that could do it`,
        });
      default:
        throw protocolError(rank, `an answer "${header.type}" out of turn`);
    }
  }

  /** Breaks a deadlock to learn at which line each rank stood, then fails the case. */
  private unwind(stuck: readonly string[], exchange: Exchange): void {
    const lines = new Map<number, number>();
    const fail = this.pending!.fail;
    const end = (): void => {
      const details = stuck.map((text, rank) =>
        lines.has(rank) ? `${text}, line ${lines.get(rank)}` : text,
      );
      const line = Math.min(...lines.values());
      fail(
        failure('deadlock', {
          message: 'All ranks wait and none can go on',
          details,
          ...(Number.isFinite(line) ? { line } : {}),
          ...(exchange.schedule === 'rendezvous'
            ? {
                hypothesis:
                  'a send may wait until its receiver takes the data: does every rank send before it receives?',
              }
            : {}),
        }),
      );
    };
    const waiting = stuck.filter((text) => !text.endsWith('has returned')).length;
    const timer = setTimeout(end, UNWIND_MS);
    this.pending = {
      fail: end,
      frame: (rank, { header }) => {
        if (header.type !== 'threw') return;
        const line = this.lineOf(header.failure);
        lines.set(rank, line ?? 0);
        if (line === undefined) lines.delete(rank);
        if (--remaining > 0) return;
        clearTimeout(timer);
        end();
      },
    };
    let remaining = waiting;
    exchange.abort('Cannot go on: all ranks wait for each other');
  }

  /** Waits until `read` has given a value for each of the first `count` ranks. */
  private collect<T>(
    count: number,
    seconds: number,
    onTimeout: 'timeout' | 'infra-error',
    what: string,
    read: (rank: number, frame: Frame<Answer>) => T | undefined,
  ): Promise<T[]> {
    return new Promise((resolve, reject) => {
      const values = new Map<number, T>();
      const end = (action: () => void): void => {
        clearTimeout(timer);
        this.pending = undefined;
        action();
      };
      const fail = (error: unknown): void => end(() => reject(error));
      const timer = setTimeout(() => {
        const missing = Array.from({ length: count }, (_, rank) => rank).filter((rank) => !values.has(rank));
        fail(
          failure(onTimeout, { message: `Rank ${missing.join(', ')} had not ${what} after ${seconds} s` }),
        );
      }, seconds * 1000);
      const accept = (rank: number, frame: Frame<Answer>): void => {
        try {
          const value = read(rank, frame);
          if (value === undefined || rank >= count) return;
          values.set(rank, value);
          if (values.size === count)
            end(() => resolve(Array.from({ length: count }, (_, r) => values.get(r)!)));
        } catch (error) {
          fail(error instanceof CheckFailure ? error : protocolError(rank, (error as Error).message));
        }
      };
      this.pending = { frame: accept, fail };
    });
  }

  private threw(verdict: 'load-error' | 'runtime-error', rank: number, thrown: Failure): CheckFailure {
    const line = this.lineOf(thrown);
    const where = verdict === 'load-error' ? 'The submission cannot be loaded' : `Rank ${rank} threw`;
    const [first = '', ...details] = String(thrown.message).split('\n');
    return failure(verdict, {
      message: `${where}: ${thrown.name === 'Error' || thrown.name === 'ShardbookError' ? '' : `${thrown.name}: `}${first}`,
      ...(details.length > 0 ? { details: details.map((detail) => detail.trim()) } : {}),
      ...(line === undefined ? {} : { line }),
    });
  }

  private lineOf(thrown: Failure): number | undefined {
    const name = this.options.submissionName.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    const match = new RegExp(`[/\\\\]${name}:(\\d+):\\d+`).exec(String(thrown.stack));
    return match === null ? undefined : Number(match[1]);
  }
}

function readResult(rank: number, header: Answer & { type: 'returned' }, body: Uint8Array): RankResult {
  let offset = 0;
  const take = (tensor: WireTensor): HostTensor => {
    const size = byteCount(tensor);
    const decoded = decodeTensor(tensor, body.subarray(offset, offset + size));
    offset += size;
    if (decoded === undefined) throw protocolError(rank, 'fewer bytes than its tensors have');
    return decoded;
  };
  const outputs = header.outputs.map(take);
  return { outputs, other: undefined, inputs: header.inputs.map(take), aliased: header.aliased === true };
}

function wireTensor({ dtype, shape }: HostTensor): WireTensor {
  return { dtype, shape };
}

function protocolError(rank: number, what: string): CheckFailure {
  return failure('protocol-error', { message: `Rank ${rank} answered the grader with ${what}` });
}

function failure(verdict: CheckFailure['verdict'], feedback: Feedback): CheckFailure {
  return new CheckFailure(verdict, feedback);
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
