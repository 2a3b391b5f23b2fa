/**
 * A world of ranks for a submission that uses `dist`, meshes, DTensor or FSDP. The ranks are processes without common memory, so
 * every collective and message is answered by the grader, which has seen it and counted it: a hook takes each call before
 * it starts, hands over what this rank contributes, and forms the outputs from what all members contributed.
 */
import type { WireDType, WireTensor } from '../../../../grader/wire.js';
import {
  addCommHook,
  attachRank,
  beginWork,
  type CommCall,
  type CommTensor,
  createWorldMemory,
  isUnheard,
  type ReduceOp,
  reduceBytes,
  ShardbookError,
  type Tensor,
} from '../../../runtime/index.js';
import type { Link } from './grader-rank.js';
import { GraderStore } from './grader-store.js';
import { tensorBytes, tensorHeader, writeTensor } from './grader-tensors.js';

/** What a rank keeps while a call of its own is under way. */
type Finish = () => unknown;

/** Small: nothing is sent through it, and each case makes one, whose address space counts until it is collected. */
const SMALL_WORLD = { stagingBytesPerRank: 1 << 14, segmentBytesMax: 1 << 20 };

/** Makes this process rank `link.rank` of a world. Returns what ends it. */
export function joinWorld(link: Link): () => void {
  const memory = createWorldMemory({ worldSize: link.worldSize, ...SMALL_WORLD });
  attachRank(memory, link.rank, new GraderStore(link));
  beginWork();
  const world = new World(link);
  return addCommHook({
    carries: true,
    before: (call) => world.begin(call),
    waited: (call) => world.finish(call),
  });
}

class World {
  private readonly started = new Map<CommCall, Finish>();
  private readonly counts = new Map<string, number>();
  private groups = 0;

  constructor(private readonly link: Link) {}

  begin(call: CommCall): { result?: unknown } {
    const finish = isMessage(call.op) ? this.message(call) : this.collective(call);
    if (!call.async) return { result: finish() };
    this.started.set(call, finish);
    return {};
  }

  /** The call's `Work` is waited for. */
  finish(call: CommCall): void {
    const finish = this.started.get(call);
    this.started.delete(call);
    if (finish !== undefined) call.result = finish();
  }

  private message(call: CommCall): Finish {
    const link = this.link;
    const tag = `${call.groupRanks.join()}|${call.tag ?? 0}`;
    const peer = call.peer ?? -1;
    const tensor = (call.op.endsWith('send') ? call.inputs : call.outputs)[0] as Tensor;
    const about = { peer, tensor: tensorHeader(tensor), tag };
    if (call.op.endsWith('send')) {
      const handle = link.begin((id) => ({ type: 'send', ...id, ...about }), tensorBytes(tensor));
      return () => void link.complete(handle);
    }
    const handle = link.begin((id) => ({ type: 'recv', ...id, ...about }));
    return () => {
      const { header, body } = link.complete(handle);
      writeTensor(tensor, body);
      call.peer = header.from;
      return header.from;
    };
  }

  private collective(call: CommCall): Finish {
    const link = this.link;
    const key = `${call.group}|${call.groupRanks.join()}`;
    const seq = (this.counts.get(key) ?? 0) + 1;
    this.counts.set(key, seq);
    if (call.op === 'newGroup') this.groups++;
    const body = contribution(call, this.groups);
    // What the call names on every member, also where only the root contributes.
    const tensors = call.shapes.map((shape) => ({ dtype: call.dtype as WireDType, shape: [...shape] }));
    const about: { tensors: WireTensor[]; detail?: string; root?: number; quiet?: boolean } = { tensors };
    if (call.detail !== undefined) about.detail = call.detail;
    if (call.root !== undefined) about.root = call.root;
    if (isUnheard()) about.quiet = true;
    const side = { op: call.op, group: call.group, ranks: [...call.groupRanks], seq, ...about };
    const handle = link.begin((id) => ({ type: 'collective', ...id, call: side }), body);
    return () => {
      const { header, body: all } = link.complete(handle);
      let at = 0;
      const parts = header.parts!.map((length) => {
        at += length;
        return all.subarray(at - length, at);
      });
      if (call.op === 'newGroup') {
        this.groups = Math.max(...parts.map((part) => view(part).getInt32(0)));
        return this.groups;
      }
      return conclude(call, parts);
    };
  }
}

function isMessage(op: string): boolean {
  return ['send', 'isend', 'recv', 'irecv'].includes(op);
}

