/** Jupyter messages of protocol 5.4, independent of how they travel. */
import { randomUUID } from 'node:crypto';

export const PROTOCOL_VERSION = '5.4';

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
    };
  }
}

/** Why a message can't be taken; undefined when it can. */
export function messageProblem(message: unknown): string | undefined {
  if (!isObject(message)) return 'it is no object';
  const { header, content, parent_header: parent, metadata } = message;
  if (!isObject(header)) return 'its header is no object';
  for (const field of ['msg_id', 'msg_type', 'session'] as const) {
    if (typeof header[field] !== 'string' || header[field] === '') return `its header has no "${field}"`;
  }
  if (!isObject(content)) return 'its content is no object';
  if (parent !== undefined && parent !== null && !isObject(parent)) return 'its parent header is no object';
  if (metadata !== undefined && metadata !== null && !isObject(metadata)) return 'its metadata is no object';
  return undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
