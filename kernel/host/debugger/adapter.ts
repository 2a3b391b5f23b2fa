/**
 * Jupyter's debug requests (the debug adapter protocol in `debug_request` messages) over the ranks' own debuggers. A
 * rank is a thread of the protocol: rank r is thread r + 1. Ranks run one program, so `continue` and steps move all ranks
 * that stand still, unless the request says `singleThread`; breakpoints hold on every rank.
 */
import { basename } from 'node:path';
import type { DebugTarget, VariableView } from '../session/index.js';
import { packageRoot } from '../world/index.js';
import { Breakpoints, scriptUrl } from './breakpoints.js';
import { RankInspector } from './inspector.js';
import { type Frame, learnersFrames, type PausedParams, PausedRank, type Shown } from './paused.js';
import { type Reference, References, sharedVariables } from './references.js';
import { HASH_SEED, Sources, SUFFIX } from './sources.js';

export type Content = Record<string, unknown>;

/** A response of the debug adapter protocol. */
export interface DebugReply extends Content {
  type: 'response';
  success: boolean;
}

/** Stepping stays in what the learner wrote. */
const NOT_THE_LEARNERS = [
  '^node:',
  `^${scriptUrl(`${packageRoot()}/dist/`).replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}`,
  '/node_modules/',
];

interface Standing {
  frames: Frame[];
  reason: string;
}

/** What a request that cannot be answered says. */
class Refusal extends Error {}

export class DebugAdapter {
  readonly #target: DebugTarget;
  readonly #emit: (event: Content) => void;
  readonly #sources: Sources;
  readonly #breakpoints: Breakpoints;
  /** Urls of scripts, by thread and script. */
  readonly #scripts = new Map<string, string>();
  readonly #standing = new Map<number, Standing>();
  readonly #references = new References();
  readonly #inspector: RankInspector;
  #forget: (() => void)[] = [];
  #started = false;
  /** The client shows one stack, and never asks for threads. */
  #oneStack = false;
  #exceptions: 'none' | 'uncaught' | 'all' = 'none';
  #seq = 0;

