/**
 * A session: cells are compiled once and run on every rank. Front ends (ZeroMQ, WebSocket, the lesson check) stand on
 * `execute`; what they see is in `types.ts`.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type ClusterOptions, ShardbookError } from '../../runtime/index.js';
import { checkWorldSize, distEntry, packageRoot, World } from '../world/index.js';
import {
  type CellProgram,
  type CompileOutcome,
  type Compiler,
  type CompilerEngine,
  type SideFile,
  startCompiler,
} from './compiler/index.js';
import { type CreditMemory, clearCredit, createCredit, takeOutput } from './credit.js';
import { foldResults, OutputFold } from './fold.js';
import { StreamJoiner } from './join-streams.js';
import { type ClusterWish, type Instrument, type Magic, magicHelp, magicNames, planCell } from './magics.js';
import { ProgressBars } from './progress-bars.js';
import type { RankDisplay, RankEvent, RankFailure, RankRequest, RunReply, WhoEntry } from './rank/index.js';
import {
  describeDiagnostics,
  diagnosticsError,
  failuresError,
  plainError,
  requestFailure,
} from './report.js';
import type {
  CellError,
  CellOutput,
  CheckLevel,
  ClusterView,
  CompleteResult,
  ExecuteOptions,
  ExecuteResult,
  HistoryEntry,
  InspectResult,
  InterruptSummary,
  IsCompleteResult,
  ObservedFailure,
  RankInfo,
  RankObservation,
  SessionApi,
  SessionOptions,
  UserExpressionResult,
} from './types.js';
import { prepareWorld } from './world-memory.js';

export const DEFAULT_WORLD_SIZE = 4;

/** What a rank thread of a session is started with. */
export interface SessionRankData {
  cwd: string;
  memory: unknown;
  credit: CreditMemory;
  cluster: ClusterOptions;
}

interface Running {
  seq: number;
  fold: OutputFold;
  bars: ProgressBars;
  onOutput: (output: CellOutput) => void;
  onInput: ExecuteOptions['onInput'];
}

export class Session implements SessionApi {
  readonly #cwd: string;
  readonly #options: SessionOptions;
  readonly #compiler: Compiler;
  readonly #texts = new Map<string, string>();
  readonly #history: HistoryEntry[] = [];
  readonly #rankListeners = new Set<(ranks: RankInfo[]) => void>();
  readonly #sideFiles = new Map<string, { version: number; file: SideFile }>();
  #cluster: ClusterOptions | undefined;
  #world: Promise<World>;
  #ready: World | undefined;
  #sideVersion = 0;
  /** Per rank: the newest side file it has. */
  #sent: number[] = [];
  #commitPrevious = false;
  #checkLevel: CheckLevel;
  #executionCount = 0;
  #seq = 0;
  #running: Running | undefined;
  #last: Running | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #interrupts = 0;
  #closed = false;
  #lastCell: { name: string; seen: Map<number, RankObservation>; failures: ObservedFailure[] } | undefined;

