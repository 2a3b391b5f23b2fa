/** The kernel on ZeroMQ sockets, as Jupyter front ends start it. */
import { Reply, Router, XPublisher } from 'zeromq';
import { ShardbookError } from '../../runtime/index.js';
import { type Channel, isObject, MessageFactory, type MessageSink } from './message.js';
import { MESSAGE_MAX, WireFormat } from './wire.js';

export interface ConnectionInfo {
  transport: string;
  ip: string;
  shell_port: number;
  control_port: number;
  iopub_port: number;
  stdin_port: number;
  hb_port: number;
  key: string;
  signature_scheme: string;
}

const PORTS = ['shell_port', 'control_port', 'iopub_port', 'stdin_port', 'hb_port'] as const;

/** Checks the contents of a connection file. */
export function parseConnection(text: string, file: string): ConnectionInfo {
  const bad = (why: string): ShardbookError =>
    new ShardbookError({
      code: 'SB_CONNECTION_FILE',
      message: `Cannot use the connection file "${file}": ${why}`,
      help: 'Jupyter writes this file when it starts a kernel',
    });
  let info: unknown;
  try {
    info = JSON.parse(text);
  } catch {
    throw bad('it is no JSON');
  }
  if (!isObject(info)) throw bad('it is no object');
  for (const name of PORTS) {
    const port = info[name];
    if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535)
      throw bad(`"${name}" is no port`);
  }
  const { transport = 'tcp', ip = '127.0.0.1', key = '', signature_scheme: scheme = 'hmac-sha256' } = info;
  if (transport !== 'tcp' && transport !== 'ipc')
    throw bad(`transport "${String(transport)}", wanted "tcp" or "ipc"`);
  return {
    ...(info as unknown as ConnectionInfo),
    transport,
    ip: String(ip),
    key: String(key),
    signature_scheme: String(scheme),
  };
}

/** Topics are types of messages. */
const TOPIC_MAX = 256;

type Router4 = Record<'shell' | 'control' | 'stdin', Router>;

/** What comes in goes to a handler, what the kernel sends goes out; bad messages are logged and dropped. */
export class ZmqCarrier implements MessageSink {
  readonly #wire: WireFormat;
  readonly #routers: Router4;
  readonly #iopub = new XPublisher({ sendHighWaterMark: 0, linger: 500 });
  readonly #heartbeat = new Reply({ linger: 0, maxMessageSize: 1024 });
  readonly #welcomes = new MessageFactory();
  readonly #log: (text: string) => void;
  readonly #sending = new Map<Channel, Promise<void>>();

  private constructor(info: ConnectionInfo, log: (text: string) => void) {
    this.#wire = new WireFormat(info.key, info.signature_scheme);
    // A peer that announces a larger frame is cut off before any memory is taken for it.
    const maxMessageSize = MESSAGE_MAX;
    const router = (): Router =>
      new Router({ linger: 500, sendHighWaterMark: 0, handover: true, maxMessageSize });
    this.#iopub.verbosity = 'allSubs';
    this.#routers = { shell: router(), control: router(), stdin: router() };
    this.#log = log;
  }

  static async bind(info: ConnectionInfo, log: (text: string) => void): Promise<ZmqCarrier> {
    const carrier = new ZmqCarrier(info, log);
    const address = (port: number): string =>
      info.transport === 'ipc' ? `ipc://${info.ip}-${port}` : `tcp://${info.ip}:${port}`;
    const { shell, control, stdin } = carrier.#routers;
    const binds: [{ bind(address: string): Promise<void> }, number][] = [
      [shell, info.shell_port],
      [control, info.control_port],
      [stdin, info.stdin_port],
      [carrier.#iopub, info.iopub_port],
      [carrier.#heartbeat, info.hb_port],
    ];
    for (const [socket, port] of binds) {
      try {
        await socket.bind(address(port));
      } catch (cause) {
        carrier.close();
        throw new ShardbookError({
          code: 'SB_PORT_IN_USE',
          message: `Cannot listen on ${address(port)}: ${cause instanceof Error ? cause.message : String(cause)}`,
          help: 'another program uses this port: start the kernel again, so that Jupyter picks another',
          cause,
        });
      }
    }
    void carrier.#beat();
    void carrier.#welcome();
    return carrier;
  }

  /** Gives every message to `handle`, until the carrier is closed. */
  listen(
    handle: (channel: Channel, message: Parameters<MessageSink['send']>[1], origin: unknown) => unknown,
  ): void {
    for (const channel of ['shell', 'control', 'stdin'] as const) void this.#receive(channel, handle);
  }

  async #receive(
    channel: 'shell' | 'control' | 'stdin',
    handle: Parameters<ZmqCarrier['listen']>[0],
  ): Promise<void> {
    for await (const frames of this.#routers[channel]) {
      try {
        const { identities, message } = this.#wire.decode(frames as Buffer[]);
        handle(channel, message, identities);
      } catch (error) {
        this.#log(`${channel}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  send(channel: Channel, message: Parameters<MessageSink['send']>[1], origin?: unknown): void {
    const topic = [Buffer.from(message.header.msg_type)];
    const frames = this.#wire.encode(
      message,
      channel === 'iopub' ? topic : (origin as Uint8Array[] | undefined),
    );
    this.#queue(channel, frames);
  }

  #queue(channel: Channel, frames: Uint8Array[]): void {
    const socket = channel === 'iopub' ? this.#iopub : this.#routers[channel];
    // A socket takes one message at a time; order is kept by the chain.
    const before = this.#sending.get(channel) ?? Promise.resolve();
    const sent = before
      .then(() => socket.send(frames as Buffer[]))
      .catch((error: unknown) => {
        // A front end that goes away in the middle of an answer is nothing to tell of.
        if (!socket.closed) this.#log(`${channel}: ${String(error)}`);
      });
    this.#sending.set(channel, sent);
  }

  /** Resolves when everything handed to `send` is with ZeroMQ. */
  async flush(): Promise<void> {
    await Promise.all(this.#sending.values());
  }

  /** Who subscribes is told once the subscription holds: from then on nothing is missed. */
  async #welcome(): Promise<void> {
    try {
      for await (const [frame] of this.#iopub) {
        if (frame?.[0] !== 1) continue;
        const topic = frame.subarray(1);
        if (topic.length > TOPIC_MAX) continue;
        const message = this.#welcomes.make('iopub_welcome', { subscription: topic.toString() }, undefined);
        this.#queue('iopub', this.#wire.encode(message, [topic]));
      }
    } catch {
      // Closed.
    }
  }

  async #beat(): Promise<void> {
    try {
      for await (const frames of this.#heartbeat) await this.#heartbeat.send(frames);
    } catch {
      // Closed.
    }
  }

  close(): void {
    for (const socket of [...Object.values(this.#routers), this.#iopub, this.#heartbeat])
      if (!socket.closed) socket.close();
  }
}
