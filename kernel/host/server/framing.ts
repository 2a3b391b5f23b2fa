/**
 * The two ways a Jupyter WebSocket carries messages.
 *
 * `v1.kernel.websocket.jupyter.org`: binary; little-endian u64 count and offsets, then channel, header, parent header,
 * metadata, content (JSON, UTF-8), buffers. The last offset is the end of the frame.
 * Default: a JSON text frame; with buffers a binary one: big-endian u32 count and offsets, then the JSON, then buffers.
 *
 * A frame comes from a browser that may be broken or hostile: every offset is checked before it is used.
 */
import { ShardbookError } from '../../runtime/base/index.js';
import type { Channel, WireHeader, WireMessage } from './kernel-port.js';

export const V1_PROTOCOL = 'v1.kernel.websocket.jupyter.org';

const channels: ReadonlySet<string> = new Set(['shell', 'iopub', 'control', 'stdin']);
/** More parts than any front end sends; keeps a forged count from allocating. */
const MAX_PARTS = 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function encodeV1(message: WireMessage): Uint8Array {
  const parts = [
    encoder.encode(message.channel),
    ...[message.header, message.parent_header, message.metadata, message.content].map((part) =>
      encoder.encode(JSON.stringify(part)),
    ),
    ...message.buffers,
  ];
  const count = parts.length + 1;
  const headerBytes = 8 * (count + 1);
  const total = parts.reduce((sum, part) => sum + part.byteLength, headerBytes);
  const frame = new Uint8Array(total);
  const view = new DataView(frame.buffer);
  view.setBigUint64(0, BigInt(count), true);
  let offset = headerBytes;
  parts.forEach((part, index) => {
    view.setBigUint64(8 * (index + 1), BigInt(offset), true);
    frame.set(part, offset);
    offset += part.byteLength;
  });
  view.setBigUint64(8 * count, BigInt(offset), true);
  return frame;
}

export function decodeV1(frame: Uint8Array): WireMessage {
  if (frame.byteLength < 8) throw badFrame('it is shorter than its own header');
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const count = readU64(view, 0);
  if (count < 6 || count > MAX_PARTS)
    throw badFrame(`it says it has ${count} offsets, want 6 to ${MAX_PARTS}`);
  const headerBytes = 8 * (count + 1);
  if (headerBytes > frame.byteLength) throw badFrame('it ends inside its offsets');
  const offsets = Array.from({ length: count }, (_, index) => readU64(view, 8 * (index + 1)));
  const parts = sliceParts(frame, offsets, headerBytes);
  const [channel, header, parent, metadata, content, ...buffers] = parts;
  return checkMessage({
    channel: decodeText(channel!),
    header: decodeJson(header!),
    parent_header: decodeJson(parent!),
    metadata: decodeJson(metadata!),
    content: decodeJson(content!),
    buffers,
  });
}

export function encodeDefault(message: WireMessage): string | Uint8Array {
  const { buffers, ...rest } = message;
  const json = JSON.stringify({
    ...rest,
    msg_id: message.header.msg_id,
    msg_type: message.header.msg_type,
    buffers: [],
  });
  if (buffers.length === 0) return json;
  const parts = [encoder.encode(json), ...buffers];
  const headerBytes = 4 * (parts.length + 1);
  const frame = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, headerBytes));
  const view = new DataView(frame.buffer);
  view.setUint32(0, parts.length);
  let offset = headerBytes;
  parts.forEach((part, index) => {
    view.setUint32(4 * (index + 1), offset);
    frame.set(part, offset);
    offset += part.byteLength;
  });
  return frame;
}

export function decodeDefault(frame: string | Uint8Array): WireMessage {
  if (typeof frame === 'string') return checkMessage({ ...parseJson(frame), buffers: [] });
  if (frame.byteLength < 8) throw badFrame('it is shorter than its own header');
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const count = view.getUint32(0);
  if (count < 1 || count > MAX_PARTS) throw badFrame(`it says it has ${count} parts, want 1 to ${MAX_PARTS}`);
  const headerBytes = 4 * (count + 1);
  if (headerBytes > frame.byteLength) throw badFrame('it ends inside its offsets');
  const offsets = Array.from({ length: count }, (_, index) => view.getUint32(4 * (index + 1)));
  const [json, ...buffers] = sliceParts(frame, [...offsets, frame.byteLength], headerBytes);
  return checkMessage({ ...decodeJson(json!), buffers });
}

function readU64(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  return value > 0xffff_ffff_ffffn ? Number.MAX_SAFE_INTEGER : Number(value);
}

/** `offsets` are the starts of the parts and the end of the last. */
function sliceParts(frame: Uint8Array, offsets: readonly number[], headerBytes: number): Uint8Array[] {
  let previous = headerBytes;
  for (const offset of offsets) {
    if (offset < previous || offset > frame.byteLength)
      throw badFrame(`an offset of ${offset} is out of order or outside`);
    previous = offset;
  }
  return offsets.slice(0, -1).map((start, index) => frame.subarray(start, offsets[index + 1]));
}

function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw badFrame('a part is not UTF-8');
  }
}

function decodeJson(bytes: Uint8Array): Record<string, unknown> {
  return parseJson(decodeText(bytes));
}

function parseJson(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw badFrame('a part is not JSON');
  }
  if (!isRecord(value)) throw badFrame('a part is not a JSON object');
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkMessage(raw: Record<string, unknown> & { buffers: Uint8Array[] }): WireMessage {
  const { channel, header, parent_header: parent, metadata, content, buffers } = raw;
  if (typeof channel !== 'string' || !channels.has(channel)) throw badFrame('its channel is unknown');
  if (!isRecord(header)) throw badFrame('it has no header');
  for (const field of ['msg_id', 'msg_type', 'session'] as const) {
    if (typeof header[field] !== 'string') throw badFrame(`its header has no ${field}`);
  }
  return {
    channel: channel as Channel,
    header: {
      username: '',
      date: '',
      version: '5.4',
      ...(header as Partial<WireHeader>),
    } as WireHeader,
    parent_header: (isRecord(parent) ? parent : {}) as WireMessage['parent_header'],
    metadata: isRecord(metadata) ? metadata : {},
    content: isRecord(content) ? content : {},
    buffers,
  };
}

function badFrame(why: string): ShardbookError {
  return new ShardbookError({ code: 'SB_BAD_FRAME', message: `Cannot read a kernel message: ${why}` });
}
