/** Comms as cells see them: messages between code on a rank and a widget of the front end. */
import { randomUUID } from 'node:crypto';
import { ShardbookError } from '../../../runtime/index.js';
import type { CommMessage } from '../types.js';
import { rank } from './place.js';

/** What the other side sent. */
export interface CommPacket {
  data: unknown;
  metadata: Record<string, unknown>;
  buffers: readonly Uint8Array[];
}

export interface CommSendOptions {
  metadata?: Record<string, unknown>;
  /** Bytes that travel beside the JSON. */
  buffers?: readonly Uint8Array[];
}

/** Which ranks take part; rank 0 unless said. */
export interface CommRanks {
  ranks?: number | readonly number[] | 'all';
}

type Listener = (packet: CommPacket) => unknown;

interface CommOutlet {
  send(message: CommMessage): void;
  register(target: string): void;
}

let outlet: CommOutlet | undefined;
const targets = new Map<string, (comm: Comm, packet: CommPacket) => unknown>();
const open = new Map<string, Comm>();

/** Connects this thread's comms to its session. */
export function setCommOutlet(value: CommOutlet): void {
  outlet = value;
}

/**
 * A channel to code in the front end (a widget). A cell runs on all ranks, a comm belongs to rank 0 unless `ranks` says
 * otherwise: on the other ranks `register` does nothing, and a comm that is opened sends and hears nothing.
 *
 * @example
 * Comm.register('slider', (comm, { data }) => {
 *   comm.onMessage(({ data }) => comm.send({ doubled: 2 * (data as { value: number }).value }));
 * });
 */
export class Comm {
  readonly id: string;
  readonly target: string;
  readonly #live: boolean;
  #closed = false;
  readonly #messages: Listener[] = [];
  readonly #closes: Listener[] = [];

  private constructor(id: string, target: string, live: boolean) {
    this.id = id;
    this.target = target;
    this.#live = live;
    if (live) open.set(id, this);
  }

  /** From now on `handler` is called when a front end opens a comm to `target`. */
  static register(
    target: string,
    handler: (comm: Comm, packet: CommPacket) => unknown,
    options: CommRanks = {},
  ): void {
    if (typeof target !== 'string' || target === '') throw badTarget(target);
    if (typeof handler !== 'function') {
      throw new ShardbookError({
        code: 'SB_COMM',
        message: `Cannot register the comm target "${target}": its handler is ${typeof handler}, wanted a function`,
      });
    }
    if (!takesPart(options)) return;
    targets.set(target, handler);
    connected().register(target);
  }

  /** Opens a comm to what the front end registered as `target`. */
  static open(target: string, data: unknown = {}, options: CommRanks & CommSendOptions = {}): Comm {
    if (typeof target !== 'string' || target === '') throw badTarget(target);
    const comm = new Comm(randomUUID(), target, takesPart(options));
    comm.#send('open', data, options);
    return comm;
  }

  /** Open and connected: false on ranks that take no part. */
  get isOpen(): boolean {
    return this.#live && !this.#closed;
  }

  /** Sends `data` (what JSON can hold) to the front end. */
  send(data: unknown, options: CommSendOptions = {}): void {
    if (this.#closed) {
      throw new ShardbookError({
        code: 'SB_COMM',
        message: `Cannot send on comm "${this.id}" of "${this.target}": it is closed`,
        help: 'look at "isOpen", or open another',
      });
    }
    this.#send('msg', data, options);
  }

  onMessage(listener: Listener): this {
    this.#messages.push(listener);
    return this;
  }

  /** Called when the front end closes it. */
  onClose(listener: Listener): this {
    this.#closes.push(listener);
    return this;
  }

  close(data: unknown = {}): void {
    if (this.#closed) return;
    this.#send('close', data, {});
    this.#closed = true;
    open.delete(this.id);
  }

  #send(type: CommMessage['type'], data: unknown, { metadata = {}, buffers = [] }: CommSendOptions): void {
    if (!this.#live) return;
    const { id, target } = this;
    connected().send({
      type,
      id,
      ...(type === 'open' ? { target } : {}),
      data: asJson(data),
      metadata: asJson(metadata) as Record<string, unknown>,
      buffers: buffers.map((bytes) => new Uint8Array(bytes)),
    });
  }

  /** A message of the front end; for the session's executor. */
  static async deliver(message: CommMessage): Promise<void> {
    const { type, id, target = '', data, metadata, buffers } = message;
    const packet: CommPacket = { data, metadata, buffers };
    if (type === 'open') {
      const handler = targets.get(target);
      if (handler) await handler(new Comm(id, target, true), packet);
      return;
    }
    const comm = open.get(id);
    if (comm === undefined) return;
    if (type === 'close') {
      comm.#closed = true;
      open.delete(id);
    }
    for (const listener of type === 'close' ? comm.#closes : comm.#messages) await listener(packet);
  }
}

function connected(): CommOutlet {
  if (outlet) return outlet;
  throw new ShardbookError({
    code: 'SB_NO_CELL',
    message: 'Cannot use comms: this code does not run in a cell',
    help: 'a script of "shardbook run" has no front end to talk to: run it in a notebook',
  });
}

function takesPart({ ranks = 0 }: CommRanks): boolean {
  if (ranks === 'all') return true;
  return typeof ranks === 'number' ? ranks === rank : ranks.includes(rank);
}

/** What JSON makes of it: what cannot be sent fails here, at the learner's line. */
function asJson(value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(value ?? {}));
  } catch (cause) {
    throw new ShardbookError({
      code: 'SB_COMM',
      message: `Cannot send on a comm: the data is not JSON (${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)})`,
      help: 'send numbers, texts, lists and plain objects; bytes go to "buffers"',
      cause,
    });
  }
}

function badTarget(target: unknown): ShardbookError {
  return new ShardbookError({
    code: 'SB_COMM',
    message: `Cannot use ${JSON.stringify(target)} as a comm target: wanted a name`,
  });
}
