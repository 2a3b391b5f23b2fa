/** The rank processes of one submission: started when a case needs them, asked case by case, replaced after a case that went wrong. */
import { pathToFileURL } from 'node:url';
import type { HostTensor } from './compare.js';
import { type Completion, Exchange, type Schedule, seedOf } from './exchange.js';
import type { Limits } from './exercise.js';
import { Random } from './random.js';
import { type Ending, type RankListener, RankProcess } from './rank-process.js';
import { type Cage, startDeadline } from './sandbox/index.js';
import {
  decodeTensors,
  decodeValue,
  describeValue,
  encodeTensors,
  encodeValue,
  type HostValue,
  isHostTensor,
} from './values.js';
import { CheckFailure, type Feedback } from './verdict.js';
import type { Answer, CommKind, Failure, Frame } from './wire.js';

const MODULE_FILE = 'submission.mjs';
export const HARNESS_FILE = 'harness.mjs';
/** How long ranks may take to say where they stood when a deadlock is broken. */
const UNWIND_MS = 500;
/** Answers under a shuffled schedule are held back at most so long. */
const SHUFFLE_MS = 1;
const LONGEST_STACK = 10_000;

export interface Case {
  /** Arguments of each rank; their number is the world size. */
  readonly inputs: readonly (readonly HostValue[])[];
  readonly schedule?: Schedule;
  /** The function that is called; default: the first one that the exercise exports. */
  readonly call?: string;
  /** Call a function of the exercise's harness, which gets the submission's exports first. */
  readonly harness?: boolean;
  /** Default: what the exercise says. */
  readonly comm?: CommKind;
  /** Seconds for this case; default: what the exercise says. */
  readonly seconds?: number;
  /** Count the peak of each rank's memory, see `RankResult.peakBytes`. In processes of its own, so that nothing is left from before. */
  readonly memory?: boolean;
}

export interface RankResult {
  readonly value: HostValue;
  /** The tensors, when the function returned one or a list of them. */
  readonly outputs: readonly HostTensor[];
  /** Set instead of outputs when the function returned something else. */
  readonly other: string | undefined;
  /** The tensors among the arguments, after the call; none with `memory`. */
  readonly inputs: readonly HostTensor[];
  /** Whether writing to a returned tensor changes an argument; with `memory` it is not tried. */
  readonly aliased: boolean;
  /** Whether a returned tensor has the memory of one that an earlier call returned: that one has changed now. */
  readonly again: boolean;
  /**
   * With `memory`: bytes by which the rank's memory rose at most above its arguments, counted by the operating system and not by the
   * rank. Undefined without `memory`, and where no system counts it (macOS, Windows).
   */
  readonly peakBytes?: number;
}

export interface CaseRun {
  readonly ranks: readonly RankResult[];
  readonly exchange: Exchange;
}

export interface WorldOptions {
  readonly cage: Cage;
  /** Arguments of Node for a rank, see `Cage.rankProgram`. */
  readonly program: readonly string[];
  readonly limits: Limits;
  readonly exports: readonly string[];
  readonly comm: CommKind;
  /** Whether the ranks share a store. */
  readonly store: boolean;
  /** Whether a harness stands beside the submission. */
  readonly harness: boolean;
  /** File names of the submission, as they stand in stack traces. */
  readonly sources: readonly string[];
  /** Largest world that may be asked for. */
  readonly largest: number;
  /** Start all ranks once the submission is loaded on some: all cases will be asked. */
  readonly startAhead: boolean;
}

/** A line of a file of the submission. */
interface Standing {
  readonly file: string;
  readonly line: number;
}

interface Pending {
  readonly frame: (rank: number, frame: Frame<Answer>) => void;
  readonly fail: (failure: CheckFailure) => void;
}

export class RankWorld implements RankListener {
  private ranks: RankProcess[] = [];
  private pending: Pending | undefined;
  /** The end of a rank that came while nobody was asked anything. */
  private gone: CheckFailure | undefined;
  private loadedCount = 0;
  private runCount = 0;
  private printed: string[] = [];

  constructor(private readonly options: WorldOptions) {}

  /** Starts processes ahead of time, not loaded with the submission yet. */
  warm(): void {
    const { startAhead, largest } = this.options;
    this.startProcesses(startAhead ? largest : 1);
  }