  private constructor(options: SessionOptions) {
    this.#options = options;
    this.#cwd = path.resolve(options.cwd ?? process.cwd());
    this.#checkLevel = options.checkLevel ?? 'errors';
    const size = options.world ?? DEFAULT_WORLD_SIZE;
    checkWorldSize(size);
    const types = path.join(packageRoot(), 'dist/types/kernel');
    requireTypes(path.join(types, 'preload.d.ts'));
    this.#compiler = startCompiler(distEntry('compiler-worker.js'), {
      engine: options.compiler ?? engineOfEnvironment(),
      cwd: this.#cwd,
      preloadTypes: path.join(types, 'preload.d.ts'),
      runtimeTypes: path.join(types, 'runtime/index.d.ts'),
    });
    this.#world = this.#startWorld(size);
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
    const session = new Session(options);
    session.#world.catch(() => {});
    return session;
  }

  /** Resolves when the ranks serve cells. */
  get ready(): Promise<void> {
    return this.#world.then(() => {});
  }

  get worldSize(): number {
    return this.#ready?.size ?? this.#options.world ?? DEFAULT_WORLD_SIZE;
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
      error = await this.#runCell(
        code,
        { ...options, silent, onOutput },
        count,
        payload,
        () => this.#interrupts !== interrupts,
      );
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
    options: ExecuteOptions & { silent: boolean; onOutput: (output: CellOutput) => void },
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
    for (const magic of plan.magics) await this.#obey(magic, say);
    const ranks = plan.ranks ?? Array.from({ length: (await this.#world).size }, (_, rank) => rank);
    this.#checkRanks(ranks);
    this.#checkInstruments(plan.instruments, ranks);
    if (plan.code.trim() === '') return undefined;
    const name = options.silent ? `silent cell ${++this.#silentCells}` : this.#uniqueName(count);
    this.#texts.set(name, plan.code);
    const outcome = await this.#compiler.compile({ code: plan.code, name, level: this.#checkLevel });
    this.#keepSideFiles(outcome);
    if (!outcome.program) return diagnosticsError(outcome.diagnostics, name, this.#texts);
    if (outcome.diagnostics.length > 0) {
      const text = `${describeDiagnostics(outcome.diagnostics, name, this.#texts).join('\n')}\n`;
      options.onOutput({ type: 'stream', name: 'stderr', text, ranks: [] });
    }
    if (interrupted()) return plainError(interruptedBeforeStart());
    const { error, times } = await this.#runProgram(outcome.program, ranks, plan.instruments, options);
    if (plan.time) {
      const each = times.map(({ rank, took }) => `rank ${rank} ${duration(took)}`);
      const detail = each.length > 1 ? ` (${each.join(', ')})` : '';
      say(`took ${duration(performance.now() - started)}${detail}`);
    }
    return error;
  }

  #silentCells = 0;

  /** `cell 3`; a cell that is not counted still needs a name of its own. */
  #uniqueName(count: number): string {
    let name = `cell ${count}`;
    for (let i = 2; this.#texts.has(name); i++) name = `cell ${count}.${i}`;
    return name;
  }

  async #runProgram(
    program: CellProgram,
    ranks: readonly number[],
    instruments: readonly Instrument[],
    options: ExecuteOptions & { silent: boolean; onOutput: (output: CellOutput) => void },
  ): Promise<{ error: CellError | undefined; times: { rank: number; took: number }[] }> {
    const world = await this.#world;
    const seq = ++this.#seq;
    const { patience } = this.#options;
    const fold = new OutputFold({
      worldSize: world.size,
      ranks,
      emit: options.onOutput,
      ...(patience === undefined ? {} : { patience }),
    });
    const bars = new ProgressBars(program.name.replaceAll(' ', '-'), ranks, options.onOutput);
    this.#running = { seq, fold, bars, onOutput: options.onOutput, onInput: options.onInput };
    this.#last = this.#running;
    const commitPrevious = this.#commitPrevious;
    this.#notifyRanks();
    const replies = await Promise.all(
      ranks.map(async (rank) => {
        const request: RankRequest = {
          type: 'run',
          seq,
          program,
          commitPrevious,
          sideFiles: this.#newSideFiles(rank),
          wantResult: !options.silent,
          instruments,
          watch: this.#options.watch === true && !options.silent,
        };
        const reply = await this.#ask<RunReply>(world, rank, request);
        fold.finished(rank);
        return { rank, reply };
      }),
    );
    // Ranks that sat this cell out must still learn what became of the one before.
    if (ranks.length < world.size) {
      const others = Array.from({ length: world.size }, (_, rank) => rank).filter(
        (rank) => !ranks.includes(rank),
      );
      await Promise.all(
        others.map((rank) => this.#ask(world, rank, { type: 'settle', commit: commitPrevious })),
      );
    }
    fold.flush();
    bars.flush();
    this.#running = undefined;
    const failures = replies.flatMap(({ rank, reply }) => (reply.ok ? [] : [{ rank, value: reply.error }]));
    if (!options.silent) {
      this.#lastCell = {
        name: program.name,
        seen: new Map(replies.flatMap(({ rank, reply }) => (reply.seen ? [[rank, reply.seen]] : []))),
        failures: failures.map(({ rank, value }) => observedFailure(rank, value)),
      };
    }
    this.#commitPrevious = failures.length === 0;
    if (failures.length === 0) this.#compiler.commit();
    this.#showResults(replies, options);
    await this.#reviveDead(world, options.onOutput);
    this.#notifyRanks();
    const times = replies.flatMap(({ rank, reply }) =>
      reply.took === undefined ? [] : [{ rank, took: reply.took }],
    );
    const error = failures.length === 0 ? undefined : failuresError(failures, world.size, this.#texts);
    return { error, times };
  }

  #showResults(
    replies: readonly { rank: number; reply: RunReply }[],
    options: { silent: boolean; onOutput: (output: CellOutput) => void },
  ): void {
    if (options.silent || replies.some(({ reply }) => !reply.ok)) return;
    const results = replies.flatMap(({ rank, reply }) =>
      reply.ok && reply.result ? [{ rank, value: reply.result }] : [],
    );
    for (const folded of foldResults(results, this.worldSize)) {
      const { data, metadata, ranks } = folded;
      if (folded.kind === 'result')
        options.onOutput({
          type: 'execute_result',
          data,
          metadata,
          executionCount: this.#executionCount,
          ranks,
        });
      else {
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
      this.#sent[rank] = 0;
      const text = `Rank ${rank} died (${reason ?? 'unknown reason'}) and was started again: it has no variables. Run earlier cells again, or "%restart" for all ranks.\n`;
      onOutput({ type: 'stream', name: 'stderr', text, ranks: [rank] });
    }
  }

  async #ask<A>(
    world: World,
    rank: number,
    request: RankRequest,
  ): Promise<A | { ok: false; took?: number; seen?: RankObservation; error: RankFailure }> {
    try {
      return await world.request<RankRequest, A>(rank, request);
    } catch (error) {
      return { ok: false, error: requestFailure(error, world.status()[rank]) };
    }
  }

  #keepSideFiles(outcome: CompileOutcome): void {
    for (const file of outcome.sideFiles)
      this.#sideFiles.set(file.path, { version: ++this.#sideVersion, file });
  }

  #newSideFiles(rank: number): SideFile[] {
    const known = this.#sent[rank] ?? 0;
    this.#sent[rank] = this.#sideVersion;
    return known === this.#sideVersion
      ? []
      : [...this.#sideFiles.values()].filter(({ version }) => version > known).map(({ file }) => file);
  }

  #checkRanks(ranks: readonly number[]): void {
    const outside = ranks.filter((rank) => rank >= this.worldSize);
    if (outside.length === 0) return;
    throw new ShardbookError({
      code: 'SB_NO_SUCH_RANK',
      message: `Cannot run on rank ${outside.join(', ')}: the world has ranks 0 to ${this.worldSize - 1}`,
      help: `"%world ${Math.max(...outside) + 1}" starts a larger world`,
    });
  }

  /** The trace of a cell is gathered from all ranks, so all have to run it. */
  #checkInstruments(instruments: readonly Instrument[], ranks: readonly number[]): void {
    if (!instruments.includes('trace') || ranks.length === this.worldSize) return;
    throw new ShardbookError({
      code: 'SB_MAGIC_ARGUMENT',
      message: `Cannot obey "%trace": the cell runs on rank ${ranks.join(', ')} only, wanted all ranks`,
      help: 'leave out "%%rank", or use "new CommRecorder()" on these ranks',
    });
  }

  async #obey(magic: Magic, say: (text: string) => void): Promise<void> {
    switch (magic.name) {
      case 'world':
        checkWorldSize(magic.size);
        this.#cluster = clusterOptions(magic.size, magic.cluster);
        await this.#replaceWorld(magic.size);
        return say(
          [
            `World of ${magic.size} ${magic.size === 1 ? 'rank' : 'ranks'}; all variables are fresh.`,
            ...(Object.keys(magic.cluster).length > 0 ? [`cluster: ${Cluster.of(this.#cluster)}`] : []),
          ].join('\n'),
        );
      case 'check':
        if (magic.level) this.#checkLevel = magic.level;
        return say(`Type errors: ${this.#checkLevel}`);
      case 'restart':
        if (magic.rank === undefined) {
          await this.#replaceWorld(this.worldSize);
          return say('All ranks are fresh; no variables.');
        }
        this.#checkRanks([magic.rank]);
        await (await this.#world).restart(magic.rank);
        this.#sent[magic.rank] = 0;
        return say(`Rank ${magic.rank} is fresh; no variables.`);
      case 'reset':
        this.#compiler.reset();
        this.#commitPrevious = false;
        await this.#everyRank({ type: 'reset' });
        return say('All variables are forgotten.');
      case 'who':
        return say(await this.#who());
      case 'help':
        return say(magicHelp());
    }
  }

  async #everyRank(request: RankRequest): Promise<void> {
    const world = await this.#world;
    await Promise.all(Array.from({ length: world.size }, (_, rank) => this.#ask(world, rank, request)));
  }

  /** The variables of all ranks: one line where they agree, one for each value where they don't. */
  async #who(): Promise<string> {
    const world = await this.#world;
    const request: RankRequest = { type: 'who', commitPrevious: this.#commitPrevious };
    const answers = await Promise.all(
      Array.from({ length: world.size }, (_, rank) => this.#ask<WhoEntry[]>(world, rank, request)),
    );
    const values = new Map<string, Map<string, { entry: WhoEntry; ranks: number[] }>>();
    const troubles: string[] = [];
    for (const [rank, entries] of answers.entries()) {
      if (!Array.isArray(entries)) {
        troubles.push(`[rank ${rank}] ${entries.error.message}`);
        continue;
      }
      for (const entry of entries) {
        const variants = values.get(entry.name) ?? new Map();
        values.set(entry.name, variants);
        const key = `${entry.type} ${entry.value}`;
        const variant = variants.get(key) ?? { entry, ranks: [] };
        variants.set(key, variant);
        variant.ranks.push(rank);
      }
    }
    if (values.size === 0) return ['No variables yet.', ...troubles].join('\n');
    const rows = [...values].flatMap(([name, variants]) =>
      [...variants.values()].map(({ entry, ranks }) => [
        name,
        ranks.length === world.size ? '' : `[rank ${ranks.join(',')}]`,
        entry.type,
        entry.value,
      ]),
    );
    return [...alignColumns(rows), ...troubles].join('\n');
  }

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
    const world = await this.#world;
    const reply = await this.#ask<RunReply>(world, 0, {
      type: 'run',
      seq: ++this.#seq,
      program: outcome.program,
      commitPrevious: this.#commitPrevious,
      sideFiles: this.#newSideFiles(0),
      wantResult: true,
      instruments: [],
    });
    await this.#ask(world, 0, { type: 'settle', commit: false });
    await Promise.all(
      Array.from({ length: world.size - 1 }, (_, i) =>
        this.#ask(world, i + 1, { type: 'settle', commit: this.#commitPrevious }),
      ),
    );
    this.#commitPrevious = false;
    if (!reply.ok)
      return { status: 'error', ...failuresError([{ rank: 0, value: reply.error }], 1, this.#texts) };
    const { data, metadata } =
      reply.result ?? ({ data: { 'text/plain': 'undefined' }, metadata: {} } satisfies RankDisplay);
    return { status: 'ok', data, metadata };
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
    return (this.#ready?.status() ?? []).map(({ rank, state, reason }) => ({
      rank,
      state,
      ...(reason === undefined ? {} : { reason }),
    }));
  }

  cluster(): ClusterView {
    const last = this.#lastCell;
    const ranks = this.ranks().map((info) => {
      const seen = last?.seen.get(info.rank);
      return { ...info, ...(seen === undefined ? {} : { seen }) };
    });
    return {
      watching: this.#options.watch === true,
      machine: String(Cluster.of(this.#cluster ?? clusterOptions(this.worldSize, {}))),
      ...(last === undefined ? {} : { cell: last.name }),
      ranks,
      failures: last?.failures ?? [],
    };
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
    const world = await this.#world;
    const report = await world.interrupt();
    const ranksOf = (outcome: string): number[] =>
      report.ranks.filter((rank) => rank.outcome === outcome).map(({ rank }) => rank);
    const restarted = ranksOf('state lost');
    for (const rank of restarted) {
      this.#sent[rank] = 0;
      const text = `Rank ${rank} did not stop in time and was started again: it has no variables.\n`;
      this.#last?.onOutput({ type: 'stream', name: 'stderr', text, ranks: [rank] });
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
  }

  async #replaceWorld(size: number): Promise<void> {
    const old = await this.#world;
    this.#compiler.reset();
    this.#commitPrevious = false;
    this.#lastCell = undefined;
    this.#sent = [];
    this.#world = Promise.all([this.#startWorld(size), old.stop()]).then(([fresh]) => fresh);
    await this.#world;
    this.#notifyRanks();
  }

  async #startWorld(size: number): Promise<World> {
    const { memory, supervisor } = prepareWorld(size);
    const credit = createCredit(size);
    const cluster = this.#cluster ?? clusterOptions(size, {});
    const data: SessionRankData = { cwd: this.#cwd, memory, credit, cluster };
    const { heapLimitMb } = this.#options;
    const world = await World.start({
      size,
      entry: distEntry('rank-worker.js'),
      workerData: data,
      ...(heapLimitMb === undefined ? {} : { heapLimitMb }),
      ...(supervisor ? { supervisor } : {}),
    });
    world.onEvent((rank, event) => {
      const said = event as RankEvent;
      this.#onEvent(world, rank, said);
      if (said.type === 'stream') takeOutput(credit, rank, said.text.length);
    });
    world.onExit((rank) => {
      clearCredit(credit, rank);
      this.#notifyRanks();
    });
    this.#ready = world;
    return world;
  }

  #onEvent(world: World, rank: number, event: RankEvent): void {
    const target = this.#running ?? this.#last;
    if (!target) return;
    if (event.type === 'input') return void this.#answerInput(world, rank, event, target);
    if (event.type === 'progress') return void target.bars.add(rank, event);
    const { seq: _seq, ...item } = event;
    // What timers of earlier cells say comes out with the cell that runs now, or last.
    target.fold.add(rank, item);
  }

  async #answerInput(
    world: World,
    rank: number,
    event: Extract<RankEvent, { type: 'input' }>,
    target: Running,
  ): Promise<void> {
    target.fold.flush();
    const { id, prompt, password } = event;
    const label = world.size > 1 ? `[rank ${rank}] ` : '';
    let value: string | undefined;
    try {
      value = await target.onInput?.({ prompt: `${label}${prompt}`, password });
    } catch {
      value = undefined;
    }
    await this.#ask(world, rank, { type: 'input', id, value });
  }

  async shutdown(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const world = this.#world.then((started) => started.stop()).catch(() => {});
    await Promise.all([world, this.#compiler.close()]);
  }
}

function observedFailure(rank: number, { name, message, code, position }: RankFailure): ObservedFailure {
  return {
    rank,
    name,
    message,
    ...(code === undefined ? {} : { code }),
    ...(position === undefined ? {} : { position }),
  };
}

function requireTypes(file: string): void {
  if (existsSync(file)) return;
  throw new ShardbookError({
    code: 'SB_NOT_BUILT',
    message: `Cannot compile cells: the types of what they see are not at "${file}", which the build writes`,
    help: 'run "npm run build"',
  });
}

function withoutMagics(code: string): string {
  return code.replace(/^(\s*)%{1,2}[A-Za-z].*$/gm, (line) => ' '.repeat(line.length));
}

function interruptedBeforeStart(): ShardbookError {
  return new ShardbookError({
    code: 'SB_INTERRUPTED',
    message: 'Cannot run the cell: it was interrupted before it started',
  });
}

function alignColumns(rows: readonly string[][]): string[] {
  const columns = (rows[0] ?? []).map((_, i) => i).filter((i) => rows.some((row) => row[i] !== ''));
  const width = (i: number): number => Math.max(...rows.map((row) => row[i]!.length));
  return rows.map((row) =>
    columns
      .map((i) => row[i]!.padEnd(width(i)))
      .join('  ')
      .trimEnd(),
  );
}

/** The machine of a world; names that nobody knows are refused here, before any rank starts. */
function clusterOptions(size: number, wish: ClusterWish): ClusterOptions {
  const { nodes = 1, device, link, across } = wish;
  const options: ClusterOptions = {
    nodes,
    ranksPerNode: size / nodes,
    ...(device === undefined ? {} : { device }),
    ...(link === undefined ? {} : { inside: link }),
    ...(across === undefined ? {} : { across }),
  };
  Cluster.of(options);
  return options;
}

function duration(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

function engineOfEnvironment(): CompilerEngine {
  const wanted = process.env['SHARDBOOK_COMPILER'] ?? 'typescript';
  if (wanted === 'typescript' || wanted === 'tslab') return wanted;
  throw new ShardbookError({
    code: 'SB_COMPILER',
    message: `Cannot start a session: SHARDBOOK_COMPILER is "${wanted}"`,
    help: 'use "typescript" or "tslab"',
  });
}
