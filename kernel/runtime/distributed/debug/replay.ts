/**
 * Recorded calls once more, with other input: one call for all its members, or one rank's program alone, for which the recording
 * plays the other ranks. Results are computed as the real collectives do, in rank order, so the same input gives the same bits.
 */
import { runThen, ShardbookError } from '../../base/index.js';
import { messageKind } from '../../simulator/index.js';
import { Tensor } from '../../tensor/index.js';
import {
  addCommHook,
  type CommAnswer,
  type CommCall,
  type CommHook,
  dist,
  ReduceOp,
  reduceBytes,
} from '../group/index.js';
import { CommRecorder } from './recorder.js';
import {
  type CommStep,
  describeStep,
  describeTensor,
  type RecordedValue,
  recordedValue,
  sameBytes,
  tensorOf,
  writeValue,
} from './step.js';
import { type CommTrace, noValues, type TracedCall } from './trace.js';

/** What one member gave. */
interface Given {
  inputs: readonly RecordedValue[];
  payload: Uint8Array | undefined;
  sendBytes: readonly number[] | undefined;
}

const OPS: Readonly<Record<string, ReduceOp>> = {
  sum: ReduceOp.SUM,
  avg: ReduceOp.AVG,
  product: ReduceOp.PRODUCT,
  min: ReduceOp.MIN,
  max: ReduceOp.MAX,
  band: ReduceOp.BAND,
  bor: ReduceOp.BOR,
  bxor: ReduceOp.BXOR,
};

