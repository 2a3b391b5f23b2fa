/** The compiler in its own thread, so that no front end waits for TypeScript. */
import { type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import { ShardbookError } from '../../../runtime/index.js';
import type { Compiler, CompilerSettings } from './types.js';

type Method = keyof Compiler;

interface Call {
  /** 0: no answer wanted. */
  id: number;
  method: Method;
  args: unknown[];
}

type Answer = { id: number; value: unknown } | { id: number; error: string };

/** Starts the compiler thread; calls wait until it is warm. `entry` is the built `compiler-worker.js`. */
export function startCompiler(entry: string, settings: CompilerSettings): Compiler {
  const worker = new Worker(entry, { workerData: settings, stdout: false, stderr: false });
  const waiting = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  let last = 0;
  let dead: Error | undefined;
  const fail = (error: Error): void => {
    dead = error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on('message', (answer: Answer) => {
    const call = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) call?.reject(new Error(answer.error));
    else call?.resolve(answer.value as never);
  });
  worker.on('error', (cause) =>
    fail(
      new ShardbookError({
        code: 'SB_COMPILER',
        message: `Cannot compile cells: the compiler stopped (${cause.message})`,
        help: 'restart the kernel',
        cause,
      }),
    ),
  );
  worker.on('exit', () =>
    fail(
      dead ??
        new ShardbookError({ code: 'SB_COMPILER', message: 'Cannot compile cells: the compiler was closed' }),
    ),
  );
  const call = <T>(method: Method, ...args: unknown[]): Promise<T> =>
    new Promise((resolve, reject) => {
      if (dead) return reject(dead);
      waiting.set(++last, { resolve, reject });
      worker.postMessage({ id: last, method, args } satisfies Call);
    });
  const tell = (method: Method): void => worker.postMessage({ id: 0, method, args: [] } satisfies Call);
  return {
    compile: (cell) => call('compile', cell),
    commit: () => tell('commit'),
    reset: () => tell('reset'),
    complete: (code, cursor) => call('complete', code, cursor),
    inspect: (code, cursor, detail) => call('inspect', code, cursor, detail),
    isComplete: (code) => call('isComplete', code),
    close: async () => void (await worker.terminate()),
  };
}

/** Body of the thread: builds the compiler, warms it up, answers calls in order. */
export function serveCompiler(): void {
  const port = parentPort as MessagePort;
  let ready = warmCompiler(workerData as CompilerSettings);
  port.on('message', ({ id, method, args }: Call) => {
    ready = ready.then(async (compiler) => {
      const answer = await run(compiler, id, method, args);
      if (id !== 0) port.postMessage(answer);
      return compiler;
    });
  });
}

/** Only the engine in use is loaded: each brings a TypeScript of its own. */
async function createCompiler(settings: CompilerSettings): Promise<Compiler> {
  if (settings.engine === 'tslab') return (await import('./tslab-compiler.js')).createTslabCompiler(settings);
  return (await import('./stock/compiler.js')).createStockCompiler(settings);
}

/** The first compilation of each kind of syntax costs several times what the next ones do: it is paid here. */
async function warmCompiler(settings: CompilerSettings): Promise<Compiler> {
  const compiler = await createCompiler(settings);
  await compiler.compile({
    code: 'const warm = [1].map((x) => x + 1);\nconsole.log(await warm)',
    name: 'warm up',
    level: 'off',
  });
  compiler.reset();
  return compiler;
}

async function run(compiler: Compiler, id: number, method: Method, args: unknown[]): Promise<Answer> {
  try {
    const value = await (compiler[method] as (...all: unknown[]) => unknown)(...args);
    return { id, value };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
