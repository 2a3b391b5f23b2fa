/** Several tensors in one collective: one call, one set of rounds, whatever their number. */
import * as algorithms from './algorithms.js';
import {
  type AsyncOption,
  badArgument,
  collective,
  memberGroup,
  named,
  type Positional,
  sameTensor,
} from './args.js';
import type { ReduceOption } from './collectives.js';
import type { Group, ProcessGroup, Work } from './process-group.js';
import { checkReduceOp, ReduceOp } from './reduce-op.js';
import { type CommTensor, checkTensor, describeTensor, destination, readBytes } from './tensors.js';

/** Reduces every tensor of the list over the group, in place. All have one dtype. */
export function allReduceCoalesced(
  tensors: readonly CommTensor[],
  ...rest: Positional<[op?: ReduceOp, group?: Group, asyncOp?: boolean], ReduceOption>
): Work | undefined {
  const options = named<ReduceOption>('allReduceCoalesced', ['op', 'group', 'asyncOp'], rest);
  const name = 'allReduceCoalesced';
  checkTensors(name, tensors);
  const { dtype } = tensors[0]!;
  for (const t of tensors) oneDtype(name, t, tensors[0]!);
  const op = options.op ?? ReduceOp.SUM;
  checkReduceOp(op, dtype.name, name);
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  const outs = tensors.map((t) => destination(t, true));
  function* body(channel: ProcessGroup['channel']) {
    const packed = pack(outs.map((out) => out.bytes));
    yield* algorithms.allReduce(channel, packed, dtype.name, op);
    unpack(packed, outs);
  }
  const io = { outputs: tensors, reduceOp: op };
  const start = { op: name, tensors, detail: String(op), print: prints(tensors), body, ...io };
  return collective(group, start, options.asyncOp).work;
}

/** `outputs[i]` is the list that gets member i's tensors; the members' lists have the same shapes. */
export function allGatherCoalesced(
  outputs: readonly (readonly CommTensor[])[],
  inputs: readonly CommTensor[],
  ...rest: Positional<[group?: Group, asyncOp?: boolean], AsyncOption>
): Work | undefined {
  const options = named<AsyncOption>('allGatherCoalesced', ['group', 'asyncOp'], rest);
  const name = 'allGatherCoalesced';
  checkTensors(name, inputs);
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  if (outputs.length !== group.size()) {
    throw badArgument(
      name,
      `${outputs.length} lists of outputs are given, wanted ${group.size()} (the group's size)`,
    );
  }
  for (const list of outputs) {
    if (list.length !== inputs.length) {
      throw badArgument(
        name,
        `a list of outputs has ${list.length} tensors, wanted ${inputs.length} as the inputs`,
      );
    }
    checkTensors(name, list);
    list.forEach((out, i) => {
      sameTensor(name, out, inputs[i]!, 'an output');
    });
  }
  const outs = outputs.map((list) => list.map((out) => destination(out)));
  function* body(channel: ProcessGroup['channel']) {
    const packed = pack(inputs.map(readBytes));
    const received = outs.map(() => new Uint8Array(packed.length));
    yield* algorithms.allGather(channel, received, packed);
    outs.forEach((list, i) => {
      unpack(received[i]!, list);
    });
  }
  const start = { op: name, tensors: inputs, outputs: outputs.flat(), print: prints(inputs), body };
  return collective(group, start, options.asyncOp).work;
}

/** Reduces every input and leaves the own piece of each in the output at its place. All have one dtype. */
export function reduceScatterCoalesced(
  outputs: readonly CommTensor[],
  inputs: readonly CommTensor[],
  ...rest: Positional<[op?: ReduceOp, group?: Group, asyncOp?: boolean], ReduceOption>
): Work | undefined {
  const options = named<ReduceOption>('reduceScatterCoalesced', ['op', 'group', 'asyncOp'], rest);
  const name = 'reduceScatterCoalesced';
  checkTensors(name, inputs);
  checkTensors(name, outputs);
  const { dtype } = inputs[0]!;
  for (const t of [...inputs, ...outputs]) oneDtype(name, t, inputs[0]!);
  const op = options.op ?? ReduceOp.SUM;
  checkReduceOp(op, dtype.name, name);
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  const size = group.size();
  if (outputs.length !== inputs.length) {
    throw badArgument(
      name,
      `${outputs.length} outputs are given for ${inputs.length} inputs: wanted as many`,
    );
  }
  outputs.forEach((out, i) => {
    const input = inputs[i]!;
    if (out.numel() * size !== input.numel()) {
      throw badArgument(
        name,
        `an input is ${describeTensor(input)}, wanted ${size} (group size) times the elements of its output ${describeTensor(out)}`,
      );
    }
  });
  const outs = outputs.map((out) => destination(out));
  function* body(channel: ProcessGroup['channel']) {
    const bytes = inputs.map(readBytes);
    const parts = Array.from({ length: size }, (_, r) =>
      pack(bytes.map((all) => all.subarray((r * all.length) / size, ((r + 1) * all.length) / size))),
    );
    const packed = new Uint8Array(parts[0]!.length);
    yield* algorithms.reduceScatter(channel, packed, parts, dtype.name, op);
    unpack(packed, outs);
  }
  const io = { outputs, reduceOp: op };
  const start = { op: name, tensors: inputs, detail: String(op), print: prints(inputs), body, ...io };
  return collective(group, start, options.asyncOp).work;
}

function checkTensors(op: string, tensors: readonly CommTensor[]): void {
  if (!Array.isArray(tensors) || tensors.length === 0) {
    throw badArgument(op, 'wanted a list of at least one tensor');
  }
  for (const t of tensors) checkTensor(t, op);
}

function oneDtype(op: string, t: CommTensor, first: CommTensor): void {
  if (t.dtype.name !== first.dtype.name) {
    throw badArgument(
      op,
      `the list has ${describeTensor(first)} and ${describeTensor(t)}: wanted one dtype`,
      'make one call per dtype',
    );
  }
}

function prints(tensors: readonly CommTensor[]): string {
  return tensors.map(describeTensor).join(';');
}

function pack(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function unpack(packed: Uint8Array, outs: readonly { bytes: Uint8Array; commit(): void }[]): void {
  let at = 0;
  for (const out of outs) {
    out.bytes.set(packed.subarray(at, at + out.bytes.length));
    at += out.bytes.length;
    out.commit();
  }
}
