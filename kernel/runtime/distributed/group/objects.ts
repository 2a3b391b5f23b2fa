/** Objects over the wire: whatever can be cloned, as copies. */

import { gatherBytes } from './algorithms.js';
import {
  badArgument,
  collective,
  type GroupOption,
  memberGroup,
  named,
  type Positional,
  rootIndex,
} from './args.js';
import type { DestinationOption, SourceOption } from './collectives.js';
import { decodeObject, encodeObject } from './object-codec.js';
import { type ReceiveOption, recv, type SendOption, send } from './p2p.js';
import type { Group, ProcessGroup } from './process-group.js';
import type { CommTensor } from './tensors.js';

/** Accepted for PyTorch's sake: there is one device, and messages need no batch to set out. */
interface ObjectOption {
  device?: unknown;
  useBatch?: boolean;
}

/** Fills `objects` with the members' objects; returns it as well. */
export function allGatherObject(
  objects: unknown[],
  object: unknown,
  ...rest: Positional<[group?: Group], GroupOption>
): unknown[] {
  const options = named<GroupOption>('allGatherObject', ['group'], rest);
  const group = memberGroup(options.group);
  if (group === undefined) return objects;
  checkLength('allGatherObject', objects, group);
  const all = exchange(group, 'allGatherObject', encodeObject(object));
  all.forEach((bytes, i) => {
    objects[i] = decodeObject(bytes);
  });
  return objects;
}

/** The members' objects in `objects` on rank `dst`, which alone gives the list. */
export function gatherObject(
  object: unknown,
  objects?: unknown[] | null,
  ...rest: Positional<[dst?: number, group?: Group, groupDst?: number], DestinationOption>
): void {
  const options = named<DestinationOption>('gatherObject', ['dst', 'group', 'groupDst'], rest);
  const group = memberGroup(options.group);
  if (group === undefined) return;
  const root = rootIndex('gatherObject', group, options.dst, options.groupDst, ['dst', 'groupDst'], 0);
  const mine = group.rank() === root;
  if (mine && !objects) throw badArgument('gatherObject', 'this rank is the destination and gives no list');
  if (!mine && objects && objects.length > 0)
    throw badArgument('gatherObject', 'this rank gives a list but is not the destination');
  if (mine) checkLength('gatherObject', objects!, group);
  const all = exchange(group, 'gatherObject', encodeObject(object), `dst ${group.ranks[root]}`, root);
  if (mine) {
    all.forEach((bytes, i) => {
      objects![i] = decodeObject(bytes);
    });
  }
}

/** Overwrites the entries of `objects` on every member with the source's. */
export function broadcastObjectList(
  objects: unknown[],
  ...rest: Positional<[src?: number, group?: Group, device?: unknown, groupSrc?: number], SourceOption>
): void {
  const names = ['src', 'group', 'device', 'groupSrc'] as const;
  const o = named<SourceOption & { device?: unknown }>('broadcastObjectList', names, rest);
  const group = memberGroup(o.group);
  if (group === undefined) return;
  const root = rootIndex('broadcastObjectList', group, o.src, o.groupSrc, ['src', 'groupSrc'], 0);
  const mine = group.rank() === root;
  const bytes = mine ? encodeObject(objects) : new Uint8Array(0);
  const detail = `src ${group.ranks[root]}, ${objects.length} objects`;
  const all = exchange(group, 'broadcastObjectList', bytes, detail, root);
  if (mine) return;
  (decodeObject(all[root]!) as unknown[]).forEach((value, i) => {
    objects[i] = value;
  });
}

/** The source's `inputs[own rank]` in `output[0]`. */
export function scatterObjectList(
  output: unknown[],
  inputs?: readonly unknown[] | null,
  ...rest: Positional<[src?: number, group?: Group, groupSrc?: number], SourceOption>
): void {
  const options = named<SourceOption>('scatterObjectList', ['src', 'group', 'groupSrc'], rest);
  const group = memberGroup(options.group);
  if (group === undefined) return;
  const root = rootIndex('scatterObjectList', group, options.src, options.groupSrc, ['src', 'groupSrc'], 0);
  if (output.length < 1) throw badArgument('scatterObjectList', 'the output list is empty, wanted one entry');
  const mine = group.rank() === root;
  if (mine && inputs?.length !== group.size()) {
    throw badArgument(
      'scatterObjectList',
      `${inputs?.length ?? 0} inputs are given, wanted ${group.size()} (the group's size)`,
    );
  }
  const bytes = mine ? encodeObject([...inputs!]) : new Uint8Array(0);
  const all = exchange(group, 'scatterObjectList', bytes, `src ${group.ranks[root]}`, root);
  output[0] = (decodeObject(all[root]!) as unknown[])[group.rank()];
}

/** Sends a list of objects; the receiver gives a list of the same length. */
export function sendObjectList(
  objects: readonly unknown[],
  ...rest: Positional<
    [dst?: number, group?: Group, device?: unknown, groupDst?: number, useBatch?: boolean],
    SendOption & ObjectOption
  >
): void {
  const names = ['dst', 'group', 'device', 'groupDst', 'useBatch'] as const;
  const options = named<SendOption & ObjectOption>('sendObjectList', names, rest);
  const bytes = encodeObject(objects);
  const header = new Float64Array([bytes.length]);
  send(wrap(new Uint8Array(header.buffer)), options);
  send(wrap(bytes.slice()), options);
}

/** Receives a list of objects into `objects`; returns the sender's rank. */
export function recvObjectList(
  objects: unknown[],
  ...rest: Positional<
    [src?: number, group?: Group, device?: unknown, groupSrc?: number, useBatch?: boolean],
    ReceiveOption & ObjectOption
  >
): number {
  const names = ['src', 'group', 'device', 'groupSrc', 'useBatch'] as const;
  const options = named<ReceiveOption & ObjectOption>('recvObjectList', names, rest);
  const header = new Uint8Array(8);
  const sender = recv(wrap(header), options);
  if (sender < 0) return sender;
  const bytes = new Uint8Array(new Float64Array(header.buffer)[0]!);
  recv(wrap(bytes), { ...options, src: sender, groupSrc: null });
  const received = decodeObject(bytes) as unknown[];
  if (received.length !== objects.length) {
    throw badArgument(
      'recvObjectList',
      `rank ${sender} sent ${received.length} objects, this rank wanted ${objects.length}`,
    );
  }
  received.forEach((value, i) => {
    objects[i] = value;
  });
  return sender;
}

function exchange(
  group: ProcessGroup,
  op: string,
  bytes: Uint8Array,
  detail?: string,
  root?: number,
): Uint8Array[] {
  const start = {
    op,
    tensors: [],
    payload: bytes,
    body: (channel: ProcessGroup['channel']) => gatherBytes(channel, bytes),
    ...(root === undefined ? {} : { root }),
  };
  return collective(group, detail === undefined ? start : { ...start, detail }, false).op.result!;
}

function checkLength(op: string, objects: readonly unknown[], group: ProcessGroup): void {
  if (objects.length !== group.size()) {
    throw badArgument(
      op,
      `the list has ${objects.length} entries, wanted ${group.size()} (the group's size)`,
    );
  }
}

/** Bytes as a tensor to send. */
function wrap(bytes: Uint8Array): CommTensor {
  return {
    shape: [bytes.length],
    strides: [1],
    storageOffset: bytes.byteOffset,
    dtype: { name: 'uint8', short: 'u8', itemsize: 1 },
    isMeta: false,
    storage: { buffer: bytes.buffer },
    versionCounter: { value: 0 },
    numel: () => bytes.length,
    isContiguous: () => true,
  };
}
