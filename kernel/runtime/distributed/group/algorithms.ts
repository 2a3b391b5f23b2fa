/**
 * The collectives over bytes: the direct algorithm through shared staging, in chunks that stay in the cache. Every round is one
 * `sync()`, and what a round moves is staged while the round before it is taken out.
 *
 * Bytes that a rank copies, N bytes per tensor and W ranks: broadcast N; allGather N + WN; reduceScatter WN + N; allReduce N + N. Reductions
 * read their W sources in the staging areas, in rank order.
 */
import type { DTypeName } from '../../base/index.js';
import { ShardbookError } from '../../base/index.js';
import { type Channel, RefusedTogether, type Steps } from '../transport/index.js';
import { type ReduceOp, reduceBytes } from './reduce-op.js';

export function* barrier(channel: Channel): Steps<void> {
  yield* channel.sync();
}

/**
 * `result` is false on ranks that take part without wanting the result (`reduce`). What fits a small area is reduced by every
 * rank itself, in one round. Otherwise each reduces its slice of a chunk, and the chunks overlap: in one round a rank reduces
 * chunk k, takes the reduced chunk k - 1 and stages chunk k + 1.
 */
export function* allReduce(
  channel: Channel,
  data: Uint8Array,
  dtype: DTypeName,
  op: ReduceOp,
  result = true,
): Steps<void> {
  const { size, me } = channel;
  if (size === 1) {
    yield* channel.sync();
    // Only a factor has something to do.
    reduceBytes(data, [data], dtype, op);
    return;
  }
  channel.reserve(data.length);
  if (data.length <= channel.chunkBytes && data.length <= channel.scratch().length) {
    channel.stage().set(data);
    yield* channel.sync();
    if (result) reduceStaged(channel, data, 0, data.length, dtype, op);
    return;
  }
  const { chunkBytes } = channel;
  const chunks = Math.ceil(data.length / chunkBytes);
  const lengthOf = (chunk: number) => Math.min(chunkBytes, data.length - chunk * chunkBytes);
  const stage = (chunk: number) => {
    const from = chunk * chunkBytes;
    channel.stage().set(data.subarray(from, from + chunkBytes));
  };
  stage(0);
  for (let chunk = 0; chunk <= chunks; chunk++) {
    yield* channel.sync();
    if (chunk < chunks) {
      const [from, to] = sliceOf(lengthOf(chunk), me, size);
      if (to > from) {
        const sources = members(channel, from, to);
        const out = channel.result(me, 0).subarray(0, to - from);
        if (!channel.reduceInto(out, sources, dtype, op.kind)) reduceBytes(out, sources, dtype, op);
      }
    }
    if (chunk > 0 && result) {
      const length = lengthOf(chunk - 1);
      for (let i = 0; i < size; i++) {
        const [from, to] = sliceOf(length, i, size);
        if (to > from) data.set(channel.result(i, 1).subarray(0, to - from), (chunk - 1) * chunkBytes + from);
      }
    }
    if (chunk + 1 < chunks) stage(chunk + 1);
  }
}

/** `input` is one part per member, one after the other; `out` gets the reduction of the own parts. */
export function* reduceScatter(
  channel: Channel,
  out: Uint8Array,
  parts: readonly Uint8Array[],
  dtype: DTypeName,
  op: ReduceOp,
): Steps<void> {
  channel.reserve(channel.size * align(out.length));
  const slot = slotBytes(channel);
  for (let at = 0; at === 0 || at < out.length; at += slot) {
    const length = Math.min(slot, out.length - at);
    const stage = channel.stage();
    for (let i = 0; i < channel.size; i++) stage.set(parts[i]!.subarray(at, at + length), i * slot);
    yield* channel.sync();
    const mine = out.subarray(at, at + length);
    const from = channel.me * slot;
    reduceStaged(channel, mine, from, from + length, dtype, op);
  }
}

/** Reduces the members' bytes from `from` to `to` of the round into `out`, by way of the scratch memory. */
function reduceStaged(
  channel: Channel,
  out: Uint8Array,
  from: number,
  to: number,
  dtype: DTypeName,
  op: ReduceOp,
): void {
  const scratch = channel.scratch();
  for (let at = from; at < to; at += scratch.length) {
    const end = Math.min(to, at + scratch.length);
    const sources = members(channel, at, end);
    const part = scratch.subarray(0, end - at);
    if (channel.reduceInto(part, sources, dtype, op.kind)) out.set(part, at - from);
    else reduceBytes(out.subarray(at - from, end - from), sources, dtype, op);
  }
}

/** Where member `index` has its slice of a chunk. */
function sliceOf(length: number, index: number, size: number): [from: number, to: number] {
  const slice = align(Math.ceil(length / size));
  const from = Math.min(length, index * slice);
  return [from, Math.min(length, from + slice)];
}

export function* broadcast(channel: Channel, data: Uint8Array, root: number): Steps<void> {
  channel.reserve(data.length);
  for (let at = 0; at === 0 || at < data.length; at += channel.chunkBytes) {
    const length = Math.min(channel.chunkBytes, data.length - at);
    if (channel.me === root) channel.stage().set(data.subarray(at, at + length));
    yield* channel.sync();
    if (channel.me !== root) data.set(channel.peer(root).subarray(0, length), at);
  }
}