  /** `emit` takes the content of `debug_event` messages. */
  constructor(target: DebugTarget, emit: (event: Content) => void) {
    this.#target = target;
    this.#emit = emit;
    this.#inspector = new RankInspector({
      attached: (threadId) => void this.#prepare(threadId).catch(() => {}),
      event: (threadId, method, params) => this.#onEvent(threadId, method, params),
    });
    this.#sources = new Sources(target);
    this.#breakpoints = new Breakpoints(target, this.#inspector, this.#sources, (breakpoint) =>
      this.#event('breakpoint', { reason: 'changed', breakpoint: { ...breakpoint } }),
    );
  }

  /** Whether ranks can be debugged in this process. */
  static isAvailable(): boolean {
    return RankInspector.isAvailable();
  }

  /** Answers the content of a `debug_request`; never rejects. */
  async request(content: Content): Promise<DebugReply> {
    const command = typeof content['command'] === 'string' ? content['command'] : '';
    const given = content['arguments'];
    const args = (typeof given === 'object' && given !== null ? given : {}) as Content;
    const reply = { type: 'response' as const, request_seq: content['seq'] ?? 0, command };
    try {
      const handler = Object.hasOwn(this.#handlers, command) ? this.#handlers[command] : undefined;
      if (handler === undefined) throw new Refusal(`Cannot "${command}": this debugger does not know it`);
      if (!this.#started && !BEFORE_START.has(command))
        throw new Refusal(`Cannot "${command}": the debugger is not started, send "initialize" first`);
      const body = (await handler(args)) ?? {};
      return { seq: ++this.#seq, ...reply, success: true, body };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const body = { error: { id: 1, format: message, showUser: true } };
      return { seq: ++this.#seq, ...reply, success: false, message, body };
    }
  }

  /** Lets all ranks go and leaves them as they were. */
  async stop(): Promise<void> {
    if (!this.#started) return;
    this.#started = false;
    for (const forget of this.#forget) forget();
    this.#forget = [];
    await Promise.all(
      this.#target
        .threads()
        .map((threadId) => this.#inspector.send(threadId, 'Debugger.disable').catch(() => {})),
    );
    this.#standing.clear();
    this.#references.clear();
    this.#scripts.clear();
    this.#breakpoints.clear();
    this.#exceptions = 'none';
    this.#inspector.stop();
  }

  readonly #handlers: Record<string, (args: Content) => unknown> = {
    debugInfo: () => ({
      isStarted: this.#started,
      hashMethod: 'Murmur2',
      hashSeed: HASH_SEED,
      tmpFilePrefix: this.#sources.prefix,
      tmpFileSuffix: SUFFIX,
      breakpoints: this.#breakpoints.list(),
      stoppedThreads: this.#stopped().map((rank) => rank + 1),
      richRendering: true,
      exceptionPaths: ['Cells'],
      copyToGlobals: true,
    }),
    initialize: ({ clientID }) => {
      this.#oneStack = clientID === 'jupyterlab';
      return this.#start();
    },
    attach: () => void this.#event('initialized', {}),
    launch: () => void this.#event('initialized', {}),
    configurationDone: () => {},
    dumpCell: ({ code }) => {
      if (typeof code !== 'string') throw new Refusal('Cannot keep the cell: it has no "code"');
      return { sourcePath: this.#sources.keep(code) };
    },
    setBreakpoints: (args) => this.#setBreakpoints(args),
    setExceptionBreakpoints: async ({ filters }) => {
      const wanted = Array.isArray(filters) ? filters : [];
      this.#exceptions = wanted.includes('raised')
        ? 'all'
        : wanted.includes('uncaught')
          ? 'uncaught'
          : 'none';
      await this.#everyThread('Debugger.setPauseOnExceptions', { state: this.#exceptions });
      return { breakpoints: [] };
    },
    source: ({ source }) => {
      const path = (source as { path?: unknown } | undefined)?.path;
      const content = typeof path === 'string' ? this.#sources.textOf(path) : undefined;
      if (content === undefined)
        throw new Refusal(
          `Cannot show "${String(path)}": it is no cell that is known, and no file that a cell has imported`,
        );
      return { content, mimeType: 'text/typescript' };
    },
    loadedSources: () => ({ sources: this.#sources.list().map((path) => ({ path })) }),
    modules: ({ startModule, moduleCount }) => {
      const modules = this.#sources.modules();
      return { modules: page(modules, startModule, moduleCount), totalModules: modules.length };
    },
    threads: () => ({
      threads: Array.from({ length: this.#target.worldSize }, (_, rank) => ({
        id: rank + 1,
        name: `rank ${rank}`,
      })),
    }),
    stackTrace: (args) => this.#stackTrace(args),
    scopes: ({ frameId }) => {
      const { rank, frame } = this.#frame(frameId);
      const scope = (name: string, kind: 'locals' | 'globals'): Content => ({
        name,
        variablesReference: this.#references.add({ kind, rank, frame }),
        expensive: false,
        ...(kind === 'locals' ? { presentationHint: 'locals' } : {}),
      });
      return { scopes: [scope('Locals', 'locals'), scope('Globals', 'globals')] };
    },
    variables: async ({ variablesReference, start, count }) => ({
      variables: page(await this.#variables(variablesReference), start, count),
    }),
    setVariable: (args) => this.#setVariable(args),
    copyToGlobals: (args) => this.#copyToGlobals(args),
    evaluate: (args) => this.#evaluate(args),
    inspectVariables: async () => ({ variables: await this.#inspectVariables() }),
    richInspectVariables: (args) => this.#richInspect(args),
    continue: (args) => this.#move('Debugger.resume', args),
    next: (args) => this.#move('Debugger.stepOver', args),
    stepIn: (args) => this.#move('Debugger.stepInto', args),
    stepOut: (args) => this.#move('Debugger.stepOut', args),
    pause: async () => {
      await this.#everyThread('Debugger.pause');
    },
    disconnect: () => this.stop(),
    terminate: () => this.stop(),
  };

  async #start(): Promise<Content> {
    if (!this.#started) {
      this.#started = true;
      this.#forget = [
        this.#target.onCell((cell) => this.#breakpoints.begin(cell)),
        // A rank that stands still could not be reached by an interrupt.
        this.#target.onInterrupt(async () => {
          await this.#move('Debugger.resume', {});
        }),
      ];
      this.#inspector.start();
      await Promise.all(this.#target.threads().map((threadId) => this.#prepare(threadId)));
    }
    return {
      supportsConfigurationDoneRequest: true,
      supportsConditionalBreakpoints: true,
      supportsEvaluateForHovers: true,
      supportsLoadedSourcesRequest: true,
      supportsModulesRequest: true,
      supportsSingleThreadExecutionRequests: true,
      supportsTerminateRequest: true,
      supportTerminateDebuggee: false,
      supportsSetVariable: true,
      supportsRestartRequest: false,
      supportsStepBack: false,
      exceptionBreakpointFilters: [
        { filter: 'raised', label: 'Raised exceptions', default: false },
        { filter: 'uncaught', label: 'Uncaught exceptions', default: false },
      ],
    };
  }

  /** Also for threads of ranks that were started again: they get the breakpoints of the cells they may still run. */
  async #prepare(threadId: number): Promise<void> {
    if (!this.#started || !this.#target.threads().includes(threadId)) return;
    await this.#inspector.send(threadId, 'Debugger.enable');
    await this.#inspector.send(threadId, 'Debugger.setBlackboxPatterns', { patterns: NOT_THE_LEARNERS });
    await this.#inspector.send(threadId, 'Debugger.setPauseOnExceptions', { state: this.#exceptions });
    await this.#breakpoints.prepare(threadId);
  }

  #everyThread(method: string, params: object = {}): Promise<unknown[]> {
    return Promise.all(
      this.#target
        .threads()
        .map((threadId) => this.#inspector.send(threadId, method, params).catch(() => {})),
    );
  }

  async #setBreakpoints(args: Content): Promise<Content> {
    const path = (args['source'] as { path?: unknown } | undefined)?.path;
    if (typeof path !== 'string') throw new Refusal('Cannot set breakpoints: the request names no source');
    const wanted = (Array.isArray(args['breakpoints']) ? (args['breakpoints'] as unknown[]) : []).flatMap(
      (each) => {
        const { line, condition } = (each ?? {}) as { line?: unknown; condition?: unknown };
        if (typeof line !== 'number' || !Number.isInteger(line) || line < 1) return [];
        return [{ line, ...(typeof condition === 'string' && condition !== '' ? { condition } : {}) }];
      },
    );
    return { breakpoints: await this.#breakpoints.set(path, wanted) };
  }

  #onEvent(threadId: number, method: string, params: unknown): void {
    const rank = this.#target.threads().indexOf(threadId);
    if (rank < 0) return;
    if (method === 'Debugger.scriptParsed') {
      const { scriptId, url } = params as { scriptId: string; url: string };
      this.#scripts.set(`${threadId} ${scriptId}`, url);
      return;
    }
    if (method === 'Debugger.resumed') this.#standing.delete(rank);
    if (method !== 'Debugger.paused') return;
    const paused = params as PausedParams;
    const cells = this.#target.cells();
    const frames = learnersFrames(paused, (scriptId) => {
      const url = this.#scripts.get(`${threadId} ${scriptId}`);
      return cells.findLast((cell) => scriptUrl(cell.name) === url);
    });
    if (frames.length === 0) {
      // Nothing of the learner's is under way here.
      void this.#inspector.send(threadId, 'Debugger.resume').catch(() => {});
      return;
    }
    const reason = (paused.hitBreakpoints?.length ?? 0) > 0 ? 'breakpoint' : reasonOf(paused.reason);
    this.#standing.set(rank, { frames, reason });
    const text = reason === 'exception' ? paused.data?.description?.split('\n')[0] : undefined;
    this.#event('stopped', {
      reason,
      threadId: rank + 1,
      allThreadsStopped: false,
      description: `rank ${rank} stands at ${frames[0]!.cell.name}:${frames[0]!.line}`,
      ...(text === undefined ? {} : { text }),
    });
  }

  #event(event: string, body: Content): void {
    this.#emit({ type: 'event', event, seq: ++this.#seq, body });
  }

  #stopped(): number[] {
    return [...this.#standing.keys()].sort((a, b) => a - b);
  }

  /** Moves the ranks that stand still: all of them, or the one that is named. */
  async #move(method: string, args: Content): Promise<Content> {
    const own = typeof args['threadId'] === 'number' ? args['threadId'] - 1 : -1;
    const ranks =
      args['singleThread'] === true ? this.#stopped().filter((rank) => rank === own) : this.#stopped();
    this.#references.clear();
    const threads = this.#target.threads();
    await Promise.all(
      ranks.map(async (rank) => {
        this.#standing.delete(rank);
        this.#event('continued', { threadId: rank + 1, allThreadsContinued: false });
        await this.#inspector.send(threads[rank]!, method).catch(() => {});
      }),
    );
    return { allThreadsContinued: args['singleThread'] !== true };
  }

  /**
   * Of a rank that runs on, the frames of the first that stands still: front ends ask for thread 1 alone. A client that
   * shows one stack gets those of the other ranks below it.
   */
  #stackTrace(args: Content): Content {
    const asked = typeof args['threadId'] === 'number' ? args['threadId'] - 1 : 0;
    const rank = this.#standing.has(asked) ? asked : this.#stopped()[0];
    if (rank === undefined) return { stackFrames: [], totalFrames: 0 };
    const others = this.#oneStack ? this.#stopped().filter((other) => other !== rank) : [];
    const frames = [rank, ...others].flatMap((of) =>
      this.#standing.get(of)!.frames.map((frame) => ({ of, frame })),
    );
    const label = (of: number): string => (this.#target.worldSize > 1 ? `[rank ${of}] ` : '');
    return {
      totalFrames: frames.length,
      stackFrames: frames.map(({ of, frame }) => {
        const { source, name, file } = frame.cell;
        const path = file ?? this.#sources.keep(source);
        return {
          id: this.#references.add({ kind: 'frame', rank: of, frame }),
          name: `${label(of)}${frame.name}`,
          line: frame.line,
          column: frame.column,
          source: { name: file === undefined ? name : basename(file), path },
        };
      }),
    };
  }

  #frame(id: unknown): { rank: number; frame: Frame } {
    const found = typeof id === 'number' ? this.#references.get(id) : undefined;
    if (found?.kind !== 'frame') throw new Refusal(`Cannot look into frame ${String(id)}: it is gone`);
    return found;
  }

  #paused(rank: number): PausedRank {
    return new PausedRank(this.#inspector, this.#target.threads()[rank]!);
  }

  async #variables(id: unknown): Promise<Content[]> {
    const found = typeof id === 'number' ? this.#references.get(id) : undefined;
    if (found === undefined) throw new Refusal(`Cannot show variables ${String(id)}: they are gone`);
    switch (found.kind) {
      case 'frame':
      case 'locals':
        return this.#shown(found.rank, await this.#paused(found.rank).locals(found.frame));
      case 'globals':
        return this.#shown(found.rank, await this.#paused(found.rank).globals(found.frame.frame));
      case 'object':
        return this.#shown(found.rank, await this.#paused(found.rank).properties(found.objectId));
      case 'variants':
        return found.variants.map(({ variable, ranks }) =>
          this.#plain(`rank ${ranks.join(',')}`, variable, { kind: 'path', ranks, path: found.path }),
        );
      case 'path': {
        const { ranks, path } = found;
        const perRank = await Promise.all(
          ranks.map(async (rank) => ({ rank, variables: await this.#target.children(rank, path) })),
        );
        return sharedVariables(perRank, path, ranks.length, (name, variable, inside) =>
          this.#plain(name, variable, inside),
        );
      }
    }
  }

  #shown(rank: number, values: readonly Shown[]): Content[] {
    return values.map(({ name, type, value, objectId }) => {
      const inside = objectId === undefined ? undefined : ({ kind: 'object', rank, objectId } as const);
      return this.#variable(name, value, inside, type);
    });
  }

  #plain(name: string, { type, value, nested }: VariableView, inside: Reference): Content {
    if (inside.kind === 'variants') return this.#variable(name, value, inside);
    return this.#variable(name, value, nested ? inside : undefined, type);
  }

  /** What has nothing inside shows its value alone: JupyterLab has room for one of both, and takes the type if there is one. */
  #variable(name: string, value: string, inside?: Reference, type?: string): Content {
    const reference = inside === undefined ? 0 : this.#references.add(inside);
    const typed = inside === undefined || type === undefined ? {} : { type };
    return { name, value, ...typed, evaluateName: name, variablesReference: reference };
  }

  async #setVariable({ variablesReference, name, value }: Content): Promise<Content> {
    if (typeof name !== 'string' || typeof value !== 'string')
      throw new Refusal('Cannot set a variable: the request has no "name", or no "value"');
    const found = this.#references.get(Number(variablesReference ?? 0));
    if (found !== undefined && 'frame' in found) {
      const { kind, rank, frame } = found;
      const paused = this.#paused(rank);
      if (kind === 'globals') {
        const namespace = await paused.namespace(frame.frame);
        return this.#shown(rank, [await paused.assign(frame.frame, namespace, name, value)])[0]!;
      }
      if (!IDENTIFIER.test(name)) throw new Refusal(`Cannot set "${name}": it is no name of a variable`);
      return this.#shown(rank, [await paused.evaluate(frame.frame, `${name} = (${value}\n)`)])[0]!;
    }
    if (found?.kind === 'object') {
      const { rank, objectId } = found;
      const frame = this.#standing.get(rank)?.frames[0]?.frame;
      if (frame === undefined) throw new Refusal(`Cannot set "${name}": rank ${rank} runs on`);
      return this.#shown(rank, [await this.#paused(rank).assign(frame, objectId, name, value)])[0]!;
    }
    if (found === undefined && (variablesReference ?? 0) !== 0)
      throw new Refusal(`Cannot set "${name}": variables ${String(variablesReference)} are gone`);
    return this.#setBetween(found, name, value);
  }

  /** Between cells, on the ranks that share the variable. A reference of 0 stands for the variables themselves. */
  async #setBetween(
    found: Extract<Reference, { kind: 'path' | 'variants' }> | undefined,
    name: string,
    value: string,
  ): Promise<Content> {
    if (this.#target.busy) throw new Refusal(`Cannot set "${name}": a cell runs`);
    const all = Array.from({ length: this.#target.worldSize }, (_, rank) => rank);
    const variant =
      found?.kind === 'variants'
        ? found.variants.find(({ ranks }) => `rank ${ranks.join(',')}` === name)
        : undefined;
    if (found?.kind === 'variants' && variant === undefined)
      throw new Refusal(`Cannot set "${name}": it is none of the ranks' values`);
    const ranks = variant?.ranks ?? (found?.kind === 'path' ? found.ranks : all);
    const path = found?.kind === 'variants' ? found.path : [...(found?.path ?? []), name];
    if (!IDENTIFIER.test(path[0]!)) throw new Refusal(`Cannot set "${path[0]}": it is no name of a variable`);
    const error = await this.#target.assign(path, value, ranks);
    if (error !== undefined) throw new Refusal(`${error.ename}: ${error.evalue}`);
    const siblings = await this.#target.children(ranks[0]!, path.slice(0, -1));
    const own = siblings.find((each) => each.name === path.at(-1));
    return this.#plain(name, own ?? { name, type: '', value, nested: false }, { kind: 'path', ranks, path });
  }

  /** On the rank of the frame, and on the others that stand at the same place. */
  async #copyToGlobals({ srcVariableName, dstVariableName, srcFrameId }: Content): Promise<Content> {
    const name = dstVariableName ?? srcVariableName;
    if (typeof srcVariableName !== 'string' || typeof name !== 'string' || !IDENTIFIER.test(name))
      throw new Refusal('Cannot copy a variable: the request does not name one, or not what to call it');
    const { rank, frame } = this.#frame(srcFrameId);
    const depth = this.#standing.get(rank)?.frames.indexOf(frame) ?? -1;
    await this.#paused(rank).declare(frame.frame, name, srcVariableName);
    const copied = [rank];
    for (const [other, { frames }] of this.#standing) {
      const twin = frames[depth];
      if (other === rank || twin?.cell !== frame.cell || twin.name !== frame.name) continue;
      const done = this.#paused(other).declare(twin.frame, name, srcVariableName);
      await done.then(
        () => copied.push(other),
        () => {},
      );
    }
    // The compiler hears of the name when the cell is over.
    this.#target.adopt(name, copied).catch(() => {});
    return {};
  }

  /** Between cells the variables of all ranks, what they agree on once; at a breakpoint those of the rank that stands there. */
  async #inspectVariables(): Promise<Content[]> {
    const rank = this.#stopped()[0];
    if (rank !== undefined) {
      const { frames } = this.#standing.get(rank)!;
      return this.#shown(rank, await this.#paused(rank).globals(frames[0]!.frame));
    }
    const { ranks, stale } = await this.#target.variables();
    // Frames of ranks that have come to stand meanwhile are still asked for.
    if (!stale && this.#standing.size === 0) this.#references.clear();
    return sharedVariables(ranks, [], this.#target.worldSize, (name, variable, inside) =>
      this.#plain(name, variable, inside),
    );
  }

  async #richInspect({ variableName, frameId }: Content): Promise<Content> {
    if (typeof variableName !== 'string' || variableName === '')
      throw new Refusal('Cannot show a variable: the request names none');
    const rank = this.#stopped()[0];
    if (typeof frameId === 'number' || rank !== undefined) {
      const { frame, rank: of } =
        typeof frameId === 'number'
          ? this.#frame(frameId)
          : { frame: this.#standing.get(rank!)!.frames[0]!, rank: rank! };
      return { ...(await this.#paused(of).represent(frame.frame, variableName)) };
    }
    const { data, metadata } = await this.#between(variableName);
    return { data, metadata };
  }

  async #evaluate({ expression, frameId }: Content): Promise<Content> {
    if (typeof expression !== 'string') throw new Refusal('Cannot evaluate: there is no "expression"');
    if (typeof frameId === 'number') {
      const { rank, frame } = this.#frame(frameId);
      const shown = await this.#paused(rank).evaluate(frame.frame, expression);
      const { variablesReference } = this.#shown(rank, [shown])[0]!;
      return { result: shown.value, type: shown.type, variablesReference };
    }
    const { data } = await this.#between(expression);
    return { result: String(data['text/plain'] ?? ''), type: '', variablesReference: 0 };
  }

  /** An expression on rank 0 while nothing runs. */
  async #between(code: string): Promise<{ data: Content; metadata: Content }> {
    if (this.#target.busy) throw new Refusal(`Cannot evaluate "${code}": a cell runs`);
    const answer = await this.#target.evaluate(code);
    if (answer.status === 'error') throw new Refusal(`${answer.ename}: ${answer.evalue}`);
    return { data: answer.data, metadata: answer.metadata };
  }
}

/** Answered also while the debugger is not started. */
const BEFORE_START = new Set([
  'debugInfo',
  'initialize',
  'inspectVariables',
  'setVariable',
  'modules',
  'richInspectVariables',
  'variables',
  'threads',
  'disconnect',
  'terminate',
  'source',
  'dumpCell',
]);

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u;

/** Part of a list, where the request asks for part of it. */
function page<T>(list: readonly T[], start: unknown, count: unknown): readonly T[] {
  const from = typeof start === 'number' && start > 0 ? start : 0;
  return list.slice(from, typeof count === 'number' && count > 0 ? from + count : undefined);
}

function reasonOf(reason: string): string {
  if (reason === 'exception' || reason === 'promiseRejection') return 'exception';
  return reason === 'debugCommand' ? 'pause' : 'step';
}
