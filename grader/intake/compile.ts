/**
 * Compiles submissions in a thread beside the grader: TypeScript only parses them and takes the types off, nothing of them is
 * run. The thread can be ended, since a source can be made to take any time to parse.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { startDeadline, threadsWaitedMs } from '../sandbox/index.js';
import { CheckFailure } from '../verdict.js';
import type { CompileAnswer, CompileRequest } from '../wire.js';

export interface CompiledFile {
  readonly name: string;
  readonly code: string;
}

const SECONDS = 15;
const HEAP_MB = 512;

interface Waiting {
  readonly request: Omit<CompileRequest, 'id'>;
  readonly settle: (answer: CompileAnswer | Error) => void;
}

/** One submission after the other: what one of them does to the thread is its own matter, the next ones get a new thread. */
class Compiler {
  private worker: Worker | undefined;
  private readonly queue: Waiting[] = [];
  private current: Waiting | undefined;
  private cancelDeadline = (): void => {};
  private ids = 0;

  constructor(private readonly runner: string) {}

  async compile(request: Omit<CompileRequest, 'id'>): Promise<readonly CompiledFile[]> {
    const answer = await new Promise<CompileAnswer | Error>((settle) => {
      this.queue.push({ request, settle });
      this.next();
    });
    if (answer instanceof Error) throw refused(`The file cannot be compiled: ${answer.message}`);
    if ('refused' in answer) throw refused(answer.refused.message, answer.refused.line, answer.refused.file);
    return answer.files;
  }

  private next(): void {
    if (this.current !== undefined) return;
    this.current = this.queue.shift();
    if (this.current === undefined) {
      this.worker?.unref();
      return;
    }
    this.worker ??= this.start();
    this.worker.ref();
    const id = ++this.ids;
    this.cancelDeadline = startDeadline(SECONDS, threadsWaitedMs, () =>
      this.end(new Error(`it took longer than ${SECONDS} s`)),
    );
    this.worker.postMessage({ ...this.current.request, id });
  }

  private start(): Worker {
    const worker = new Worker(pathToFileURL(this.runner), {
      argv: ['--compile'],
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    const isOurs = (): boolean => this.worker === worker;
    worker.on('message', (answer: CompileAnswer) => {
      if (isOurs() && answer.id === this.ids) this.settle(answer);
    });
    worker.on('error', (error) => {
      if (isOurs()) this.end(error);
    });
    worker.on('exit', () => {
      if (isOurs()) this.end(new Error('the compiler ended'));
    });
    return worker;
  }

  private settle(answer: CompileAnswer | Error): void {
    this.cancelDeadline();
    const { current } = this;
    this.current = undefined;
    current?.settle(answer);
    this.next();
  }

  private end(error: Error): void {
    const { worker } = this;
    this.worker = undefined;
    void worker?.terminate();
    this.settle(error);
  }
}

const compilers = new Map<string, Compiler>();

/** Takes the types off and resolves imports; throws a `compile-error`. */
export function compileFiles(
  kit: string,
  request: Omit<CompileRequest, 'id'>,
): Promise<readonly CompiledFile[]> {
  const runner = join(kit, 'dist/grader-runner.js');
  let compiler = compilers.get(runner);
  if (compiler === undefined) {
    compiler = new Compiler(runner);
    compilers.set(runner, compiler);
  }
  return compiler.compile(request);
}

export function refused(message: string, line?: number, file?: string): CheckFailure {
  return new CheckFailure('compile-error', {
    message,
    ...(line === undefined ? {} : { line }),
    ...(file === undefined ? {} : { file }),
  });
}