/** `outs` is undefined on ranks that do not want the result (`gather`). */
export function* allGather(
  channel: Channel,
  outs: readonly Uint8Array[] | undefined,
  data: Uint8Array,
): Steps<void> {
  channel.reserve(data.length);
  for (let at = 0; at === 0 || at < data.length; at += channel.chunkBytes) {
    const length = Math.min(channel.chunkBytes, data.length - at);
    channel.stage().set(data.subarray(at, at + length));
    yield* channel.sync();
    outs?.forEach((out, i) => void out.set(channel.peer(i).subarray(0, length), at));
  }
}

export function* scatter(
  channel: Channel,
  out: Uint8Array,
  parts: readonly Uint8Array[] | undefined,
  root: number,
): Steps<void> {
  channel.reserve(channel.size * align(out.length));
  const slot = slotBytes(channel);
  for (let at = 0; at === 0 || at < out.length; at += slot) {
    const length = Math.min(slot, out.length - at);
    const stage = channel.stage();
    parts?.forEach((part, i) => void stage.set(part.subarray(at, at + length), i * slot));
    yield* channel.sync();
    const from = channel.me * slot;
    out.set(channel.peer(root).subarray(from, from + length), at);
  }
}

/** Parts of any sizes; what one member sends must be what the other expects, or all refuse. */
export function* allToAll(
  channel: Channel,
  outs: readonly Uint8Array[],
  parts: readonly Uint8Array[],
): Steps<void> {
  const { size, me } = channel;
  const sizes = floats(channel.stage(), 2 * size);
  for (let i = 0; i < size; i++) {
    sizes[i] = parts[i]!.length;
    sizes[size + i] = outs[i]!.length;
  }
  yield* channel.sync();
  const table = Array.from({ length: size }, (_, i) => floats(channel.peer(i), 2 * size).slice());
  let longest = 0;
  for (let from = 0; from < size; from++) {
    for (let to = 0; to < size; to++) {
      const sent = table[from]![to]!;
      const expected = table[to]![size + from]!;
      longest = Math.max(longest, sent);
      if (sent !== expected) throw unevenError(channel, table, from, to);
    }
  }
  channel.reserve(size * align(longest));
  const slot = slotBytes(channel);
  for (let at = 0; at < longest; at += slot) {
    const stage = channel.stage();
    parts.forEach((part, i) => void stage.set(part.subarray(at, at + slot), i * slot));
    yield* channel.sync();
    outs.forEach((out, i) => {
      const length = Math.min(slot, out.length - at);
      if (length > 0) out.set(channel.peer(i).subarray(me * slot, me * slot + length), at);
    });
  }
}

/** Byte strings of any lengths, all to all members. */
export function* gatherBytes(channel: Channel, data: Uint8Array): Steps<Uint8Array[]> {
  floats(channel.stage(), 1)[0] = data.length;
  yield* channel.sync();
  const outs = Array.from({ length: channel.size }, (_, i) => new Uint8Array(floats(channel.peer(i), 1)[0]!));
  const longest = Math.max(...outs.map((out) => out.length));
  channel.reserve(longest);
  for (let at = 0; at < longest; at += channel.chunkBytes) {
    channel.stage().set(data.subarray(at, at + channel.chunkBytes));
    yield* channel.sync();
    outs.forEach((out, i) => {
      const length = Math.min(channel.chunkBytes, out.length - at);
      if (length > 0) out.set(channel.peer(i).subarray(0, length), at);
    });
  }
  return outs;
}

function members(channel: Channel, from: number, to: number): Uint8Array[] {
  return Array.from({ length: channel.size }, (_, i) => channel.peer(i).subarray(from, to));
}

/** A part of the staging area for each member. */
function slotBytes(channel: Channel): number {
  return Math.floor(channel.chunkBytes / channel.size / 64) * 64;
}

function align(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}

function floats(bytes: Uint8Array, count: number): Float64Array {
  return new Float64Array(bytes.buffer, bytes.byteOffset, count);
}

function unevenError(
  channel: Channel,
  table: readonly Float64Array[],
  from: number,
  to: number,
): RefusedTogether {
  const { ranks, size } = channel;
  const [sent, expected] = [table[from]![to]!, table[to]![size + from]!];
  const notes = table.map((row, i) => {
    const [sends, expects] = [row.subarray(0, size), row.subarray(size)].map((sizes) =>
      [...sizes].join(', '),
    );
    return `rank ${ranks[i]}: sends ${sends} bytes to the members in turn and expects ${expects}`;
  });
  return new RefusedTogether(
    new ShardbookError({
      code: 'SB_COLLECTIVE_MISMATCH',
      message: `Cannot run ${channel.runningCall}: rank ${ranks[from]} sends ${sent} bytes to rank ${ranks[to]}, which expects ${expected}`,
      notes: notes.slice(0, 16),
      help: "a rank's input split for another must be that one's output split for it",
    }),
  );
}
