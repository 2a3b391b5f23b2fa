/**
 * A session: cells are compiled once and run on every rank. Front ends (ZeroMQ, WebSocket, the lesson check) stand on
 * `execute`; what they see is in `types.ts`.
 */
import { ShardbookError } from '../../runtime/index.js';
import { distEntry, type World } from '../world/index.js';
import { RunCells } from './cells.js';
import { checkInstruments, checkRanks, type MagicHost, obey, withoutMagics } from './commands.js';
import { SessionComms } from './comms.js';
import { type CellProgram, type Compiler, startCompiler } from './compiler/index.js';
import { debugTarget } from './debug-target.js';
import { builtTypes, engineOfEnvironment } from './environment.js';
import { foldResults, OutputFold } from './fold.js';
import { StreamJoiner } from './join-streams.js';
import { type Instrument, magicNames, planCell } from './magics.js';
import { ObservedCell } from './observed-cell.js';
import { OutputRouter, type Sink } from './outputs.js';
import { ProgressBars } from './progress-bars.js';
import type { RankDisplay, RankFailure, RunReply } from './rank/index.js';
import { type Answer, Ranks, soon } from './ranks.js';
import { describeDiagnostics, diagnosticsError, duration, failuresError, plainError } from './report.js';
import type {
  CellError,
  CellOutput,
  CheckLevel,
  ClusterView,
  CommMessage,
  CompleteResult,
  DebugTarget,
  ExecuteOptions,
  ExecuteResult,
  HistoryEntry,
  InspectResult,
  InterruptSummary,
  IsCompleteResult,
  RankInfo,
  SessionApi,
  SessionOptions,
  UserExpressionResult,
  VariablesView,
  VariableView,
} from './types.js';

export const DEFAULT_WORLD_SIZE = 4;

type CellOptions = ExecuteOptions & { silent: boolean; onOutput: (output: CellOutput) => void };

