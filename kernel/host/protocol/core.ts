import type { SessionApi } from '../session/index.js';
import type { Channel, Message, MessageSink } from './message.js';

export interface KernelCoreOptions {
  /** Called after shutdown_request was answered; `restart` says that a front end will start the kernel again. */
  onShutdown?: (restart: boolean) => void | Promise<void>;
}

/** The kernel's side of the Jupyter protocol over any carrier: `handle` takes messages, the sink gets the answers. */
export interface KernelCoreApi {
  /** Handles one message from a front end; never rejects. Shell messages are answered in order, control at once. */
  handle(channel: Channel, message: Message, origin?: unknown): Promise<void>;
  /** Publishes `status: starting`; call once the carrier is ready. */
  start(): void;
}

export type KernelCoreConstructor = new (
  session: SessionApi,
  sink: MessageSink,
  options?: KernelCoreOptions,
) => KernelCoreApi;
