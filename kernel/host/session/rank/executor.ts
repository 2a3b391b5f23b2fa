/** The rank's side of a session: runs programs in this thread's namespace. */
import vm from 'node:vm';
import { ShardbookError } from '../../../runtime/index.js';
import type { RankLink } from '../../world/index.js';
import type { CellProgram } from '../compiler/index.js';
import type { Instrument } from '../magics.js';
import type { CommMessage } from '../types.js';
import { Comm, setCommOutlet } from './comm.js';
import { captureConsole } from './console.js';
import { installDebugHook } from './debug-hook.js';
import { DisplayHandle, represent, setDisplayOutlet } from './display.js';
import { CellPlaces, toFailure } from './failure.js';
import type { RankEvent, RankRequest, RunReply } from './messages.js';
import { CellModules, type ImportModule } from './modules.js';
import { RankObserver } from './observe.js';
import { setProgressOutlet } from './progress.js';
import { describeChildren, describeVariables } from './variables.js';

export interface RankSetup {
  link: RankLink;
  /** What every cell sees: name and value. */
  preload: Record<string, unknown>;
  /** What `import ... from 'shardbook'` gives. */
  runtime: object;
  cwd: string;
  /** Called with the length of each print; may wait. */
  gate?: (length: number) => void;
  /** Around each cell, so that others know whether this rank may still come to a collective. */
  beginWork?: () => void;
  endWork?: (error?: unknown) => void;
  /** Called after an interrupt, before the next cell. */
  afterInterrupt?: () => void;
  /** What can watch a cell. */
  instruments?: Record<Instrument, () => Watch>;
}

/** Something that watches a cell from its creation on. */
export interface Watch {
  stop(): void;
  /** What is to be shown of it; called when the cell has succeeded, on all ranks, and may wait for them. */
  show(): unknown;
}

type Namespace = Record<PropertyKey, unknown>;
type CellFunction = (exports: Namespace, require: unknown, importModule: ImportModule) => Promise<void>;

/** Serves the session's requests in this thread. */
export function runRank(setup: RankSetup): void {
  const { link } = setup;
  const emit = (event: RankEvent): void => link.emit(event);
  const executor = new RankExecutor(setup, emit);
  link.onInterrupt(() => {
    executor.interrupted();
    setup.afterInterrupt?.();
  });
  link.serve((body) => executor.handle(body as RankRequest));
}

class RankExecutor {
  readonly #setup: RankSetup;
  readonly #emit: (event: RankEvent) => void;
  readonly #modules: CellModules;
  readonly #places = new CellPlaces();
  readonly #inputs = new Map<number, { resolve(value: string): void; reject(error: Error): void }>();
  #namespace: Namespace;
  /** What the last cell declared, until the session says whether every rank succeeded. */
  #pending: { seq: number; exports: Namespace } | undefined;
  /** Of the cell that runs. */
  #watches: Watch[] = [];
  #observer: RankObserver | undefined;
  /** The run that was asked for last. */
  #lastSeq = 0;
  /** The run whose timer is being served, if it is an earlier one. */
  #late: number | undefined;
  #nextInput = 0;