export class Session implements SessionApi {
  readonly #options: SessionOptions;
  readonly #compiler: Compiler;
  readonly #ranks: Ranks;
  readonly #texts = new Map<string, string>();
  readonly #history: HistoryEntry[] = [];
  readonly #rankListeners = new Set<(ranks: RankInfo[]) => void>();
  readonly #commListeners = new Set<(message: CommMessage) => void>();
  readonly #interruptListeners = new Set<() => Promise<void>>();
  readonly #cells = new RunCells();
  readonly #comms = new SessionComms((message) => {
    for (const listener of this.#commListeners) listener(message);
  });
  readonly #router = new OutputRouter(this.#comms, (world, rank, request) =>
    this.#ranks.ask(world, rank, request),
  );
  readonly debugging: DebugTarget;
  /** The last execution that succeeded on all its ranks. */
  #committed = 0;
  #checkLevel: CheckLevel;
  #executionCount = 0;
  #silentCells = 0;
  #seq = 0;
  /** Programs and comm messages under way. */
  #busy = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #interrupts = 0;
  #closed = false;
  readonly #lastCell = new ObservedCell();
  #lastVariables: VariablesView['ranks'] = [];

  private constructor(options: SessionOptions) {
    this.#options = options;
    this.#checkLevel = options.checkLevel ?? 'errors';
    this.#ranks = new Ranks({
      size: options.world ?? DEFAULT_WORLD_SIZE,
      cwd: options.cwd ?? process.cwd(),
      heapLimitMb: options.heapLimitMb,
      onEvent: (world, rank, event) => this.#router.route(world, rank, event),
      onChange: () => this.#notifyRanks(),
    });
    this.#compiler = startCompiler(distEntry('compiler-worker.js'), {
      engine: options.compiler ?? engineOfEnvironment(),
      cwd: this.#ranks.cwd,
      ...builtTypes(),
    });
    this.debugging = debugTarget({
      session: this,
      ranks: this.#ranks,
      cells: this.#cells,
      interrupts: this.#interruptListeners,
      isBusy: () => this.#busy > 0,
      evaluate: (code) => this.#enqueue(() => this.#evaluate(code)),
      run: (code, ranks, unless) => this.#enqueue(() => this.#runQuietly(code, ranks, unless)),
    });
  }

  /** Starts compiler and ranks at the same time; resolves when the ranks are ready (the compiler may still warm up). */
  static async start(options: SessionOptions = {}): Promise<Session> {
    const session = new Session(options);
    try {
      await session.ready;
    } catch (error) {
      await session.shutdown();
      throw error;
    }
    return session;
  }

  /** As `start`, without waiting: `ready` rejects when the ranks can't start, and so does the first cell. */
  static launch(options: SessionOptions = {}): Session {
    return new Session(options);
  }

  /** Resolves when the ranks serve cells. */
  get ready(): Promise<void> {
    return this.#ranks.world.then(() => {});
  }

  get worldSize(): number {
    return this.#ranks.size;
  }

  get executionCount(): number {
    return this.#executionCount;
  }

  get checkLevel(): CheckLevel {
    return this.#checkLevel;
  }

  get history(): readonly HistoryEntry[] {
    return this.#history;
  }

  execute(code: string, options: ExecuteOptions = {}): Promise<ExecuteResult> {
    const interrupts = this.#interrupts;
    return this.#enqueue(() => this.#execute(code, options, interrupts));
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work);
    this.#queue = result.catch(() => {});
    return result;
  }

  async #execute(code: string, options: ExecuteOptions, interrupts: number): Promise<ExecuteResult> {
    const silent = options.silent ?? false;
    const store = options.storeHistory ?? !silent;
    if (store && !silent) this.#executionCount += 1;
    const count = this.#executionCount;
    const payload: ExecuteResult['payload'] = [];
    const output: { text: string | null } = { text: null };
    const joiner = new StreamJoiner((event) => options.onOutput?.(event));
    const onOutput = (event: CellOutput): void => {
      if (event.type === 'execute_result') output.text = String(event.data['text/plain'] ?? '');
      joiner.add(event);
    };
    let error: CellError | undefined;
    try {
      const interrupted = (): boolean => this.#interrupts !== interrupts;
      error = await this.#runCell(code, { ...options, silent, onOutput }, count, payload, interrupted);
    } catch (thrown) {
      error = plainError(thrown);
    }
    if (error && !silent) onOutput({ type: 'error', ...error, ranks: [] });
    joiner.flush();
    if (store) this.#history.push({ session: 0, line: count, input: code, output: output.text });
    const userExpressions = error ? {} : await this.#evaluateAll(options.userExpressions ?? {});
    return {
      status: error ? 'error' : 'ok',
      executionCount: count,
      ...(error ? { error } : {}),
      payload,
      userExpressions,
    };
  }

  async #runCell(
    source: string,
    options: CellOptions,
    count: number,
    payload: ExecuteResult['payload'],
    interrupted: () => boolean,
  ): Promise<CellError | undefined> {
    const started = performance.now();
    const plan = planCell(source);
    const say = (text: string): void =>
      options.onOutput({ type: 'stream', name: 'stdout', text: `${text}\n`, ranks: [] });
    if (plan.question !== undefined) {
      const { found, data } = await this.#compiler.inspect(plan.question, plan.question.length, 1);
      if (found) payload.push({ source: 'page', data, start: 0 });
      else say(`Nothing is known of "${plan.question}"`);
      return undefined;
    }
    for (const magic of plan.magics) await obey(magic, this.#magicHost, say);
    const { size } = await this.#ranks.world;
    const ranks = plan.ranks ?? Array.from({ length: size }, (_, rank) => rank);
    checkRanks(ranks, size);
    checkInstruments(plan.instruments, ranks, size);
    if (plan.code.trim() === '') return undefined;
    const name = options.silent ? `silent cell ${++this.#silentCells}` : this.#uniqueName(count);
    this.#texts.set(name, plan.code);
    const outcome = await this.#compiler.compile({ code: plan.code, name, level: this.#checkLevel });
    this.#ranks.keepSideFiles(outcome);
    if (!outcome.program) return diagnosticsError(outcome.diagnostics, name, this.#texts);
    if (outcome.diagnostics.length > 0) {
      const text = `${describeDiagnostics(outcome.diagnostics, name, this.#texts).join('\n')}\n`;
      options.onOutput({ type: 'stream', name: 'stderr', text, ranks: [] });
    }
    if (!options.silent) await this.#cells.add(outcome.program, source, outcome.sideFiles);
    if (interrupted()) return plainError(interruptedBeforeStart());
    const { error, times } = await this.#runProgram(outcome.program, ranks, plan.instruments, options);
    if (plan.time) {
      const each = times.map(({ rank, took }) => `rank ${rank} ${duration(took)}`);
      const detail = each.length > 1 ? ` (${each.join(', ')})` : '';
      say(`took ${duration(performance.now() - started)}${detail}`);
    }
    return error;
  }

  /** `cell 3`; a cell that is not counted still needs a name of its own. */
  #uniqueName(count: number): string {
    let name = `cell ${count}`;
    for (let i = 2; this.#texts.has(name); i++) name = `cell ${count}.${i}`;
    return name;
  }

  /** Where what the ranks say in one run goes. */
  #sink(
    name: string,
    ranks: readonly number[],
    options: Pick<ExecuteOptions, 'onInput' | 'onComm'> & { onOutput: (output: CellOutput) => void },
  ): Sink {
    const { patience } = this.#options;
    const { onOutput, onInput, onComm } = options;
    const sink: Sink = {
      seq: ++this.#seq,
      fold: new OutputFold({
        worldSize: this.worldSize,
        ranks,
        emit: onOutput,
        ...(patience === undefined ? {} : { patience }),
      }),
      bars: new ProgressBars(name.replaceAll(' ', '-'), ranks, onOutput),
      onOutput,
      onInput,
      onComm,
    };
    this.#router.begin(sink);
    return sink;
  }

  async #runProgram(
    program: CellProgram,
    ranks: readonly number[],
    instruments: readonly Instrument[],
    options: CellOptions,
  ): Promise<{ error: CellError | undefined; times: { rank: number; took: number }[] }> {
    const world = await this.#ranks.world;
    const sink = this.#sink(program.name, ranks, options);
    const { seq, fold, bars } = sink;
    const watch = this.#options.watch === true && !options.silent;
    if (!options.silent) {
      const see = this.#lastCell.begin(program.name);
      sink.onObservation = (rank, { seen }) => see(rank, seen);
    }
    const committed = this.#committed;
    this.#busy += 1;
    this.#notifyRanks();
    const replies = await Promise.all(
      ranks.map(async (rank) => {
        const reply: Answer<RunReply> = await this.#ranks.ask<RunReply>(world, rank, {
          type: 'run',
          seq,
          program,
          committed,
          sideFiles: this.#ranks.newSideFiles(rank),
          wantResult: !options.silent,
          instruments,
          watch,
        });
        fold.finished(rank);
        return { rank, reply };
      }),
    );
    this.#busy -= 1;
    await this.#settleOthers(world, ranks);
    fold.flush();
    bars.flush();
    const failures = replies.flatMap(({ rank, reply }) => (reply.ok ? [] : [{ rank, value: reply.error }]));
    if (!options.silent) {
      const seen = replies.flatMap(({ rank, reply }) => (reply.seen ? [[rank, reply.seen] as const] : []));
      this.#lastCell.end(program.name, seen, failures);
    }
    if (failures.length === 0) {
      this.#committed = seq;
      this.#compiler.commit();
    }
    this.#showResults(replies, options);
    await this.#reviveDead(world, options.onOutput);
    this.#notifyRanks();
    const times = replies.flatMap(({ rank, reply }) =>
      reply.took === undefined ? [] : [{ rank, took: reply.took }],
    );
    const error = failures.length === 0 ? undefined : failuresError(failures, world.size, this.#texts);
    return { error, times };
  }

  /** Ranks that sat a cell out must still learn what became of the one before. */
  async #settleOthers(world: World, ranks: readonly number[]): Promise<void> {
    if (ranks.length >= world.size) return;
    const committed = this.#committed;
    const others = Array.from({ length: world.size }, (_, rank) => rank).filter(
      (rank) => !ranks.includes(rank),
    );
    await Promise.all(others.map((rank) => this.#ranks.ask(world, rank, { type: 'settle', committed })));
  }

  #showResults(
    replies: readonly { rank: number; reply: Answer<RunReply> }[],
    options: { silent: boolean; onOutput: (output: CellOutput) => void },
  ): void {
    if (options.silent || replies.some(({ reply }) => !reply.ok)) return;
    const results = replies.flatMap(({ rank, reply }) =>
      reply.ok && reply.result ? [{ rank, value: reply.result }] : [],
    );
    for (const folded of foldResults(results, this.worldSize)) {
      const { data, metadata, ranks } = folded;
      if (folded.kind === 'result') {
        const executionCount = this.#executionCount;
        options.onOutput({ type: 'execute_result', data, metadata, executionCount, ranks });
      } else {
        options.onOutput({ type: 'stream', name: 'stdout', text: `${folded.label}\n`, ranks });
        options.onOutput({ type: 'display_data', data, metadata, ranks });
      }
    }
  }

  /** A rank that died gets a fresh thread; its variables are gone, which is said. */
  async #reviveDead(world: World, onOutput: (output: CellOutput) => void): Promise<void> {
    for (const { rank, state, reason } of world.status()) {
      if (state !== 'dead') continue;
      await world.restart(rank);
      this.#freshRank(rank);
      const text = `Rank ${rank} died (${reason ?? 'unknown reason'}) and was started again: it has no variables. Run earlier cells again, or "%restart" for all ranks.\n`;
      onOutput({ type: 'stream', name: 'stderr', text, ranks: [rank] });
    }
  }

  #freshRank(rank: number): void {
    this.#ranks.forgetSent(rank);
    this.#comms.dropRank(rank);
  }

  readonly #magicHost: MagicHost = ((session: Session): MagicHost => ({
    get ranks() {
      return session.#ranks;
    },
    get checkLevel() {
      return session.#checkLevel;
    },
    set checkLevel(level) {
      session.#checkLevel = level;
    },
    replaceWorld: (size) => session.#replaceWorld(size),
    restartRank: async (rank) => {
      await session.#ranks.restart(rank);
      session.#freshRank(rank);
    },
    forgetVariables: async () => {
      session.#compiler.reset();
      session.#comms.dropAll();
      await session.#ranks.askAll({ type: 'reset' });
    },
    variables: () => session.variables(),
  }))(this);

  async #evaluateAll(expressions: Record<string, string>): Promise<Record<string, UserExpressionResult>> {
    const results: Record<string, UserExpressionResult> = {};
    for (const [key, code] of Object.entries(expressions)) results[key] = await this.#evaluate(code);
    return results;
  }

  /** An expression of a front end: on rank 0 alone, and it declares nothing. */
  async #evaluate(code: string): Promise<UserExpressionResult> {
    const name = `expression ${++this.#silentCells}`;
    this.#texts.set(name, code);
    const outcome = await this.#compiler.compile({ code, name, level: 'off' });
    if (!outcome.program)
      return { status: 'error', ...diagnosticsError(outcome.diagnostics, name, this.#texts) };
    const world = await this.#ranks.world;
    const reply = await this.#ranks.ask<RunReply>(world, 0, {
      type: 'run',
      seq: ++this.#seq,
      program: outcome.program,
      committed: this.#committed,
      sideFiles: this.#ranks.newSideFiles(0),
      wantResult: true,
      instruments: [],
    });
    await this.#ranks.ask(world, 0, { type: 'settle', committed: this.#committed });
    await this.#settleOthers(world, [0]);
    if (!reply.ok)
      return { status: 'error', ...failuresError([{ rank: 0, value: reply.error }], 1, this.#texts) };
    const { data, metadata } =
      reply.result ?? ({ data: { 'text/plain': 'undefined' }, metadata: {} } satisfies RankDisplay);
    return { status: 'ok', data, metadata };
  }

  /** A program of the kernel's own, which may declare names: nothing is shown of it. */
  async #runQuietly(code: string, ranks: readonly number[], unless?: string): Promise<CellError | undefined> {
    const name = `silent cell ${++this.#silentCells}`;
    if (unless !== undefined) {
      const { program } = await this.#compiler.compile({ code: unless, name, level: 'errors' });
      if (program) return undefined;
    }
    const outcome = await this.#compiler.compile({ code, name, level: 'off' });
    if (!outcome.program) return diagnosticsError(outcome.diagnostics, name, this.#texts);
    const options = { silent: true, onOutput: () => {} };
    return (await this.#runProgram(outcome.program, ranks, [], options)).error;
  }

  comm(
    message: CommMessage,
    options: Pick<ExecuteOptions, 'onOutput' | 'onInput' | 'onComm'> = {},
  ): Promise<boolean> {
    return this.#enqueue(async () => {
      const ranks = this.#comms.fromFrontEnd(message);
      if (ranks === undefined) return false;
      const world = await this.#ranks.world;
      const joiner = new StreamJoiner((event) => options.onOutput?.(event));
      const onOutput = (output: CellOutput): void => joiner.add(output);
      const { seq, fold, bars } = this.#sink(`comm ${message.id}`, ranks, { ...options, onOutput });
      const committed = this.#committed;
      this.#busy += 1;
      await Promise.all(
        ranks.map(async (rank) => {
          const answer = await this.#ranks.ask(world, rank, { type: 'comm', seq, committed, message });
          const failed = (answer as { error?: RankFailure } | undefined)?.error;
          const text = `Warning: a comm handler ended: ${failed?.message}\n`;
          if (failed) fold.add(rank, { type: 'stream', name: 'stderr', text });
          fold.finished(rank);
        }),
      );
      this.#busy -= 1;
      await this.#settleOthers(world, ranks);
      fold.flush();
      bars.flush();
      await this.#reviveDead(world, onOutput);
      joiner.flush();
      return true;
    });
  }

  comms(): ReadonlyMap<string, string> {
    return this.#comms.list();
  }

  onComm(listener: (message: CommMessage) => void): () => void {
    this.#commListeners.add(listener);
    return () => void this.#commListeners.delete(listener);
  }

  async complete(code: string, cursor: number): Promise<CompleteResult> {
    const lineStart = code.lastIndexOf('\n', cursor - 1) + 1;
    const magic = /^%{1,2}\w*$/.exec(code.slice(lineStart, cursor));
    if (magic) {
      const matches = magicNames().filter((name) => name.startsWith(magic[0]));
      return { matches, cursorStart: lineStart, cursorEnd: cursor, kinds: matches.map(() => 'magic') };
    }
    return this.#compiler.complete(withoutMagics(code), cursor);
  }

  inspect(code: string, cursor: number, detail: 0 | 1): Promise<InspectResult> {
    return this.#compiler.inspect(withoutMagics(code), cursor, detail);
  }

  isComplete(code: string): Promise<IsCompleteResult> {
    return this.#compiler.isComplete(withoutMagics(code));
  }

  ranks(): RankInfo[] {
    return this.#ranks.infos();
  }

  cluster(): ClusterView {
    const { machine } = this.#ranks;
    return { watching: this.#options.watch === true, machine, ...this.#lastCell.view(this.ranks()) };
  }

  async variables(): Promise<VariablesView> {
    if (this.#busy > 0) return { stale: true, ranks: this.#lastVariables };
    const world = await this.#ranks.world;
    const committed = this.#committed;
    const ranks = await Promise.all(
      Array.from({ length: world.size }, async (_, rank) => {
        const answer = await soon(this.#ranks.ask<VariableView[]>(world, rank, { type: 'who', committed }));
        if (Array.isArray(answer)) return { rank, variables: answer };
        return { rank, variables: [], trouble: answer?.error.message ?? 'the rank is busy' };
      }),
    );
    this.#lastVariables = ranks;
    return { stale: false, ranks };
  }

  onRanksChanged(listener: (ranks: RankInfo[]) => void): () => void {
    this.#rankListeners.add(listener);
    return () => void this.#rankListeners.delete(listener);
  }

  #notifyRanks(): void {
    if (this.#rankListeners.size === 0) return;
    const ranks = this.ranks();
    for (const listener of this.#rankListeners) listener(ranks);
  }

  async interrupt(): Promise<InterruptSummary> {
    this.#interrupts += 1;
    const world = await this.#ranks.world;
    for (const listener of this.#interruptListeners) await listener();
    const report = await world.interrupt();
    const ranksOf = (outcome: string): number[] =>
      report.ranks.filter((rank) => rank.outcome === outcome).map(({ rank }) => rank);
    const restarted = ranksOf('state lost');
    for (const rank of restarted) {
      this.#freshRank(rank);
      const text = `Rank ${rank} did not stop in time and was started again: it has no variables.\n`;
      this.#router.last?.onOutput({ type: 'stream', name: 'stderr', text, ranks: [rank] });
    }
    this.#notifyRanks();
    return { kept: ranksOf('state kept'), restarted };
  }

  /** Works at any time: what runs is dropped with its world. */
  async restart(): Promise<void> {
    this.#interrupts += 1;
    await this.#replaceWorld(this.worldSize);
    this.#executionCount = 0;
    this.#texts.clear();
    this.#cells.clear();
  }

  async #replaceWorld(size: number): Promise<void> {
    await this.#ranks.world;
    this.#compiler.reset();
    this.#lastCell.forget();
    this.#lastVariables = [];
    this.#comms.dropAll();
    await this.#ranks.replace(size);
  }

  async shutdown(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([this.#ranks.stop(), this.#compiler.close()]);
  }
}

function interruptedBeforeStart(): ShardbookError {
  return new ShardbookError({
    code: 'SB_INTERRUPTED',
    message: 'Cannot run the cell: it was interrupted before it started',
  });
}