function reduced(step: CommStep, parts: readonly { dtype: string; bytes: Uint8Array }[]): Uint8Array {
  const { kind, factor } = step.reduceOp!;
  const op = kind === 'premulSum' ? ReduceOp.PREMUL_SUM(factor) : OPS[kind]!;
  const out = new Uint8Array(parts[0]!.bytes.length);
  const sources = parts.map((part) => part.bytes.slice());
  reduceBytes(out, sources, parts[0]!.dtype as Parameters<typeof reduceBytes>[2], op);
  return out;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The m-th of n equal pieces. */
const piece = (bytes: Uint8Array, m: number, n: number): Uint8Array =>
  bytes.subarray((m * bytes.length) / n, ((m + 1) * bytes.length) / n);

/** What member `me` writes into its outputs, from what all members gave, in group order. */
function outputsOf(step: CommStep, given: readonly Given[], me: number): Uint8Array[] {
  const n = given.length;
  const root = step.root === undefined ? -1 : step.groupRanks.indexOf(step.root);
  const nth = (i: number): RecordedValue[] => given.map((member) => member.inputs[i]!);
  const own = given[me]!.inputs;
  switch (step.op) {
    case 'allReduce':
    case 'allReduceCoalesced':
      return own.map((_, i) => reduced(step, nth(i)));
    case 'reduce':
      return me === root ? [reduced(step, nth(0))] : [];
    case 'broadcast':
      return me === root ? [] : [given[root]!.inputs[0]!.bytes];
    case 'allGather':
    case 'allGatherCoalesced':
      return given.flatMap((member) => member.inputs.map((value) => value.bytes));
    case 'allGatherSingle':
      return [joined(given.map((member) => member.inputs[0]!.bytes))];
    case 'gather':
      return me === root ? given.map((member) => member.inputs[0]!.bytes) : [];
    case 'scatter':
      return [given[root]!.inputs[me]!.bytes];
    case 'reduceScatter':
      return [reduced(step, nth(me))];
    case 'reduceScatterSingle':
    case 'reduceScatterCoalesced':
      return own.map((_, i) =>
        reduced(
          step,
          nth(i).map(({ dtype, bytes }) => ({ dtype, bytes: piece(bytes, me, n) })),
        ),
      );
    case 'allToAll':
      return given.map((member) => member.inputs[me]!.bytes);
    case 'allToAllSingle':
      return [
        joined(
          given.map(({ inputs, sendBytes }) => {
            const from = sendBytes!.slice(0, me).reduce((a, b) => a + b, 0);
            return inputs[0]!.bytes.subarray(from, from + sendBytes![me]!);
          }),
        ),
      ];
    default:
      return [];
  }
}

function givenBy(step: CommStep): Given {
  if (step.inputs === undefined) throw noValues(describeStep(step));
  return { inputs: step.inputs, payload: step.payload, sendBytes: step.sendBytes };
}

/** What a call gives with changed input. */
export interface ReplayedCall {
  /** What each rank gets, by rank. */
  outputs: Map<number, Tensor[]>;
  /** Ranks whose outputs differ from the recorded ones. */
  changed: number[];
}

/**
 * A collective or message again, with other inputs for some ranks.
 *
 * @example
 * const again = replayCall(trace.at(2), { 1: torch.zeros([4]) });
 * again.outputs.get(0);
 */
export function replayCall(
  call: TracedCall,
  changes: Readonly<Record<number, Tensor | readonly Tensor[]>>,
): ReplayedCall {
  const { missing } = call;
  if (missing.length > 0) throw cannotReplay(`${call}: rank ${missing.join(', ')} did not call it`);
  const given = new Map(call.ranks.map((rank) => [rank, givenBy(call.steps.get(rank)!)]));
  for (const [key, tensors] of Object.entries(changes)) {
    const rank = Number(key);
    const member = given.get(rank);
    if (member === undefined) throw cannotReplay(`${call}: rank ${rank} had no part in it`);
    const values = (tensors instanceof Tensor ? [tensors] : tensors).map(recordedValue);
    values.forEach((value, i) => {
      const recorded = member.inputs[i];
      if (
        recorded === undefined ||
        recorded.dtype !== value.dtype ||
        recorded.bytes.length !== value.bytes.length
      ) {
        const wanted = recorded === undefined ? 'no tensor there' : describeTensor(tensorOf(recorded));
        throw cannotReplay(
          `${call}: input ${i} of rank ${rank} is ${describeTensor(tensorOf(value))}, recorded was ${wanted}`,
        );
      }
    });
    given.set(rank, { ...member, inputs: [...values, ...member.inputs.slice(values.length)] });
  }
  const outputs = new Map<number, Tensor[]>();
  const changed: number[] = [];
  for (const rank of call.ranks) {
    const step = call.steps.get(rank)!;
    const bytes = call.isMessage
      ? received(call, step, given)
      : outputsOf(step, inGroupOrder(step, given), step.groupRanks.indexOf(rank));
    const recorded = step.outputs ?? [];
    outputs.set(
      rank,
      recorded.map((value, i) => tensorOf({ ...value, bytes: bytes[i]! })),
    );
    if (recorded.some((value, i) => !sameBytes(value.bytes, bytes[i]!))) changed.push(rank);
  }
  return { outputs, changed };
}

const inGroupOrder = (step: CommStep, given: ReadonlyMap<number, Given>): Given[] =>
  step.groupRanks.map((rank) => given.get(rank)!);

function received(call: TracedCall, step: CommStep, given: ReadonlyMap<number, Given>): Uint8Array[] {
  if (messageKind(step.op) === 'send') return [];
  const sender = call.ranks.find((rank) => rank !== step.rank);
  return sender === undefined ? [] : [given.get(sender)!.inputs[0]!.bytes];
}

/** A call of the replay beside the recorded one. */
export interface ReplayedStep {
  recorded: CommStep;
  /** This run's, with values. */
  step: CommStep;
  inputsDiffer: boolean;
  outputsDiffer: boolean;
}

/** What a program gave that ran again on one rank. */
export interface RankReplay<T> {
  /** What the body returned. */
  value: T;
  steps: ReplayedStep[];
}

/**
 * Runs `body` on this rank alone: every call is answered with what the other ranks gave in the recording and this rank gives
 * now. No other rank takes part or waits. The calls must be those of the recording, in its order.
 *
 * @example
 * const again = replayRank(trace, () => trainStep(otherBatch));
 * again.steps.find((step) => step.outputsDiffer);
 */
export function replayRank<T>(trace: CommTrace, body: () => T): RankReplay<T> {
  const rank = dist.isInitialized() ? dist.getRank() : 0;
  const steps = trace.of(rank);
  const callOf = new Map<CommStep, TracedCall>();
  for (const call of trace.calls) for (const step of call.steps.values()) callOf.set(step, call);
  let at = 0;
  const recorder = new CommRecorder({ values: true });
  const hook: CommHook = {
    before(call): CommAnswer {
      const step = steps[at];
      if (step === undefined) throw diverges(at, undefined, call);
      if (step.op !== call.op || step.group !== call.group || shapesOf(step.shapes) !== shapesOf(call.shapes))
        throw diverges(at, step, call);
      at++;
      return answer(callOf.get(step)!, step, call);
    },
  };
  let unhook: (() => void) | undefined;
  const replay = (): T => {
    recorder.start();
    unhook = addCommHook(hook);
    const value = body();
    if (value instanceof Promise) throw cannotReplay('a body that awaits: other code would run in between');
    return value;
  };
  const value = runThen(replay, () => {
    unhook?.();
    recorder.stop();
  });
  return {
    value,
    steps: recorder.steps.map((step, i) => {
      const recorded = steps[i]!;
      return {
        recorded,
        step,
        inputsDiffer: differ(recorded.inputs, step.inputs),
        outputsDiffer: differ(recorded.outputs, step.outputs),
      };
    }),
  };
}

function answer(traced: TracedCall, step: CommStep, call: CommCall): CommAnswer {
  if (step.error !== undefined) throw cannotReplay(`${traced}: it failed when it was recorded`);
  if (/^(new|split)/.test(step.op))
    throw cannotReplay(`${traced}: groups cannot be made again, make them outside of what is replayed`);
  const { missing } = traced;
  if (missing.length > 0) throw cannotReplay(`${traced}: rank ${missing.join(', ')} did not call it`);
  const given = new Map(traced.ranks.map((rank) => [rank, givenBy(traced.steps.get(rank)!)]));
  given.set(step.rank, {
    inputs: call.inputs.map(recordedValue),
    payload: call.payload,
    sendBytes: call.sendBytes,
  });
  const outputs = traced.isMessage
    ? received(traced, step, given)
    : outputsOf(step, inGroupOrder(step, given), step.groupRanks.indexOf(step.rank));
  call.outputs.forEach((t, i) => {
    if (outputs[i] !== undefined) writeValue(t, outputs[i]);
  });
  if (traced.isMessage) return { result: step.peer };
  if (call.payload === undefined) return {};
  return { result: inGroupOrder(step, given).map((member) => member.payload!.slice()) };
}

function differ(a: readonly RecordedValue[] | undefined, b: readonly RecordedValue[] | undefined): boolean {
  if (a === undefined || b === undefined || a.length !== b.length) return true;
  return a.some((value, i) => !sameBytes(value.bytes, b[i]!.bytes));
}

const shapesOf = (shapes: readonly (readonly number[])[]): string => JSON.stringify(shapes);

function diverges(index: number, step: CommStep | undefined, call: CommCall): ShardbookError {
  const now = `${call.op} of group ${call.group} (${call.inputs.map(describeTensor).join(', ')})`;
  const then =
    step === undefined ? 'the recording has no more calls' : `the recording has ${describeStep(step)}`;
  return new ShardbookError({
    code: 'SB_REPLAY',
    message: `Cannot replay call ${index}: the rank now calls ${now}, ${then}`,
    help: 'a replay must make the calls of the recording, in the same order and with the same shapes',
  });
}

function cannotReplay(problem: string): ShardbookError {
  return new ShardbookError({ code: 'SB_REPLAY', message: `Cannot replay ${problem}` });
}
