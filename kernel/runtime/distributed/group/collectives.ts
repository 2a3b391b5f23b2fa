/** The collectives on tensors, with PyTorch's arguments. On a non-member of the group they do nothing. */
import { ShardbookError } from '../../base/index.js';
import { Op } from '../transport/index.js';
import * as algorithms from './algorithms.js';
import {
  type AsyncOption,
  badArgument,
  collective,
  describeCall,
  type GroupOption,
  memberGroup,
  named,
  type Positional,
  rootIndex,
  sameDtype,
  sameTensor,
  settle,
} from './args.js';
import { hookCall } from './events.js';
import type { Group, ProcessGroup, Work } from './process-group.js';
import { checkReduceOp, ReduceOp } from './reduce-op.js';
import { type CommTensor, checkTensor, destination, readBytes } from './tensors.js';

export interface ReduceOption extends AsyncOption {
  /** Default: `ReduceOp.SUM`. */
  op?: ReduceOp;
}
export interface SourceOption extends AsyncOption {
  /** Global rank. */
  src?: number | null;
  /** Rank within the group. */
  groupSrc?: number | null;
}
export interface DestinationOption extends AsyncOption {
  dst?: number | null;
  groupDst?: number | null;
}

type AsyncArgs = Positional<[group?: Group, asyncOp?: boolean], AsyncOption>;
type ReduceArgs = Positional<[op?: ReduceOp, group?: Group, asyncOp?: boolean], ReduceOption>;

const asyncOptions = (op: string, rest: AsyncArgs): AsyncOption =>
  named<AsyncOption>(op, ['group', 'asyncOp'], rest);
const reduceOptions = (op: string, rest: ReduceArgs): ReduceOption =>
  named<ReduceOption>(op, ['op', 'group', 'asyncOp'], rest);

/** Reduces `tensor` over the group; every member gets the result in place. */
export function allReduce(tensor: CommTensor, ...rest: ReduceArgs): Work | undefined {
  const options = reduceOptions('allReduce', rest);
  checkTensor(tensor, 'allReduce');
  const op = options.op ?? ReduceOp.SUM;
  checkReduceOp(op, tensor.dtype.name, 'allReduce');
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  const { bytes, commit } = destination(tensor, true);
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.allReduce(channel, bytes, tensor.dtype.name, op);
    commit();
  }
  const io = { outputs: [tensor], reduceOp: op };
  const start = { op: 'allReduce', tensors: [tensor], detail: String(op), body, ...io };
  return collective(group, start, options.asyncOp).work;
}

/** Reduces onto rank `dst`; the others' tensors keep their values. */
export function reduce(
  tensor: CommTensor,
  ...rest: Positional<
    [dst?: number, op?: ReduceOp, group?: Group, asyncOp?: boolean, groupDst?: number],
    ReduceOption & DestinationOption
  >
): Work | undefined {
  const names = ['dst', 'op', 'group', 'asyncOp', 'groupDst'] as const;
  const o = named<ReduceOption & DestinationOption>('reduce', names, rest);
  checkTensor(tensor, 'reduce');
  const op = (o as ReduceOption).op ?? ReduceOp.SUM;
  checkReduceOp(op, tensor.dtype.name, 'reduce');
  const group = memberGroup((o as GroupOption).group);
  if (group === undefined) return undefined;
  const { dst, groupDst, asyncOp } = o as DestinationOption;
  const root = rootIndex('reduce', group, dst, groupDst, ['dst', 'groupDst']);
  const mine = group.rank() === root;
  const { bytes, commit } = mine ? destination(tensor, true) : { bytes: readBytes(tensor), commit: () => {} };
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.allReduce(channel, bytes, tensor.dtype.name, op, mine);
    commit();
  }
  return collective(
    group,
    {
      op: 'reduce',
      tensors: [tensor],
      outputs: mine ? [tensor] : [],
      reduceOp: op,
      root,
      detail: `${op}, dst ${group.ranks[root]}`,
      body,
    },
    asyncOp,
  ).work;
}

