/** Reductions over raw bytes, in rank order, rounded to the dtype after every step: the same bits on every run. */
import {
  type DTypeName,
  decodeTable,
  encoder,
  isFloat,
  isSmallFloat,
  ShardbookError,
  typedView,
} from '../../base/index.js';

export type ReduceKind = 'sum' | 'avg' | 'product' | 'min' | 'max' | 'band' | 'bor' | 'bxor' | 'premulSum';

/** How the ranks' tensors are combined. */
export class ReduceOp {
  static readonly SUM = new ReduceOp('sum');
  static readonly AVG = new ReduceOp('avg');
  static readonly PRODUCT = new ReduceOp('product');
  static readonly MIN = new ReduceOp('min');
  static readonly MAX = new ReduceOp('max');
  static readonly BAND = new ReduceOp('band');
  static readonly BOR = new ReduceOp('bor');
  static readonly BXOR = new ReduceOp('bxor');
  /** Each rank's tensor times `factor`, then the sum. */
  static PREMUL_SUM(factor: number): ReduceOp {
    return new ReduceOp('premulSum', factor);
  }

  private constructor(
    readonly kind: ReduceKind,
    readonly factor = 1,
  ) {}

  toString(): string {
    return this.kind === 'premulSum' ? `premulSum(${this.factor})` : this.kind;
  }
}

/** Refuses what has no meaning for the dtype, before any rank waits. */
export function checkReduceOp(op: ReduceOp, dtype: DTypeName, name: string): void {
  if (!(op instanceof ReduceOp)) {
    throw new ShardbookError({
      code: 'SB_REDUCE_OP',
      message: `Cannot run "${name}": "${String(op)}" is not a reduce op`,
      help: 'use dist.ReduceOp.SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR or PREMUL_SUM(factor)',
    });
  }
  const bitwise = op.kind === 'band' || op.kind === 'bor' || op.kind === 'bxor';
  const floating = isFloat(dtype);
  if (bitwise && floating) refuse(op, dtype, name, 'an integer or bool dtype');
  if ((op.kind === 'avg' || op.kind === 'premulSum') && !floating)
    refuse(op, dtype, name, 'a floating dtype');
}

function refuse(op: ReduceOp, dtype: DTypeName, name: string, wanted: string): never {
  throw new ShardbookError({
    code: 'SB_REDUCE_OP',
    message: `Cannot run "${name}" with reduce op "${op}" on ${dtype}: wanted ${wanted}`,
  });
}

/** Combines `sources` into `out`; all have one length. `out` may be the first source's memory, and no other's. */
export function reduceBytes(
  out: Uint8Array,
  sources: readonly Uint8Array[],
  dtype: DTypeName,
  op: ReduceOp,
): void {
  if (isSmallFloat(dtype)) reduceSmallFloats(out, sources, dtype, op);
  else if (dtype === 'int64') reduceInt64(bigView(out), sources.map(bigView), op);
  else
    reduceNumbers(
      view(dtype, out) as Numbers,
      sources.map((s) => view(dtype, s) as Numbers),
      dtype,
      op,
    );
}

type Numbers = Float64Array | Float32Array | Int32Array | Int16Array | Int8Array | Uint8Array;

function view(dtype: DTypeName, bytes: Uint8Array) {
  return typedView(dtype, bytes.buffer, bytes.byteOffset, bytes.byteLength / bytesOf(dtype));
}

function bytesOf(dtype: DTypeName): number {
  if (dtype === 'float64' || dtype === 'int64') return 8;
  if (dtype === 'float32' || dtype === 'int32') return 4;
  return dtype === 'int16' || dtype === 'float16' || dtype === 'bfloat16' ? 2 : 1;
}

function bigView(bytes: Uint8Array): BigInt64Array {
  return new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
}

function reduceNumbers(out: Numbers, sources: readonly Numbers[], dtype: DTypeName, op: ReduceOp): void {
  const kind = dtype === 'bool' ? boolKind(op.kind) : op.kind;
  const n = out.length;
  out.set(sources[0]!);
  if (kind === 'premulSum') for (let i = 0; i < n; i++) out[i] = out[i]! * op.factor;
  for (let k = 1; k < sources.length; k++) {
    const source = sources[k]!;
    if ((kind === 'sum' || kind === 'avg') && out instanceof Float32Array)
      addFloat32(out, source as Float32Array);
    else combine(out, source, dtype, kind, op.factor);
  }
  if (kind === 'avg') for (let i = 0; i < n; i++) out[i] = out[i]! / sources.length;
}