  /** Runs one case; throws a `CheckFailure` for anything but results from all ranks. */
  async run(work: Case): Promise<CaseRun> {
    try {
      this.requireAll();
      if (work.memory === true) this.stop();
      await this.prepare(work.inputs.length);
      return await this.runCase(work, ++this.runCount);
    } catch (error) {
      // What state the ranks are in is unknown now.
      this.stop();
      throw error;
    }
  }

  /** What the submission printed so far, by rank. */
  async prints(): Promise<string[]> {
    // They come by another way than answers: what was printed before the last answer is there, and read within a turn of the loop.
    await new Promise(setImmediate);
    this.keepPrints();
    return this.printed;
  }

  stop(): void {
    this.keepPrints();
    for (const rank of this.ranks) rank.kill();
    this.ranks = [];
    this.loadedCount = 0;
    this.pending = undefined;
    this.gone = undefined;
  }

  frame(rank: number, frame: Frame<Answer>): void {
    this.pending?.frame(rank, frame);
  }

  ended(_rank: number, ending: Ending): void {
    const gone = failure(ending.verdict, { message: ending.message });
    if (this.pending === undefined) this.gone ??= gone;
    else this.pending.fail(gone);
  }

  private requireAll(): void {
    if (this.gone !== undefined) throw this.gone;
  }

  private keepPrints(): void {
    for (const { rank, prints } of this.ranks) if (prints !== '') this.printed[rank] = prints;
    for (let rank = 0; rank < this.options.largest; rank++) this.printed[rank] ??= '';
  }

  private startProcesses(size: number): void {
    const { cage, limits, program } = this.options;
    for (let rank = this.ranks.length; rank < size; rank++)
      this.ranks.push(new RankProcess(rank, cage, limits, program, this));
  }

  private async prepare(size: number): Promise<void> {
    if (size > this.options.largest)
      throw new Error(`a check asks for a world of ${size}, the exercise has ${this.options.largest}`);
    const first = this.loadedCount;
    if (size <= first) return;
    this.startProcesses(size);
    await Promise.all(this.ranks.slice(first, size).map(({ started }) => started));
    const { cage, limits, exports, harness } = this.options;
    const url = (file: string): string => pathToFileURL(`${cage.inside.folder}/${file}`).href;
    const loaded = this.collect<true>(
      first,
      size,
      limits.loadSeconds,
      'loaded the submission',
      (rank, { header }) => {
        if (header.type === 'load-failed') throw this.threw('load-error', rank, header.failure);
        return header.type === 'loaded' ? true : undefined;
      },
    );
    for (const rank of this.ranks.slice(first, size))
      rank.send({
        type: 'load',
        url: url(MODULE_FILE),
        exports: [...exports],
        runtime: pathToFileURL(`${cage.inside.kit}/dist/index.js`).href,
        ...(harness ? { harness: url(HARNESS_FILE) } : {}),
      });
    await loaded;
    this.loadedCount = size;
    // What loads on some ranks loads on others: they start while these work.
    if (this.options.startAhead) this.startProcesses(this.options.largest);
  }