/** Overwrites `tensor` on every member with the source's. */
export function broadcast(
  tensor: CommTensor,
  ...rest: Positional<[src?: number, group?: Group, asyncOp?: boolean, groupSrc?: number], SourceOption>
): Work | undefined {
  const o = named<SourceOption>('broadcast', ['src', 'group', 'asyncOp', 'groupSrc'], rest);
  checkTensor(tensor, 'broadcast');
  const group = memberGroup(o.group);
  if (group === undefined) return undefined;
  const root = rootIndex('broadcast', group, o.src, o.groupSrc, ['src', 'groupSrc']);
  const { bytes, commit } =
    group.rank() === root ? { bytes: readBytes(tensor), commit: () => {} } : destination(tensor);
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.broadcast(channel, bytes, root);
    commit();
  }
  return collective(
    group,
    {
      op: 'broadcast',
      tensors: [tensor],
      inputs: group.rank() === root ? [tensor] : [],
      outputs: group.rank() === root ? [] : [tensor],
      root,
      detail: `src ${group.ranks[root]}`,
      body,
    },
    o.asyncOp,
  ).work;
}

/** Member i's `tensor` goes into `tensors[i]` on every member. */
export function allGather(
  tensors: readonly CommTensor[],
  tensor: CommTensor,
  ...rest: AsyncArgs
): Work | undefined {
  const options = asyncOptions('allGather', rest);
  checkTensor(tensor, 'allGather');
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  checkList('allGather', 'outputs', tensors, group);
  for (const out of tensors) sameTensor('allGather', out, tensor, 'an output');
  const outs = tensors.map((out) => destination(out));
  const data = readBytes(tensor);
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.allGather(
      channel,
      outs.map((out) => out.bytes),
      data,
    );
    for (const out of outs) out.commit();
  }
  return collective(group, { op: 'allGather', tensors: [tensor], outputs: tensors, body }, options.asyncOp)
    .work;
}

/** The members' tensors one after the other along dim 0 (or stacked in a new dim 0) in `output`. */
export function allGatherSingle(output: CommTensor, input: CommTensor, ...rest: AsyncArgs): Work | undefined {
  const options = asyncOptions('allGatherSingle', rest);
  checkTensor(output, 'allGatherSingle');
  checkTensor(input, 'allGatherSingle');
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  sameDtype('allGatherSingle', output, input);
  const wanted = [(input.shape[0] ?? 1) * group.size(), ...input.shape.slice(1)];
  const stacked = [group.size(), ...input.shape];
  if (!sameShape(output.shape, wanted) && !sameShape(output.shape, stacked)) {
    throw badArgument(
      'allGatherSingle',
      `the output is [${output.shape.join(', ')}], wanted [${wanted.join(', ')}]`,
    );
  }
  const out = destination(output);
  const data = readBytes(input);
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.allGather(channel, cut(out.bytes, group!.size()), data);
    out.commit();
  }
  const start = { op: 'allGatherSingle', tensors: [input], outputs: [output], body };
  return collective(group, start, options.asyncOp).work;
}

/** `output` gets the reduction over the members of their `inputs[own rank]`. */
export function reduceScatter(
  output: CommTensor,
  inputs: readonly CommTensor[],
  ...rest: ReduceArgs
): Work | undefined {
  const options = reduceOptions('reduceScatter', rest);
  checkTensor(output, 'reduceScatter');
  const op = options.op ?? ReduceOp.SUM;
  checkReduceOp(op, output.dtype.name, 'reduceScatter');
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  checkList('reduceScatter', 'inputs', inputs, group);
  for (const input of inputs) sameTensor('reduceScatter', input, output, 'an input');
  const out = destination(output);
  const parts = inputs.map(readBytes);
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.reduceScatter(channel, out.bytes, parts, output.dtype.name, op);
    out.commit();
  }
  return collective(
    group,
    {
      op: 'reduceScatter',
      tensors: [output],
      inputs,
      outputs: [output],
      reduceOp: op,
      detail: String(op),
      body,
    },
    options.asyncOp,
  ).work;
}