/** Apart from the general loop, so that the engine compiles it for this one type. */
function addFloat32(out: Float32Array, source: Float32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = out[i]! + source[i]!;
}

function combine(out: Numbers, source: Numbers, dtype: DTypeName, kind: ReduceKind, factor: number): void {
  const n = out.length;
  switch (kind) {
    case 'sum':
    case 'avg':
      for (let i = 0; i < n; i++) out[i] = out[i]! + source[i]!;
      return;
    case 'premulSum': {
      const round = dtype === 'float32' ? Math.fround : (x: number) => x;
      for (let i = 0; i < n; i++) out[i] = out[i]! + round(source[i]! * factor);
      return;
    }
    case 'product':
      // A product of 32-bit integers does not fit a double; imul wraps as C does.
      if (isFloat(dtype)) for (let i = 0; i < n; i++) out[i] = out[i]! * source[i]!;
      else for (let i = 0; i < n; i++) out[i] = Math.imul(out[i]!, source[i]!);
      return;
    case 'min':
      for (let i = 0; i < n; i++) if (source[i]! < out[i]!) out[i] = source[i]!;
      return;
    case 'max':
      for (let i = 0; i < n; i++) if (source[i]! > out[i]!) out[i] = source[i]!;
      return;
    case 'band':
      for (let i = 0; i < n; i++) out[i] = out[i]! & source[i]!;
      return;
    case 'bor':
      for (let i = 0; i < n; i++) out[i] = out[i]! | source[i]!;
      return;
    case 'bxor':
      for (let i = 0; i < n; i++) out[i] = out[i]! ^ source[i]!;
      return;
  }
}

function boolKind(kind: ReduceKind): ReduceKind {
  if (kind === 'sum' || kind === 'max') return 'bor';
  return kind === 'product' || kind === 'min' ? 'band' : kind;
}

function reduceInt64(out: BigInt64Array, sources: readonly BigInt64Array[], { kind }: ReduceOp): void {
  const steps: Partial<Record<ReduceKind, (a: bigint, b: bigint) => bigint>> = {
    sum: (a, b) => a + b,
    product: (a, b) => a * b,
    // Math.min does not take bigints.
    min: least,
    max: (a, b) => (least(a, b) === a ? b : a),
    band: (a, b) => a & b,
    bor: (a, b) => a | b,
    bxor: (a, b) => a ^ b,
  };
  const step = steps[kind]!;
  out.set(sources[0]!);
  for (let k = 1; k < sources.length; k++) {
    const source = sources[k]!;
    for (let i = 0; i < out.length; i++) out[i] = step(out[i]!, source[i]!);
  }
}

function least(a: bigint, b: bigint): bigint {
  if (b < a) return b;
  return a;
}

function reduceSmallFloats(
  out: Uint8Array,
  sources: readonly Uint8Array[],
  dtype: DTypeName,
  op: ReduceOp,
): void {
  const decode = decodeTable(dtype);
  const encode = encoder(dtype);
  const round = (x: number) => decode[encode(x)]!;
  const bits = sources.map((s) => view(dtype, s) as Uint16Array | Uint8Array);
  const result = view(dtype, out) as Uint16Array | Uint8Array;
  const first = bits[0]!;
  for (let i = 0; i < result.length; i++) {
    let acc = decode[first[i]!]!;
    if (op.kind === 'premulSum') acc = round(acc * op.factor);
    for (let k = 1; k < bits.length; k++) {
      const x = decode[bits[k]![i]!]!;
      if (op.kind === 'sum' || op.kind === 'avg') acc = round(acc + x);
      else if (op.kind === 'product') acc = round(acc * x);
      else if (op.kind === 'premulSum') acc = round(acc + round(x * op.factor));
      else if (op.kind === 'min' && x < acc) acc = x;
      else if (op.kind === 'max' && x > acc) acc = x;
    }
    result[i] = encode(op.kind === 'avg' ? acc / bits.length : acc);
  }
}
