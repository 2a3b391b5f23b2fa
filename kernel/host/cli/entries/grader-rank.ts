/**
 * A rank of a submission, in a process of its own that the grader starts. It answers questions over one pipe: inputs in,
 * the bytes of the outputs out. It holds no expectation and forms no judgement.
 *
 * Built with the whole runtime into one classic script, so that the grader can have a snapshot made of it: what a process is
 * once it has loaded the runtime, which a new process takes over in half the time. It runs as it is where there is none.
 *
 * No process group exists in this process: a submission talks to other ranks through the `comm` that it is given, or not
 * at all. What goes over `comm` passes through the grader, which counts it.
 */
import { readSync, writeSync } from 'node:fs';
import { setFlagsFromString, startupSnapshot } from 'node:v8';
import { constants, runInNewContext, Script } from 'node:vm';
import {
  type Answer,
  byteCount,
  decodeHeader,
  encodeFrame,
  encodePrefix,
  type Failure,
  type Frame,
  frameLengths,
  PREFIX_BYTES,
  type Request,
  RUNTIME_KEY,
} from '../../../../grader/wire.js';
import * as shardbook from '../../../runtime/index.js';
import { onMemory, ShardbookError, type Tensor, torch } from '../../../runtime/index.js';
import { joinWorld } from './grader-dist.js';
import {
  isTensor,
  makeTensor,
  overwriteTensor,
  tensorBytes,
  tensorHeader,
  writeTensor,
} from './grader-tensors.js';
import { describeValue, readValue, writeValue } from './grader-values.js';

const PIPE = 3;
const NOTHING = new Uint8Array(0);
/** Elements of a tensor that the runtime's kernels are used for. */
const LARGE = 1 << 14;
/** Up to here one write of a copy is faster than several writes. */
const COPIED_BYTES = 1 << 16;

type SubmittedFunction = (...args: unknown[]) => unknown;
export type Completion = Request & { type: 'complete' };

/** What an `isend` or `irecv` gives. */
interface Work {
  /** Returns when the operation is complete. */
  wait(): void;
}

/** What is to be said and need not be heard before this rank waits or is done. */
let held: Uint8Array[] = [];
let heldBytes = 0;

/** Says it with the parts as its body, one after the other; large parts are written from where they are. */
function say(answer: Answer, parts: readonly Uint8Array[] = []): void {
  hold(answer, parts);
  flush();
}

/** The same, together with what is said next: each write wakes the grader, which stands in for all other ranks. */
function hold(answer: Answer, parts: readonly Uint8Array[] = []): void {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  // A copy, unless it is large: what is held is the user's memory, which may change.
  const pieces =
    length > COPIED_BYTES
      ? [encodePrefix(answer, length), ...parts]
      : [encodeFrame(answer, parts.length === 1 ? parts[0] : Buffer.concat(parts))];
  for (const piece of pieces) {
    heldBytes += piece.length;
    // Without a method of arrays, which a submission may have changed: what went wrong is still said.
    held[held.length] = piece;
  }
  if (heldBytes > COPIED_BYTES) flush();
}

function flush(): void {
  const pieces = heldBytes > COPIED_BYTES ? held : [Buffer.concat(held)];
  held = [];
  heldBytes = 0;
  for (const piece of pieces)
    for (let sent = 0; sent < piece.length; ) sent += retry(() => writeSync(PIPE, piece, sent));
}

function hear(): Frame<Request> {
  flush();
  const lengths = frameLengths(take(PREFIX_BYTES));
  const header = decodeHeader<Request>(take(lengths.header));
  return { header, body: take(lengths.body) };
}

const readAhead = new Uint8Array(COPIED_BYTES);
/** The part of `readAhead` that has been read and not yet taken. */
let ahead = readAhead.subarray(0, 0);

function take(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let filled = 0; filled < size; ) {
    const isLarge = ahead.length === 0 && size - filled >= readAhead.length;
    if (isLarge) filled += readSome(bytes, filled);
    else if (ahead.length === 0) ahead = readAhead.subarray(0, readSome(readAhead, 0));
    else {
      const part = ahead.subarray(0, size - filled);
      bytes.set(part, filled);
      filled += part.length;
      ahead = ahead.subarray(part.length);
    }
  }
  return bytes;
}

