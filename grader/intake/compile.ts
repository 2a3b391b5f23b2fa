/**
 * Compiles submissions in a thread beside the grader: TypeScript only parses them and takes the types off, nothing of them is
 * run. The thread can be ended, since a source can be made to take any time to parse.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { CheckFailure } from '../verdict.js';
import type { CompileAnswer, CompileRequest } from '../wire.js';

export interface CompiledFile {
  readonly name: string;
  readonly code: string;
}

const SECONDS = 15;
const HEAP_MB = 512;

class Compiler {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, (answer: CompileAnswer | Error) => void>();
  private ids = 0;

  constructor(
    runner: string,
    private readonly gone: () => void,
  ) {
    this.worker = new Worker(pathToFileURL(runner), {
      argv: ['--compile'],
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    this.worker.unref();
    this.worker.on('message', (answer: CompileAnswer) => this.waiting.get(answer.id)?.(answer));
    this.worker.on('error', (error) => this.end(error));
    this.worker.on('exit', () => this.end(new Error('the compiler ended')));
  }

  async compile(request: Omit<CompileRequest, 'id'>): Promise<readonly CompiledFile[]> {
    const id = ++this.ids;
    this.worker.ref();
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<CompileAnswer | Error>((resolve) => {
      this.waiting.set(id, resolve);
      timer = setTimeout(() => {
        this.end(new Error(`it took longer than ${SECONDS} s`));
        void this.worker.terminate();
      }, SECONDS * 1000);
      this.worker.postMessage({ ...request, id });
    });
    clearTimeout(timer);
    this.waiting.delete(id);
    if (this.waiting.size === 0) this.worker.unref();
    if (answer instanceof Error) throw refused(`The file cannot be compiled: ${answer.message}`);
    if ('refused' in answer) throw refused(answer.refused.message, answer.refused.line, answer.refused.file);
    return answer.files;
  }

  private end(error: Error): void {
    this.gone();
    for (const settle of this.waiting.values()) settle(error);
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
    compiler = new Compiler(runner, () => compilers.delete(runner));
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
