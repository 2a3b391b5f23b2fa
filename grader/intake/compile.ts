/**
 * Compiles submissions in a process beside the grader: TypeScript only parses them and takes the types off, nothing of them is
 * run. The process can be ended, since a source can be made to take any time to parse. And the grader stays small, which
 * it copies the page tables of for each rank that it starts.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { startDeadline, waitedMs } from '../sandbox/index.js';
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

/** One submission after the other: what one of them does to the process is its own matter, the next ones get a new one. */
class Compiler {
  private worker: ChildProcess | undefined;
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
      this.worker?.channel?.unref();
      return;
    }
    this.worker ??= this.start();
    const { worker } = this;
    worker.ref();
    worker.channel?.ref();
    const id = ++this.ids;
    const waited = (): number => waitedMs(worker.pid);
    this.cancelDeadline = startDeadline(SECONDS, waited, () =>
      this.end(new Error(`it took longer than ${SECONDS} s`)),
    );
    // What fails to be sent is heard of by the end of the process.
    worker.send({ ...this.current.request, id }, () => {});
  }

  private start(): ChildProcess {
    const worker = fork(this.runner, ['--compile'], {
      env: {},
      execArgv: [`--max-old-space-size=${HEAP_MB}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    running.add(worker);
    worker.on('exit', () => running.delete(worker));
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
    worker?.kill('SIGKILL');
    this.settle(error);
  }
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const worker of running) worker.kill('SIGKILL');
});
const compilers = new Map<string, Compiler>();

/** Takes the types off and resolves imports; throws a `compile-error`. */
export function compileFiles(
  packageRoot: string,
  request: Omit<CompileRequest, 'id'>,
): Promise<readonly CompiledFile[]> {
  const runner = join(packageRoot, 'dist/grader-runner.js');
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