function readSome(into: Uint8Array, offset: number): number {
  const count = retry(() => readSync(PIPE, into, offset, into.length - offset, null));
  // The grader is gone; nobody is left to answer.
  if (count === 0) process.exit(0);
  return count;
}

/** The pipe blocks where the platform lets it; where it does not, wait a little and ask again. */
function retry(operation: () => number): number {
  for (;;) {
    try {
      return operation();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // The grader is gone, and every way to say so ends here again.
      if (code === 'EPIPE' || code === 'ECONNRESET') process.exit(0);
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** The links of one rank during one run. */
export class Link {
  private handles = 0;
  private readonly completions = new Map<number, Frame<Completion>>();

  constructor(
    readonly run: number,
    readonly rank: number,
    readonly worldSize: number,
    /** Collects garbage, when memory is counted. */
    private readonly collect?: () => void,
  ) {}

  /** Begins an operation that the grader completes. */
  begin(make: (about: { run: number; handle: number }) => Answer, body?: Uint8Array): number {
    const handle = this.handles++;
    this.collect?.();
    hold(make({ run: this.run, handle }), body === undefined ? [] : [body]);
    return handle;
  }

  isend(tensor: Tensor, peer: number): Work {
    requireTensor(tensor, 'send');
    const handle = this.begin(
      (about) => ({ type: 'send', ...about, peer: Number(peer), tensor: tensorHeader(tensor) }),
      tensorBytes(tensor),
    );
    return { wait: () => void this.complete(handle) };
  }

  irecv(tensor: Tensor, peer: number): Work {
    requireTensor(tensor, 'receive into');
    const handle = this.begin((about) => ({
      type: 'recv',
      ...about,
      // -1 would be "from any", which links do not have.
      peer: Number(peer) === -1 ? -2 : Number(peer),
      tensor: tensorHeader(tensor),
    }));
    let filled = false;
    return {
      wait: () => {
        if (filled) return;
        writeTensor(tensor, this.complete(handle).body);
        filled = true;
      },
    };
  }

  /** Blocks until the grader says that `handle` is complete. */
  complete(handle: number): Frame<Completion> {
    // Said also of what is complete already: the grader knows then that nobody forgot to wait.
    hold({ type: 'wait', run: this.run, handle });
    for (;;) {
      const done = this.completions.get(handle);
      if (done !== undefined) {
        const { error, help, code = 'SB_GRADER_LINK' } = done.header;
        if (error === undefined) return done;
        throw new ShardbookError({
          code,
          message: error,
          ...(help === undefined ? {} : { help }),
        });
      }
      this.collect?.();
      const frame = hear();
      if (frame.header.type !== 'complete' || frame.header.run !== this.run) continue;
      const { run, handle: about, sent = [] } = frame.header;
      this.completions.set(about, frame as Frame<Completion>);
      for (const other of sent)
        this.completions.set(other, { header: { type: 'complete', run, handle: other }, body: NOTHING });
    }
  }
}

/** What a submission sees of the world. */
function makeComm(link: Link): Readonly<Record<string, unknown>> {
  return Object.freeze({
    rank: link.rank,
    worldSize: link.worldSize,
    send: (tensor: Tensor, dst: number) => link.isend(tensor, dst).wait(),
    recv: (tensor: Tensor, src: number) => link.irecv(tensor, src).wait(),
    isend: (tensor: Tensor, dst: number) => link.isend(tensor, dst),
    irecv: (tensor: Tensor, src: number) => link.irecv(tensor, src),
  });
}

function requireTensor(value: unknown, what: string): void {
  if (isTensor(value)) return;
  throw new ShardbookError({
    code: 'SB_GRADER_NO_TENSOR',
    message: `Cannot ${what} ${describeValue(value)}: a tensor is wanted`,
  });
}

type ImportModule = (url: string) => Promise<Record<string, unknown>>;

/** With which a script of a snapshot, which has no `import()` of its own, gets one; Node 20.12 is the first to have it. */
const LOADER = (constants as Partial<typeof constants> | undefined)?.USE_MAIN_CONTEXT_DEFAULT_LOADER;

function importer(importModuleDynamically = LOADER): ImportModule {
  if (importModuleDynamically === undefined) return (url) => import(url) as ReturnType<ImportModule>;
  return new Script('(url) => import(url)', { importModuleDynamically }).runInThisContext() as ImportModule;
}

/** The module that submissions import as 'shardbook' hands on what it finds here while it is loaded. */
async function giveRuntime(importModule: ImportModule, url: string): Promise<void> {
  Object.defineProperty(globalThis, RUNTIME_KEY, { value: shardbook, configurable: true });
  await importModule(url);
  Reflect.deleteProperty(globalThis, RUNTIME_KEY);
}

/** What a harness gets of the submission. */
interface Loaded {
  readonly submission: Record<string, unknown>;
  readonly harness: Record<string, unknown>;
}

async function load(
  importModule: ImportModule,
  request: Request & { type: 'load' },
): Promise<Loaded | undefined> {
  try {
    await giveRuntime(importModule, request.runtime);
    const harness = request.harness === undefined ? {} : await importModule(request.harness);
    const submission = await importModule(request.url);
    const missing = request.exports.find((name) => typeof submission[name] !== 'function');
    if (missing === undefined) {
      say({ type: 'loaded' });
      return { submission, harness };
    }
    const names = Object.keys(submission).join(', ') || 'nothing';
    throw new Error(`it exports ${names}, wanted a function "${missing}"`);
  } catch (error) {
    say({ type: 'load-failed', failure: describeFailure(error) });
    return undefined;
  }
}

async function run(loaded: Loaded, request: Request & { type: 'run' }, body: Uint8Array): Promise<void> {
  const { call, harness, comm } = request;
  let offset = 0;
  const inputs = request.tensors.map((header) => {
    const size = byteCount(header);
    const tensor = makeTensor(header, body.subarray(offset, offset + size));
    offset += size;
    return tensor;
  });
  const args = request.args.map((value) => readValue(value, inputs));
  const measuring = request.memory === true ? startMeasuring(request.run) : undefined;
  const link = new Link(request.run, request.rank, request.worldSize, measuring?.collect);
  const over = comm === 'links' ? [makeComm(link)] : [];
  const end = comm === 'dist' ? joinWorld(link) : undefined;
  let value: unknown;
  try {
    value = await (harness
      ? (loaded.harness[call] as SubmittedFunction)(loaded.submission, ...args, ...over)
      : (loaded.submission[call] as SubmittedFunction)(...args, ...over));
  } finally {
    end?.();
    measuring?.end();
  }
  const outputs: Tensor[] = [];
  const written = writeValue(value, outputs);
  // Copies, as the next step overwrites the tensors; while memory is counted there is no next step.
  const changed = measuring === undefined ? inputs : [];
  const parts = [...outputs, ...changed].map((tensor) =>
    measuring === undefined ? tensorBytes(tensor).slice() : tensorBytes(tensor),
  );
  const answer: Answer = {
    type: 'returned',
    run: request.run,
    value: written,
    tensors: outputs.map(tensorHeader),
    inputs: changed.map(tensorHeader),
    // Needs copies of all inputs, which would count as well.
    aliased: measuring === undefined && isAliased(outputs, inputs),
    again: outputs.some(({ storage }) => returned.has(storage)),
  };
  for (const tensor of outputs) if (tensor.numel() > 0) returned.add(tensor.storage);
  say(answer, parts);
}

/**
 * The grader counts from now on how much memory this process uses. Garbage is collected after every operation, so that what it counts
 * is what the program holds.
 */
function startMeasuring(run: number): { collect: () => void; end: () => void } {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // The runtime's kernels are compiled when a tensor is large enough for them: their memory is not the submission's.
  torch.zeros([LARGE]).add(1);
  collect();
  say({ type: 'measure', run });
  while (hear().header.type !== 'go');
  return { collect, end: onMemory({ ran: () => collect() }) };
}

/** Memory of what was returned so far. */
const returned = new WeakSet<object>();

/** Whether writing to an output changes an input. */
function isAliased(outputs: readonly Tensor[], inputs: readonly Tensor[]): boolean {
  if (outputs.length === 0 || inputs.length === 0) return false;
  const before = inputs.map((tensor) => Buffer.from(tensorBytes(tensor)));
  for (const tensor of outputs) overwriteTensor(tensor);
  return inputs.some((tensor, i) => !before[i]!.equals(tensorBytes(tensor)));
}

/** A thrown value is the submission's: nothing about it can be trusted, not even that reading it succeeds. */
function describeFailure(error: unknown): Failure {
  try {
    if (error instanceof Error) {
      return {
        name: String(error.name).slice(0, 200),
        message: String(error.message).slice(0, 4000),
        stack: String(error.stack).slice(0, 8000),
      };
    }
    return { name: 'Error', message: String(error).slice(0, 4000), stack: '' };
  } catch {
    return { name: 'Error', message: 'it threw something that cannot be read', stack: '' };
  }
}

/** Does what submissions do first: the engine compiles a function when it is called, and a snapshot keeps what it has compiled. */
function useOnce(): void {
  const bytes = new Uint8Array(24);
  const [a, b] = [makeTensor({ dtype: 'float32', shape: [6] }, bytes), torch.ones([2, 3])];
  const flat = b.clone().reshape([-1]);
  for (const part of [flat.narrow(0, 0, 3), ...flat.chunk(2), flat.get(0)]) part.add_(part).copy_(part);
  torch
    .cat([a, flat, torch.emptyLike(a), torch.zeros([2])])
    .mul(2)
    .div(2)
    .sub(1)
    .sum()
    .item();
  const weight = b.detach().requiresGrad_();
  b.matmul(weight.t()).relu().mean().backward();
  const tensors: Tensor[] = [];
  readValue(writeValue([a, weight.grad, 1, 'text', { a }], tensors), tensors);
  isAliased([a], [flat]);
}

/** Prints go out as they are made: a loop that prints must reach the limit of output, not fill the memory first. */
function printAtOnce(): void {
  for (const name of ['stdout', 'stderr'] as const) {
    // Most submissions print nothing, and to make a stream takes some milliseconds.
    const { get } = Object.getOwnPropertyDescriptor(process, name)!;
    const stream = (): unknown => {
      const made = get!.call(process) as { _handle?: { setBlocking?(on: boolean): void } };
      made._handle?.setBlocking?.(true);
      return made;
    };
    Object.defineProperty(process, name, { get: stream, enumerable: true, configurable: true });
  }
}

/** Answers the grader until it is gone. */
async function serve(): Promise<void> {
  let submitted: Loaded | undefined;
  let current: number | undefined;
  let isLoading = false;
  const fail = (error: unknown): void => {
    if (current === undefined) return;
    say({ type: 'threw', run: current, failure: describeFailure(error) });
    current = undefined;
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  // Nothing is left that could go on, and the call is not over.
  process.on('beforeExit', () => {
    if (current !== undefined) say({ type: 'never-settled', run: current });
    if (isLoading)
      say({
        type: 'load-failed',
        failure: describeFailure(new Error('it waits for something that never comes')),
      });
    process.exit(0);
  });
  // Node 20 optimises early, and most cases are over before that pays; later engines wait longer by themselves and have no such flag.
  if (process.versions.v8.startsWith('11.')) setFlagsFromString('--interrupt-budget=1000000');
  printAtOnce();
  const importModule = importer();
  say({ type: 'ready' });
  for (;;) {
    const { header, body } = hear();
    if (header.type === 'load') {
      isLoading = true;
      submitted = await load(importModule, header);
      isLoading = false;
    } else if (header.type === 'run' && submitted !== undefined) {
      current = header.run;
      try {
        await run(submitted, header, body);
      } catch (error) {
        fail(error);
      }
      current = undefined;
    }
  }
}

if (startupSnapshot.isBuildingSnapshot()) {
  if (LOADER === undefined) throw new Error('What begins with a snapshot could not import a submission here');
  useOnce();
  startupSnapshot.setDeserializeMainFunction(() => void serve());
} else void serve();