/** Reduces `input`, cuts the result along dim 0 and puts the own piece into `output`. */
export function reduceScatterSingle(
  output: CommTensor,
  input: CommTensor,
  ...rest: ReduceArgs
): Work | undefined {
  const options = reduceOptions('reduceScatterSingle', rest);
  checkTensor(output, 'reduceScatterSingle');
  checkTensor(input, 'reduceScatterSingle');
  const op = options.op ?? ReduceOp.SUM;
  checkReduceOp(op, output.dtype.name, 'reduceScatterSingle');
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  sameDtype('reduceScatterSingle', output, input);
  if (output.numel() * group.size() !== input.numel()) {
    throw badArgument(
      'reduceScatterSingle',
      `the input has ${input.numel()} elements, wanted ${group.size()} (group size) times the output's ${output.numel()}`,
    );
  }
  const out = destination(output);
  const parts = cut(readBytes(input), group.size());
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.reduceScatter(channel, out.bytes, parts, output.dtype.name, op);
    out.commit();
  }
  return collective(
    group,
    {
      op: 'reduceScatterSingle',
      tensors: [input],
      outputs: [output],
      reduceOp: op,
      detail: String(op),
      body,
    },
    options.asyncOp,
  ).work;
}

/** The members' tensors on rank `dst`, which alone gives `gatherList`. */
export function gather(
  tensor: CommTensor,
  ...rest: Positional<
    [gatherList?: readonly CommTensor[], dst?: number, group?: Group, asyncOp?: boolean, groupDst?: number],
    DestinationOption & { gatherList?: readonly CommTensor[] | null }
  >
): Work | undefined {
  const names = ['gatherList', 'dst', 'group', 'asyncOp', 'groupDst'] as const;
  const options = named<DestinationOption & { gatherList?: readonly CommTensor[] | null }>(
    'gather',
    names,
    rest,
  );
  const { gatherList } = options;
  checkTensor(tensor, 'gather');
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  const root = rootIndex('gather', group, options.dst, options.groupDst, ['dst', 'groupDst'], 0);
  const mine = group.rank() === root;
  checkRootList('gather', 'gatherList', 'destination', gatherList, mine);
  if (mine) {
    checkList('gather', 'outputs', gatherList!, group);
    for (const out of gatherList!) sameTensor('gather', out, tensor, 'an output');
  }
  const outs = mine ? gatherList!.map((out) => destination(out)) : undefined;
  const data = readBytes(tensor);
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.allGather(
      channel,
      outs?.map((out) => out.bytes),
      data,
    );
    for (const out of outs ?? []) out.commit();
  }
  return collective(
    group,
    {
      op: 'gather',
      tensors: [tensor],
      outputs: mine ? gatherList! : [],
      root,
      detail: `dst ${group.ranks[root]}`,
      body,
    },
    options.asyncOp,
  ).work;
}

/** The source's `scatterList[own rank]` in `tensor`; the source alone gives the list. */
export function scatter(
  tensor: CommTensor,
  ...rest: Positional<
    [scatterList?: readonly CommTensor[], src?: number, group?: Group, asyncOp?: boolean, groupSrc?: number],
    SourceOption & { scatterList?: readonly CommTensor[] | null }
  >
): Work | undefined {
  const names = ['scatterList', 'src', 'group', 'asyncOp', 'groupSrc'] as const;
  const options = named<SourceOption & { scatterList?: readonly CommTensor[] | null }>(
    'scatter',
    names,
    rest,
  );
  const { scatterList } = options;
  checkTensor(tensor, 'scatter');
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  const root = rootIndex('scatter', group, options.src, options.groupSrc, ['src', 'groupSrc'], 0);
  const mine = group.rank() === root;
  checkRootList('scatter', 'scatterList', 'source', scatterList, mine);
  if (mine) {
    checkList('scatter', 'inputs', scatterList!, group);
    for (const part of scatterList!) sameTensor('scatter', part, tensor, 'an input');
  }
  const out = destination(tensor);
  const parts = mine ? scatterList!.map(readBytes) : undefined;
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.scatter(channel, out.bytes, parts, root);
    out.commit();
  }
  return collective(
    group,
    {
      op: 'scatter',
      tensors: [tensor],
      inputs: mine ? scatterList! : [],
      outputs: [tensor],
      root,
      detail: `src ${group.ranks[root]}`,
      body,
    },
    options.asyncOp,
  ).work;
}

