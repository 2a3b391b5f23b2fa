/**
 * The collectives over bytes: the direct algorithm through shared staging, in chunks. Every round is one `sync()`.
 *
 * Bytes that a rank writes plus reads, N bytes per tensor and W ranks: broadcast N; allGather N + WN; reduceScatter WN + WN
 * (of a WN input); allReduce N + N + N/W + N, two rounds per chunk; small ones N + WN, one round.
 */
import type { DTypeName } from '../../base/index.js';
import { ShardbookError } from '../../base/index.js';
import { type Channel, RefusedTogether, type Steps } from '../transport/index.js';
import { type ReduceOp, reduceBytes } from './reduce-op.js';

/** Up to here every rank reduces everything itself: one round instead of two. */
const SMALL_BYTES = 16 * 1024;

export function* barrier(channel: Channel): Steps<void> {
  yield* channel.sync();
}

/** `result` is false on ranks that take part without wanting the result (`reduce`). */
export function* allReduce(
  channel: Channel,
  data: Uint8Array,
  dtype: DTypeName,
  op: ReduceOp,
  result = true,
): Steps<void> {
  const { size, me, chunkBytes } = channel;
  if (data.length <= Math.min(SMALL_BYTES, chunkBytes)) {
    channel.stage().set(data);
    yield* channel.sync();
    if (result) reduceBytes(data, members(channel, 0, data.length), dtype, op);
    return;
  }
  for (let at = 0; at < data.length; at += chunkBytes) {
    const length = Math.min(chunkBytes, data.length - at);
    channel.stage().set(data.subarray(at, at + length));
    yield* channel.sync();
    const slice = align(Math.ceil(length / size));
    const from = Math.min(length, me * slice);
    const to = Math.min(length, from + slice);
    if (to > from) reduceBytes(channel.stage().subarray(0, to - from), members(channel, from, to), dtype, op);
    yield* channel.sync();
    if (!result) continue;
    for (let i = 0; i * slice < length; i++) {
      data.set(channel.peer(i).subarray(0, Math.min(slice, length - i * slice)), at + i * slice);
    }
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
  const slot = slotBytes(channel);
  for (let at = 0; at === 0 || at < out.length; at += slot) {
    const length = Math.min(slot, out.length - at);
    const stage = channel.stage();
    for (let i = 0; i < channel.size; i++) stage.set(parts[i]!.subarray(at, at + length), i * slot);
    yield* channel.sync();
    const from = channel.me * slot;
    if (length > 0)
      reduceBytes(out.subarray(at, at + length), members(channel, from, from + length), dtype, op);
  }
}

export function* broadcast(channel: Channel, data: Uint8Array, root: number): Steps<void> {
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
      if (sent !== expected) throw unevenError(channel, from, to, sent, expected);
    }
  }
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
  from: number,
  to: number,
  sent: number,
  expected: number,
): RefusedTogether {
  return new RefusedTogether(
    new ShardbookError({
      code: 'SB_COLLECTIVE_MISMATCH',
      message: `Cannot exchange: rank ${channel.ranks[from]} sends ${sent} bytes to rank ${channel.ranks[to]}, which expects ${expected}`,
      help: "a rank's input split for another must be that one's output split for it",
    }),
  );
}
