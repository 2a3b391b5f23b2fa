/** Jupyter messages of protocol 5.5, independent of how they travel. */
import { randomUUID } from 'node:crypto';

export const PROTOCOL_VERSION = '5.5';

/** Longest id or type that is taken: they come back in every message of a request. */
const NAME_MAX = 1024;

export type Channel = 'shell' | 'control' | 'iopub' | 'stdin';

export interface MessageHeader {
  msg_id: string;
  msg_type: string;
  session: string;
  username: string;
  date: string;
  version: string;
}

export interface Message {
  header: MessageHeader;
  /** Empty object when the message answers none. */
  parent_header: MessageHeader | Record<string, never>;
  metadata: Record<string, unknown>;
  content: Record<string, unknown>;
  buffers?: Uint8Array[];
}

/** Where a kernel's messages go. `origin` is whatever `KernelCore.handle` was given with the request (a routing
 * identity, a socket): replies and input requests go back to it; messages on `iopub` have none and go to everybody. */
export interface MessageSink {
  send(channel: Channel, message: Message, origin?: unknown): void;
}

/** Makes messages of one kernel. */
export class MessageFactory {
  readonly #session = randomUUID();
  #count = 0;

  make(
    type: string,
    content: Record<string, unknown>,
    parent: Message | undefined,
    metadata: Record<string, unknown> = {},
    buffers?: readonly Uint8Array[],
  ): Message {
    return {
      header: {
        msg_id: `${this.#session}_${++this.#count}`,
        msg_type: type,
        session: this.#session,
        username: 'shardbook',
        date: new Date().toISOString(),
        version: PROTOCOL_VERSION,
      },
      parent_header: parent?.header ?? {},
      metadata,
      content,
      ...(buffers === undefined || buffers.length === 0 ? {} : { buffers: [...buffers] }),
    };
  }
}

/** Why a message can't be taken; undefined when it can. */
export function messageProblem(message: unknown): string | undefined {
  if (!isObject(message)) return 'it is no object';
  const { header, content, parent_header: parent, metadata } = message;
  if (!isObject(header)) return 'its header is no object';
  for (const field of ['msg_id', 'msg_type', 'session'] as const) {
    const value = header[field];
    if (typeof value !== 'string' || value === '') return `its header has no "${field}"`;
    if (value.length > NAME_MAX)
      return `its "${field}" has ${value.length} characters, wanted at most ${NAME_MAX}`;
  }
  if (!isObject(content)) return 'its content is no object';
  if (parent !== undefined && parent !== null && !isObject(parent)) return 'its parent header is no object';
  if (metadata !== undefined && metadata !== null && !isObject(metadata)) return 'its metadata is no object';
  return undefined;
}

/** The message with a header of plain values only: the header comes back in everything that is said of it. */
export function plainMessage(message: Message): Message {
  const header = Object.fromEntries(
    Object.entries(message.header).filter(
      ([, value]) => typeof value !== 'object' && !(typeof value === 'string' && value.length > NAME_MAX),
    ),
  ) as unknown as MessageHeader;
  return { ...message, header, parent_header: message.parent_header ?? {}, metadata: message.metadata ?? {} };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