/** Sends `inputs[i]` to member i and receives `outputs[i]` from it. */
export function allToAll(
  outputs: readonly CommTensor[],
  inputs: readonly CommTensor[],
  ...rest: AsyncArgs
): Work | undefined {
  const options = asyncOptions('allToAll', rest);
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  checkList('allToAll', 'outputs', outputs, group);
  checkList('allToAll', 'inputs', inputs, group);
  for (const t of [...outputs, ...inputs]) sameDtype('allToAll', t, inputs[0]!);
  const outs = outputs.map((out) => destination(out));
  const parts = inputs.map(readBytes);
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.allToAll(
      channel,
      outs.map((out) => out.bytes),
      parts,
    );
    for (const out of outs) out.commit();
  }
  return collective(
    group,
    {
      op: 'allToAll',
      tensors: inputs,
      outputs,
      sendBytes: parts.map((part) => part.length),
      print: inputs[0]!.dtype.name,
      body,
    },
    options.asyncOp,
  ).work;
}

export interface SplitOption extends AsyncOption {
  /** Rows of dim 0 from each member; default: equal. */
  outputSplitSizes?: readonly number[] | null;
  /** Rows of dim 0 to each member; default: equal. */
  inputSplitSizes?: readonly number[] | null;
}

/** Sends pieces of `input` along dim 0 and receives pieces of `output`. */
export function allToAllSingle(
  output: CommTensor,
  input: CommTensor,
  ...rest: Positional<
    [
      outputSplitSizes?: readonly number[],
      inputSplitSizes?: readonly number[],
      group?: Group,
      asyncOp?: boolean,
    ],
    SplitOption
  >
): Work | undefined {
  const names = ['outputSplitSizes', 'inputSplitSizes', 'group', 'asyncOp'] as const;
  const options = named<SplitOption>('allToAllSingle', names, rest);
  checkTensor(output, 'allToAllSingle');
  checkTensor(input, 'allToAllSingle');
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  sameDtype('allToAllSingle', output, input);
  const out = destination(output);
  const outs = splitRows('outputSplitSizes', output, out.bytes, options.outputSplitSizes, group.size());
  const parts = splitRows('inputSplitSizes', input, readBytes(input), options.inputSplitSizes, group.size());
  const noOut = !options.outputSplitSizes?.length;
  const noIn = !options.inputSplitSizes?.length;
  if (noOut && noIn && output.numel() !== input.numel()) {
    throw badArgument(
      'allToAllSingle',
      `the output has ${output.numel()} elements and the input ${input.numel()}: wanted as many`,
    );
  }
  function* body(channel: ProcessGroup['channel']) {
    yield* algorithms.allToAll(channel, outs, parts);
    out.commit();
  }
  return collective(
    group,
    {
      op: 'allToAllSingle',
      tensors: [input],
      outputs: [output],
      sendBytes: parts.map((part) => part.length),
      print: input.dtype.name,
      body,
    },
    options.asyncOp,
  ).work;
}

/** Returns when every member has come. */
export function barrier(
  ...rest: Positional<
    [group?: Group, asyncOp?: boolean, deviceIds?: readonly number[], timeoutMs?: number],
    BarrierOption
  >
): Work | undefined {
  const names = ['group', 'asyncOp', 'deviceIds', 'timeoutMs'] as const;
  const options = named<BarrierOption>('barrier', names, rest);
  const group = memberGroup(options.group);
  if (group === undefined) return undefined;
  const start = { op: 'barrier', tensors: [], body: algorithms.barrier };
  return collective(group, start, options.asyncOp, options.timeoutMs).work;
}

export interface BarrierOption extends AsyncOption {
  /** Accepted for PyTorch's sake: there is one device. */
  deviceIds?: readonly number[];
  /** Default: that of the group. */
  timeoutMs?: number;
}

export interface MonitoredBarrierOption extends GroupOption {
  /** Default: 30 seconds. */
  timeoutMs?: number;
  /** Names every missing member in the error instead of the first one. */
  waitAllRanks?: boolean;
}

