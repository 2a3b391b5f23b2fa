/** A recorded call as plain data, and tensors as values in it. */
import { Storage, Tensor, torch } from '../../tensor/index.js';
import { byteLength, type CommTensor, describeTensor, destination, readBytes } from '../group/index.js';

/** A tensor's elements at one moment, in row-major order. */
export interface RecordedValue {
  dtype: string;
  shape: readonly number[];
  bytes: Uint8Array;
}

/** One call on one rank. Times are milliseconds since the trace began, measured by this machine's clock. */
export interface CommStep {
  rank: number;
  /** Number of the call on its rank, from 0 in each recording. */
  index: number;
  op: string;
  group: string;
  groupRanks: readonly number[];
  /** Sequence number within the group; 0 for messages. */
  seq: number;
  /** Of what the rank contributes: `f32[3, 4]`. */
  tensors: readonly string[];
  shapes: readonly (readonly number[])[];
  dtype: string | undefined;
  /** Bytes of this rank's contribution. */
  bytes: number;
  async: boolean;
  reduceOp: { kind: string; factor: number } | undefined;
  root: number | undefined;
  peer: number | undefined;
  tag: number | undefined;
  sendBytes: readonly number[] | undefined;
  detail: string | undefined;
  /** The caller's line. */
  place: string | undefined;
  /** Path of the module whose forward or backward made the call. */
  module: string | undefined;
  start: number;
  /** Undefined: it was never done. */
  end: number | undefined;
  /** When it was waited for. */
  waited: number | undefined;
  /** First line of what failed it. */
  error: string | undefined;
  /** What it read and wrote, if values were recorded. */
  inputs: RecordedValue[] | undefined;
  outputs: RecordedValue[] | undefined;
  /** Object collectives: what this rank gave. */
  payload: Uint8Array | undefined;
}

export function recordedValue(t: CommTensor): RecordedValue {
  return { dtype: t.dtype.name, shape: [...t.shape], bytes: readBytes(t).slice() };
}

/** A tensor of its own with the recorded elements. */
export function tensorOf(value: RecordedValue): Tensor {
  const dtype = (torch as unknown as Record<string, Tensor['dtype']>)[value.dtype]!;
  return new Tensor({ storage: new Storage(value.bytes.slice().buffer), shape: value.shape, dtype });
}

/** Writes bytes into a tensor, however it lies in memory. */
export function writeValue(t: CommTensor, bytes: Uint8Array): void {
  const out = destination(t);
  out.bytes.set(bytes.subarray(0, byteLength(t)));
  out.commit();
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

/** "allReduce #7 of group world: f32[3, 4], sum at cell 3, line 5". */
export function describeStep(step: CommStep): string {
  const seq = step.seq > 0 ? ` #${step.seq}` : '';
  const args = [...step.tensors.slice(0, 3), step.tensors.length > 3 ? '...' : '', step.detail ?? '']
    .filter((part) => part !== '')
    .join(', ');
  const place = step.place === undefined ? '' : ` at ${step.place}`;
  return `${step.op}${seq} of group ${step.group}${args === '' ? '' : `: ${args}`}${place}`;
}

export { describeTensor };
