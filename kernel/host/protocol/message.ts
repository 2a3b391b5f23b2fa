/** Jupyter messages of protocol 5.4, independent of how they travel. */

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