  constructor(setup: RankSetup, emit: (event: RankEvent) => void) {
    this.#setup = setup;
    this.#emit = emit;
    this.#modules = new CellModules(setup.cwd, setup.runtime);
    this.#namespace = this.#freshNamespace();
    this.#places.install();
    captureConsole((name, chunk) => {
      emit({ type: 'stream', seq: this.#seq(), name, text: chunk });
      setup.gate?.(chunk.length);
    });
    setDisplayOutlet({
      run: () => this.#seq(),
      show: (display, displayId) =>
        emit({
          type: 'display',
          seq: this.#seq(),
          display,
          ...(displayId === undefined ? {} : { displayId }),
        }),
      update: (display, displayId) => emit({ type: 'update', seq: this.#seq(), display, displayId }),
      clear: (wait) => emit({ type: 'clear', seq: this.#seq(), wait }),
      input: (prompt, password) =>
        new Promise((resolve, reject) => {
          const id = ++this.#nextInput;
          this.#inputs.set(id, { resolve, reject });
          emit({ type: 'input', seq: this.#seq(), id, prompt, password });
        }),
    });
    setup.link.onTimers(() => {
      const seq = this.#seq();
      return () => {
        this.#late = seq === this.#lastSeq ? undefined : seq;
        if (this.#late === undefined) return undefined;
        return () => {
          this.#late = undefined;
        };
      };
    });
    setCommOutlet({
      send: (message) => emit({ type: 'comm', seq: this.#seq(), message }),
      register: (target) => emit({ type: 'comm-target', target }),
    });
    // A rejected promise that nobody awaits must not end the rank: it is said and the rank lives on.
    process.on('unhandledRejection', (reason) =>
      this.#report('a promise was rejected and nobody waited for it', reason),
    );
    process.on('uncaughtException', (error) =>
      this.#report('an error was thrown outside of any cell', error),
    );
  }

  async handle(request: RankRequest): Promise<unknown> {
    switch (request.type) {
      case 'run':
        this.#begin(request.seq);
        return this.#run(request);
      case 'comm':
        this.#settle(request.committed);
        this.#begin(request.seq);
        return this.#hear(request.message);
      case 'settle':
        return this.#settle(request.committed);
      case 'reset':
        this.#pending = undefined;
        this.#namespace = this.#freshNamespace();
        return undefined;
      case 'who':
        this.#settle(request.committed);
        return describeVariables(this.#namespace);
      case 'children':
        return describeChildren(this.#namespace, request.path);
      case 'input':
        return this.#answerInput(request.id, request.value);
    }
  }

  interrupted(): void {
    this.#inputs.clear();
    this.#stopWatches();
  }

  async #run(request: Extract<RankRequest, { type: 'run' }>): Promise<RunReply> {
    this.#settle(request.committed);
    const { program } = request;
    const exports = Object.create(this.#namespace) as Namespace;
    this.#setup.beginWork?.();
    setProgressOutlet((progress) => this.#emit({ type: 'progress', seq: this.#seq(), ...progress }));
    if (request.watch) this.#beginObservation(request.seq);
    const started = performance.now();
    try {
      this.#modules.update(request.sideFiles);
      this.#places.addFiles(request.sideFiles);
      this.#places.add(program);
      if (program.imports.length > 0) await this.#modules.load(program.imports);
      for (const name of request.instruments) this.#watches.push(this.#setup.instruments![name]());
      await cellFunction(program)(exports, this.#modules.requireFrom(), this.#modules.importerFrom());
      const value = program.resultName === undefined ? undefined : exports[program.resultName];
      if (program.resultName !== undefined) delete exports[program.resultName];
      const took = performance.now() - started;
      const watches = this.#stopWatches();
      // Showing a value may wait for other ranks, so it is still part of the work.
      const shows = request.wantResult && value !== undefined && !(value instanceof DisplayHandle);
      const result = shows ? { result: represent(value) } : {};
      for (const watch of watches) {
        const seen = watch.show();
        if (seen !== undefined) this.#emit({ type: 'display', seq: request.seq, display: represent(seen) });
      }
      this.#setup.endWork?.();
      this.#pending = { seq: request.seq, exports };
      return { ok: true, took, ...result, ...this.#seen(request.watch, exports) };
    } catch (thrown) {
      const took = performance.now() - started;
      this.#stopWatches();
      this.#setup.endWork?.(thrown ?? new Error(String(thrown)));
      const error = toFailure(thrown, this.#places);
      return { ok: false, took, error, ...this.#seen(request.watch, exports) };
    }
  }

  #stopWatches(): Watch[] {
    const watches = this.#watches;
    this.#watches = [];
    for (const watch of watches) watch.stop();
    return watches;
  }

  #begin(seq: number): void {
    this.#lastSeq = seq;
    this.#late = undefined;
  }

  #seq(): number {
    return this.#late ?? this.#lastSeq;
  }

  /** A front end's message: what the handler throws is said, and fails nothing. */
  async #hear(message: CommMessage): Promise<void> {
    this.#setup.beginWork?.();
    try {
      await Comm.deliver(message);
      this.#setup.endWork?.();
    } catch (thrown) {
      this.#setup.endWork?.(thrown ?? new Error(String(thrown)));
      this.#report('a comm handler failed', thrown);
    }
  }

  #beginObservation(seq: number): void {
    try {
      this.#observer ??= new RankObserver(this.#setup.link.rank);
      this.#observer.begin((seen) => this.#emit({ type: 'observation', seq, seen }));
    } catch {
      // A picture for a panel is not worth a failing cell.
      this.#observer = undefined;
    }
  }

  #seen(watch: boolean | undefined, exports: Namespace): Pick<RunReply, 'seen'> {
    if (!watch || this.#observer === undefined) return {};
    try {
      return { seen: this.#observer.end([this.#namespace, exports]) };
    } catch {
      return {};
    }
  }

  /** Forgets the pending declarations last: where an interrupt comes before, the next request settles them. */
  #settle(committed: number): void {
    const pending = this.#pending;
    if (pending?.seq === committed) {
      for (const name of Object.keys(pending.exports)) {
        const descriptor = Object.getOwnPropertyDescriptor(pending.exports, name)!;
        Object.defineProperty(this.#namespace, name, { ...descriptor, configurable: true, enumerable: true });
      }
    }
    this.#pending = undefined;
  }

  /** Preloaded names, and behind them a guard: a name the compiler knows and this rank lacks is an error that says why. */
  #freshNamespace(): Namespace {
    const guard = new Proxy(Object.create(null) as object, {
      get: (_target, name) => {
        if (typeof name === 'symbol' || name === '__esModule') return undefined;
        throw new ShardbookError({
          code: 'SB_LOST_NAME',
          message: `Cannot read "${name}": an earlier cell declared it, but this rank has no value for it`,
          notes: ['this rank was started again since, or that cell did not run on it'],
          help: 'run the cell that declares it again on all ranks',
        });
      },
    });
    const base = Object.create(guard) as Namespace;
    for (const [name, value] of Object.entries(this.#setup.preload)) {
      Object.defineProperty(base, name, { value, writable: true, configurable: true, enumerable: false });
    }
    const namespace = Object.create(base) as Namespace;
    installDebugHook(namespace);
    return namespace;
  }

  #answerInput(id: number, value: string | undefined): void {
    const waiting = this.#inputs.get(id);
    this.#inputs.delete(id);
    if (value !== undefined) waiting?.resolve(value);
    else {
      waiting?.reject(
        new ShardbookError({
          code: 'SB_NO_INPUT',
          message: 'Cannot read input: this front end does not ask for any',
          help: 'write the answer into the cell, or open the notebook in the app or in JupyterLab',
        }),
      );
    }
  }

  #report(what: string, thrown: unknown): void {
    const { name, message, frames } = toFailure(thrown, this.#places);
    console.error(
      [`Warning: ${what}: ${name}: ${message}`, ...frames.map((frame) => `    at ${frame}`)].join('\n'),
    );
  }
}

/** One line before the code, hidden by the offset, so that lines and columns are those of the program. */
function cellFunction(program: CellProgram): CellFunction {
  const wrapped = `(async function (exports, require, importModule) {\n${program.code}\n})`;
  return new vm.Script(wrapped, {
    filename: program.name,
    lineOffset: -1,
  }).runInThisContext() as CellFunction;
}