/** A barrier that fails, naming who is missing, when a member does not come in time. */
export function monitoredBarrier(
  ...rest: Positional<[group?: Group, timeoutMs?: number, waitAllRanks?: boolean], MonitoredBarrierOption>
): void {
  const names = ['group', 'timeoutMs', 'waitAllRanks'] as const;
  const options = named<MonitoredBarrierOption>('monitoredBarrier', names, rest);
  const group = memberGroup(options.group);
  if (group === undefined) return;
  const start = { op: 'monitoredBarrier', print: 'monitoredBarrier' };
  const about = { op: start.op, seq: group.channel.sequence + 1, async: false, detail: undefined };
  const hooked = hookCall((id) => describeCall(id, group, { tensors: [] }, about));
  if (hooked?.answer) {
    settle(hooked, Op.finished(undefined, { op: start.op, group: group.name }), group, false);
    return;
  }
  const op = group.transport.collective(group.channel, start, algorithms.barrier);
  hooked?.follow(op);
  const timeoutMs = options.timeoutMs ?? 30_000;
  group.transport.wait(op, timeoutMs, (missing) => {
    const named = options.waitAllRanks ? missing : missing.slice(0, 1);
    return new ShardbookError({
      code: 'SB_TIMEOUT',
      message: `Cannot pass monitoredBarrier of group ${group.name}: ${named.length === 1 ? 'rank' : 'ranks'} ${named.join(', ')} did not come within ${timeoutMs} ms`,
      help:
        named.length < missing.length || !options.waitAllRanks
          ? 'monitoredBarrier({ waitAllRanks: true }) names every missing rank'
          : 'see what keeps them, or wait longer with timeoutMs',
    });
  });
  hooked?.waited();
}

function splitRows(
  name: string,
  t: CommTensor,
  bytes: Uint8Array,
  sizes: readonly number[] | null | undefined,
  groupSize: number,
): Uint8Array[] {
  const rows = t.shape[0] ?? 1;
  if (sizes === undefined || sizes === null || sizes.length === 0) {
    if (rows % groupSize !== 0) {
      throw badArgument(
        'allToAllSingle',
        `${rows} rows cannot be cut into ${groupSize} equal parts`,
        `give ${name}`,
      );
    }
    return cut(bytes, groupSize);
  }
  if (sizes.length !== groupSize) {
    throw badArgument(
      'allToAllSingle',
      `${name} has ${sizes.length} entries, wanted ${groupSize} (the group's size)`,
    );
  }
  const bad = sizes.find((n) => !Number.isInteger(n) || n < 0);
  if (bad !== undefined)
    throw badArgument('allToAllSingle', `${name} has ${bad}, wanted whole numbers from 0`);
  const sum = sizes.reduce((a, b) => a + b, 0);
  if (sum !== rows)
    throw badArgument('allToAllSingle', `${name} add up to ${sum}, wanted ${rows} (dim 0 of the tensor)`);
  const rowBytes = rows === 0 ? 0 : bytes.length / rows;
  let at = 0;
  return sizes.map((n) => {
    const from = at;
    at += n * rowBytes;
    return bytes.subarray(from, at);
  });
}

function cut(bytes: Uint8Array, parts: number): Uint8Array[] {
  const length = bytes.length / parts;
  return Array.from({ length: parts }, (_, i) => bytes.subarray(i * length, (i + 1) * length));
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, d) => n === b[d]);
}

function checkList(op: string, what: string, tensors: readonly CommTensor[], group: ProcessGroup): void {
  if (!Array.isArray(tensors)) throw badArgument(op, `the ${what} are no list of tensors`);
  if (tensors.length !== group.size()) {
    throw badArgument(op, `${tensors.length} ${what} are given, wanted ${group.size()} (the group's size)`);
  }
  for (const t of tensors) checkTensor(t, op);
}

function checkRootList(op: string, name: string, role: string, given: unknown, mine: boolean): void {
  if (mine && !given)
    throw badArgument(
      op,
      `this rank is the ${role} and gives no ${name}`,
      `give the ${role} a list, one tensor per member`,
    );
  if (!mine && given && (given as unknown[]).length > 0) {
    throw badArgument(
      op,
      `this rank gives a ${name} but is not the ${role}`,
      `give ${name} on the ${role} only`,
    );
  }
}