  private async runCase(work: Case, run: number): Promise<CaseRun> {
    const { limits, exports, comm } = this.options;
    const {
      inputs,
      schedule = 'buffered',
      call = exports[0]!,
      harness = false,
      seconds = limits.caseSeconds,
      memory = false,
    } = work;
    const worldSize = inputs.length;
    const seed = seedOf(schedule);
    const random = seed === undefined ? undefined : new Random(run + seed);
    const complete = (rank: number, { body, ...completion }: Completion): void => {
      const deliver = (): void => this.ranks[rank]?.send({ type: 'complete', run, ...completion }, body);
      if (random === undefined) deliver();
      else after(random.uniform() * SHUFFLE_MS, deliver);
    };
    const exchange = new Exchange(worldSize, schedule, complete, this.options.store);
    let stuck: string[] | undefined;
    const measured = new Set<number>();
    for (const rank of this.ranks) rank.beginCase();
    const finished = this.collect<RankResult>(0, worldSize, seconds, 'returned', (rank, frame) => {
      const { header, body } = frame;
      if (rank >= worldSize) throw protocolError(rank, 'something out of turn');
      if (typeof header !== 'object' || header === null || !('run' in header) || header.run !== run)
        throw protocolError(rank, 'something out of turn');
      if (stuck !== undefined) return undefined;
      if ('handle' in header && !Number.isSafeInteger(header.handle))
        throw protocolError(rank, 'an operation without a number');
      if (header.type === 'measure') {
        if (!memory || measured.has(rank)) throw protocolError(rank, 'something out of turn');
        measured.add(rank);
        this.ranks[rank]!.resetPeak();
        this.ranks[rank]!.send({ type: 'go', run });
        return undefined;
      }
      const answered = this.answer(rank, header, body, exchange);
      if (answered !== undefined && memory && !measured.has(rank))
        throw protocolError(rank, 'a result before its memory was counted');
      const peakBytes = memory && answered !== undefined ? this.ranks[rank]!.peakBytes : undefined;
      const result = peakBytes === undefined ? answered : { ...answered!, peakBytes };
      if (exchange.violation !== undefined)
        throw failure('protocol-error', { message: sentence(exchange.violation) });
      if (result !== undefined) exchange.finish(rank);
      stuck = exchange.deadlock();
      if (stuck !== undefined) this.unwind(stuck, exchange);
      return result;
    });
    inputs.forEach((values, rank) => {
      const tensors: HostTensor[] = [];
      const args = values.map((value) => encodeValue(value, tensors));
      const { headers, body } = encodeTensors(tensors);
      this.ranks[rank]!.send(
        {
          type: 'run',
          run,
          rank,
          worldSize,
          call,
          harness,
          comm: work.comm ?? comm,
          ...(memory ? { memory } : {}),
          args,
          tensors: headers,
        },
        body,
      );
    });
    const ranks = await finished;
    if (exchange.disagreement !== undefined)
      throw failure('runtime-error', {
        message: `The ranks did not fit each other, and the error was caught: ${exchange.disagreement}`,
      });
    return { ranks, exchange };
  }

  private answer(rank: number, header: Answer, body: Uint8Array, exchange: Exchange): RankResult | undefined {
    switch (header.type) {
      case 'send':
      case 'recv':
        exchange.post(header.type, rank, header.handle, header.peer, header.tensor, body, header.tag);
        return undefined;
      case 'collective':
        exchange.meet(rank, header.handle, header.call, body);
        return undefined;
      case 'store':
        exchange.store(rank, header.handle, header.call);
        return undefined;
      case 'wait':
        exchange.wait(rank, header.handle);
        return undefined;
      case 'returned':
        return readResult(header, body);
      case 'threw':
        throw this.threw('runtime-error', rank, header.failure);
      case 'never-settled':
        throw failure('never-settled', {
          message: `The promise that rank ${rank} returned never settles: nothing is left that could do it`,
        });
      default:
        throw protocolError(rank, 'something out of turn');
    }
  }

  /** Breaks a deadlock to learn at which line each rank stood, then fails the case. */
  private unwind(stuck: readonly string[], exchange: Exchange): void {
    const lines = new Map<number, Standing>();
    const fail = this.pending!.fail;
    const returned = stuck.flatMap((text, rank) => (text.endsWith('has returned') ? [rank] : []));
    const hypothesis =
      returned.length > 0
        ? `rank ${returned[0]} has returned while others wait: does it leave early, or take fewer steps?`
        : exchange.schedule === 'rendezvous' && exchange.collectives.length === 0
          ? 'a send may wait until its receiver takes the data: does every rank send before it receives?'
          : undefined;
    const end = (): void => {
      clearTimeout(timer);
      const details = stuck.map((text, rank) =>
        lines.has(rank) ? `${text}, line ${lines.get(rank)!.line}` : text,
      );
      const [first] = [...lines.values()].sort((a, b) => a.line - b.line);
      fail(
        failure('deadlock', {
          message: 'All ranks wait and none can go on',
          details,
          ...first,
          ...(hypothesis === undefined ? {} : { hypothesis }),
        }),
      );
    };
    let remaining = stuck.length - returned.length;
    const timer = setTimeout(end, UNWIND_MS);
    this.pending = {
      fail: end,
      frame: (rank, { header }) => {
        if (header.type !== 'threw') return;
        const standing = this.standing(header.failure);
        if (standing !== undefined) lines.set(rank, standing);
        if (--remaining === 0) end();
      },
    };
    exchange.abort('Cannot go on: all ranks wait for each other');
  }