/** What this rank brings to a collective. */
function contribution(call: CommCall, group: number): Uint8Array {
  if (call.op === 'newGroup') {
    const bytes = new Uint8Array(4);
    view(bytes).setInt32(0, group);
    return bytes;
  }
  if (call.payload !== undefined) return call.payload;
  const data = (call.inputs as readonly Tensor[]).map(tensorBytes);
  if (call.sendBytes === undefined) return Buffer.concat(data);
  // The others must know where their part begins.
  const sizes = new Uint8Array(4 * call.sendBytes.length);
  for (const [i, size] of call.sendBytes.entries()) view(sizes).setUint32(4 * i, size);
  return Buffer.concat([sizes, ...data]);
}

/** Forms the outputs from all members' parts. */
function conclude(call: CommCall, parts: readonly Uint8Array[]): unknown {
  const outputs = call.outputs as readonly Tensor[];
  const me = call.groupRanks.indexOf(call.rank);
  const size = parts.length;
  const root = call.root === undefined ? 0 : call.groupRanks.indexOf(call.root);
  const mine = (part: Uint8Array): Uint8Array =>
    part.subarray((me * part.length) / size, ((me + 1) * part.length) / size);
  switch (call.op) {
    case 'allReduce':
    case 'reduce':
    case 'allReduceCoalesced':
      reduceInto(call, outputs, parts);
      return undefined;
    case 'broadcast':
      for (const out of outputs) writeTensor(out, parts[root]!);
      return undefined;
    case 'allGather':
    case 'gather':
      for (const [i, out] of outputs.entries()) writeTensor(out, parts[i]!);
      return undefined;
    case 'allGatherSingle':
      writeTensor(outputs[0]!, Buffer.concat(parts));
      return undefined;
    case 'allGatherCoalesced':
      splitInto(outputs, Buffer.concat(parts));
      return undefined;
    case 'reduceScatter':
    case 'reduceScatterSingle':
      reduceInto(call, outputs, parts.map(mine));
      return undefined;
    case 'reduceScatterCoalesced':
      reduceInto(
        call,
        outputs,
        parts.map((part) => piecesOf(call, part, me, size)),
      );
      return undefined;
    case 'scatter':
      writeTensor(outputs[0]!, mine(parts[root]!));
      return undefined;
    case 'allToAll':
    case 'allToAllSingle':
      splitInto(outputs, Buffer.concat(parts.map((part) => sentTo(part, me, size))));
      return undefined;
    case 'barrier':
    case 'monitoredBarrier':
      return undefined;
    default:
      if (call.payload !== undefined) return parts.map((part) => part.slice());
      throw new ShardbookError({
        code: 'SB_GRADER_COLLECTIVE',
        message: `Cannot run "${call.op}" under the grader: it has no way to answer it`,
      });
  }
}

function reduceInto(call: CommCall, outputs: readonly Tensor[], parts: readonly Uint8Array[]): void {
  let at = 0;
  for (const out of outputs) {
    const length = out.numel() * out.dtype.itemsize;
    const result = new Uint8Array(length);
    // Copies: a view of a body need not begin where numbers may.
    const sources = parts.map((part) => part.slice(at, at + length));
    if (length > 0) reduceBytes(result, sources, out.dtype.name, call.reduceOp as ReduceOp);
    writeTensor(out, result);
    at += length;
  }
}

/** The own piece of every input, one after the other. */
function piecesOf(call: CommCall, part: Uint8Array, me: number, size: number): Uint8Array {
  let at = 0;
  const pieces = (call.inputs as readonly CommTensor[]).map((input) => {
    const length = input.numel() * input.dtype.itemsize;
    const from = at + (me * length) / size;
    at += length;
    return part.subarray(from, from + length / size);
  });
  return Buffer.concat(pieces);
}

function splitInto(outputs: readonly Tensor[], bytes: Uint8Array): void {
  let at = 0;
  for (const out of outputs) {
    const length = out.numel() * out.dtype.itemsize;
    writeTensor(out, bytes.subarray(at, at + length));
    at += length;
  }
}

function sentTo(part: Uint8Array, me: number, size: number): Uint8Array {
  const sizes = Array.from({ length: size }, (_, i) => view(part).getUint32(4 * i));
  const from = 4 * size + sizes.slice(0, me).reduce((sum, n) => sum + n, 0);
  return part.subarray(from, from + sizes[me]!);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
