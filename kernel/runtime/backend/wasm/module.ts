/** The compiled kernels and their memory, which is scratch only: tensors live in garbage-collected arrays outside. */
import { plainKernels, relaxedKernels } from './generated/kernels.js';

/** Addresses are bytes, sizes are elements unless said otherwise; see `assembly/` for each. */
export interface Kernels {
  readonly memory: WebAssembly.Memory;
  matmulScratch(n: number): number;
  matmul(
    a: number,
    ars: number,
    acs: number,
    b: number,
    brs: number,
    bcs: number,
    c: number,
    m: number,
    n: number,
    k: number,
    accumulate: boolean,
    scratch: number,
  ): void;
  addRow(c: number, row: number, m: number, n: number): void;
  exp(x: number, out: number, n: number): void;
  log(x: number, out: number, n: number): void;
  tanh(x: number, out: number, n: number): void;
  erf(x: number, out: number, n: number): void;
  sigmoid(x: number, out: number, n: number): void;
  silu(x: number, out: number, n: number): void;
  neg(x: number, out: number, n: number): void;
  abs(x: number, out: number, n: number): void;
  sqrt(x: number, out: number, n: number): void;
  rsqrt(x: number, out: number, n: number): void;
  reciprocal(x: number, out: number, n: number): void;
  square(x: number, out: number, n: number): void;
  relu(x: number, out: number, n: number): void;
  add(a: number, b: number, out: number, n: number): void;
  sub(a: number, b: number, out: number, n: number): void;
  mul(a: number, b: number, out: number, n: number): void;
  div(a: number, b: number, out: number, n: number): void;
  maximum(a: number, b: number, out: number, n: number): void;
  minimum(a: number, b: number, out: number, n: number): void;
  isFused(): boolean;
  normalBlocks(values: number, n: number, mean: number, std: number): void;
  uniforms(words: number, position: number, out: number, n: number): number;
  axpy(alpha: number, a: number, b: number, out: number, n: number): void;
  thresholdBackward(grad: number, y: number, out: number, n: number, threshold: number): void;
  sum(x: number, n: number): number;
  squares(x: number, n: number, m: number): number;
  columnSums(x: number, out: number, rows: number, n: number): void;
  gelu(x: number, out: number, n: number): void;
  geluTanh(x: number, out: number, n: number): void;
  geluBackward(grad: number, x: number, out: number, n: number): void;
  geluTanhBackward(grad: number, x: number, out: number, n: number): void;
  adam(
    param: number,
    grad: number,
    m: number,
    v: number,
    n: number,
    beta1: number,
    beta2: number,
    eps: number,
    stepSize: number,
    rootCorrection2: number,
    decay: number,
    l2: number,
    sign: number,
  ): void;
  softmax(x: number, out: number, rows: number, n: number, log: boolean): void;
  softmaxBackward(grad: number, y: number, out: number, rows: number, n: number, log: boolean): void;
  norm(
    x: number,
    weight: number,
    bias: number,
    out: number,
    mean: number,
    rstd: number,
    rows: number,
    n: number,
    eps: number,
    centre: boolean,
  ): void;
  normBackward(
    grad: number,
    x: number,
    mean: number,
    rstd: number,
    weight: number,
    dx: number,
    dw: number,
    db: number,
    rows: number,
    n: number,
    centre: boolean,
  ): void;
  attentionRows(
    s: number,
    mask: number,
    lse: number,
    rows: number,
    m: number,
    scale: number,
    first: number,
  ): void;
  attentionGradRows(
    s: number,
    dp: number,
    mask: number,
    lse: number,
    delta: number,
    rows: number,
    m: number,
    scale: number,
    first: number,
  ): void;
  rowDots(grad: number, out: number, gradLse: number, delta: number, rows: number, n: number): void;
  scale(x: number, factor: number, n: number): void;
}

const PAGE = 65536;
/** The first page holds the module's constants (tables of logarithms among them). */
const BASE = PAGE;

function decode(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The fastest module this engine takes. `enableRelaxed` may switch relaxed SIMD on where an engine has it but hides it. */
function compile(enableRelaxed: (() => void) | undefined): WebAssembly.Module {
  const relaxed = decode(relaxedKernels);
  // What cannot be compiled is found out by compiling: to validate first would read the module twice.
  for (const enable of [undefined, enableRelaxed]) {
    try {
      enable?.();
      return new WebAssembly.Module(relaxed);
    } catch (error) {
      if (!(error instanceof WebAssembly.CompileError)) throw error;
    }
  }
  return new WebAssembly.Module(decode(plainKernels));
}

function instantiate(enableRelaxed: (() => void) | undefined): Kernels {
  const abort = (): never => {
    throw new Error('Internal error (please report): a compute kernel aborted');
  };
  const { exports } = new WebAssembly.Instance(compile(enableRelaxed), { env: { abort } });
  return exports as unknown as Kernels;
}

/**
 * The module and a bump allocator over its memory; every kernel call starts it afresh. Compiled when it is first needed: many
 * processes never have a tensor that is large enough, and each of them has this module for itself.
 */
export class Scratch {
  private compiled: Kernels | undefined;
  private top = BASE;
  private view = new Float32Array();

  constructor(private readonly enableRelaxed?: () => void) {}

  get kernels(): Kernels {
    this.compiled ??= instantiate(this.enableRelaxed);
    return this.compiled;
  }

  /** Whether a product and the sum after it are rounded once. */
  get isFused(): boolean {
    return this.kernels.isFused();
  }

  /** Forgets all allocations and makes sure that `floats` more fit. */
  start(floats: number): void {
    const { memory } = this.kernels;
    this.top = BASE;
    const wanted = BASE + 4 * floats + PAGE;
    const missing = wanted - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
    if (this.view.buffer !== memory.buffer) this.view = new Float32Array(memory.buffer);
  }

  /** Address of n fresh floats, 16-byte aligned with room for a last partial vector. */
  take(n: number): number {
    const at = this.top;
    this.top = (at + 4 * n + 31) & ~15;
    return at;
  }

  put(values: Float32Array): number {
    const at = this.take(values.length);
    this.view.set(values, at >> 2);
    return at;
  }

  /** Writes over an allocation. */
  set(at: number, values: Float32Array): void {
    this.view.set(values, at >> 2);
  }

  zero(at: number, n: number): void {
    this.view.fill(0, at >> 2, (at >> 2) + n);
  }

  fill(at: number, n: number, value: number): void {
    this.view.fill(value, at >> 2, (at >> 2) + n);
  }

  /** n doubles at an allocation, as a view that lasts until the next `start`. */
  doubles(at: number, n: number): Float64Array {
    return new Float64Array(this.kernels.memory.buffer, at, n);
  }

  /** n words at an allocation, as a view that lasts until the next `start`. */
  integers(at: number, n: number): Int32Array {
    return new Int32Array(this.kernels.memory.buffer, at, n);
  }

  read(at: number, n: number, into: Float32Array, offset = 0): void {
    into.set(this.view.subarray(at >> 2, (at >> 2) + n), offset);
  }
}