  /** Waits until `read` has given a value for each of the ranks from `first` to `end` (not included). */
  private collect<T>(
    first: number,
    end: number,
    seconds: number,
    what: string,
    read: (rank: number, frame: Frame<Answer>) => T | undefined,
  ): Promise<T[]> {
    return new Promise((resolve, reject) => {
      this.requireAll();
      const values = new Map<number, T>();
      const wanted = Array.from({ length: end - first }, (_, i) => first + i);
      const close = (action: () => void): void => {
        cancel();
        this.pending = undefined;
        action();
      };
      const fail = (error: unknown): void => close(() => reject(error));
      const waited = (): number => this.ranks.slice(first, end).reduce((sum, rank) => sum + rank.waitedMs, 0);
      const cancel = startDeadline(seconds, waited, () => {
        const missing = wanted.filter((rank) => !values.has(rank));
        fail(
          failure('timeout', { message: `Rank ${missing.join(', ')} had not ${what} after ${seconds} s` }),
        );
      });
      const accept = (rank: number, frame: Frame<Answer>): void => {
        try {
          const value = read(rank, frame);
          if (value === undefined || rank < first || rank >= end || values.has(rank)) return;
          values.set(rank, value);
          if (values.size === wanted.length) close(() => resolve(wanted.map((r) => values.get(r)!)));
        } catch (error) {
          fail(error instanceof CheckFailure ? error : protocolError(rank, (error as Error).message));
        }
      };
      this.pending = { frame: accept, fail };
    });
  }

  private threw(verdict: 'load-error' | 'runtime-error', rank: number, thrown: Failure): CheckFailure {
    const where = verdict === 'load-error' ? 'The submission cannot be loaded' : `Rank ${rank} threw`;
    const name = String(thrown?.name).slice(0, 100);
    const [first = '', ...details] = String(thrown?.message).slice(0, 4000).split('\n');
    // What V8 says of something frozen.
    const isFrozen =
      name === 'TypeError' &&
      /^Cannot (add|delete|assign to|define) .*(propert|not extensible|read only)/.test(first);
    return failure(verdict, {
      message: `${where}: ${name === 'Error' || name === 'ShardbookError' ? '' : `${name}: `}${first}`,
      ...(details.length > 0 ? { details: details.slice(0, 20).map((detail) => detail.trim()) } : {}),
      ...(verdict === 'runtime-error' && isFrozen
        ? { hypothesis: 'lists and objects that a function is given are to be read: is one of them changed?' }
        : {}),
      ...this.standing(thrown),
    });
  }

  /** The first line of the stack that is one of the submission's. */
  private standing(thrown: Failure): Standing | undefined {
    const { sources } = this.options;
    for (const frame of String(thrown?.stack).slice(0, LONGEST_STACK).split('\n')) {
      const [, path, line] = /^(.*):([1-9]\d{0,6}):\d+\)?$/.exec(frame.trim()) ?? [];
      const [file] = sources
        .filter((source) => path?.replaceAll('\\', '/').endsWith(`/${source}`))
        .sort((a, b) => b.length - a.length);
      if (file !== undefined) return { file, line: Number(line) };
    }
    return undefined;
  }
}

/** Calls `action` so much later. Timers count whole milliseconds, and what is due in one goes in the order in which it was set. */
function after(milliseconds: number, action: () => void): void {
  const due = performance.now() + milliseconds;
  const look = (): void => {
    if (performance.now() >= due) action();
    else setImmediate(look);
  };
  setImmediate(look);
}

function readResult(header: Answer & { type: 'returned' }, body: Uint8Array): RankResult {
  const { tensors, end } = decodeTensors(header.tensors, body, 0);
  const { tensors: inputs } = decodeTensors(header.inputs, body, end);
  const value = decodeValue(header.value, tensors);
  const list = Array.isArray(value) ? (value as HostValue[]) : [value];
  const outputs = list.length > 0 && list.every(isHostTensor) ? (list as HostTensor[]) : [];
  const other = outputs.length === 0 ? describeValue(value) : undefined;
  return { value, outputs, other, inputs, aliased: header.aliased === true, again: header.again === true };
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
