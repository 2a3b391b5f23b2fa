/**
 * Seeded nonsense on the kernel's sockets and in its messages: nothing may be thrown where nobody catches it, and a good
 * request is answered afterwards. `SHARDBOOK_FUZZ_CASES` and `SHARDBOOK_FUZZ_SEED` say how much and which.
 */
import { createServer, connect as tcpConnect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Dealer, Subscriber } from 'zeromq';
import { ShardbookError } from '../../runtime/base/index.js';
import type { ExecuteOptions, ExecuteResult, SessionApi } from '../session/index.js';
import { KernelCore } from './core.js';
import type { Channel, Message } from './message.js';
import { WireFormat } from './wire.js';
import { parseConnection, ZmqCarrier } from './zmq.js';

const SEED = Number(process.env['SHARDBOOK_FUZZ_SEED'] ?? 1);
const CASES = Number(process.env['SHARDBOOK_FUZZ_CASES'] ?? 300);
/** A connection of its own for each: slower than the others. */
const RAW_CASES = Math.ceil(CASES / 10);
const KEY = 'fuzz';
const SCHEME = 'hmac-sha256';

/** Mulberry32: the same cases on every machine. */
class Source {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  below(n: number): number {
    return Math.floor(this.next() * n);
  }
  chance(p: number): boolean {
    return this.next() < p;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  bytes(most: number): Buffer {
    return Buffer.from(Array.from({ length: this.below(most) }, () => this.below(256)));
  }
  damaged(original: Uint8Array): Buffer {
    let bytes = Buffer.from(original);
    for (let n = this.below(5); n > 0 && bytes.length > 0; n--)
      bytes[this.below(bytes.length)] = this.below(256);
    if (this.chance(0.3)) bytes = bytes.subarray(0, this.below(bytes.length + 1));
    if (this.chance(0.2)) bytes = Buffer.concat([bytes, this.bytes(64)]);
    return bytes;
  }
  /** A value of any JSON type, of the kinds that go wrong. */
  json(depth = 0): unknown {
    const makers: (() => unknown)[] = [
      () => null,
      () => this.chance(0.5),
      () => this.pick([0, -1, 1e308, -1e308, 0.5, 2 ** 53, 4294967296, this.below(100)]),
      () =>
        this.pick([
          '',
          'code',
          '\ud800',
          '😀 '.repeat(this.below(20)),
          '__proto__',
          '%world 1e9',
          '(('.repeat(50),
        ]),
      () => Array.from({ length: this.below(4) }, () => (depth > 4 ? 0 : this.json(depth + 1))),
      () =>
        Object.fromEntries(
          Array.from({ length: this.below(4) }, () => [
            this.pick(['a', 'toString', 'length', '__proto__', 'constructor', 'msg_id']),
            depth > 4 ? 0 : this.json(depth + 1),
          ]),
        ),
    ];
    return this.pick(makers)();
  }
}

/** As strict about what it is asked as the real one would have to be. */
function strictSession(): SessionApi {
  const wanted = (ok: boolean, what: string): void => {
    if (!ok) throw new TypeError(`the core asked for ${what}`);
  };
  const inText = (code: string, cursor: number): void => {
    wanted(typeof code === 'string', 'a code that is no text');
    wanted(Number.isInteger(cursor) && cursor >= 0 && cursor <= code.length, `cursor ${cursor}`);
  };
  const session: Partial<SessionApi> = {
    worldSize: 1,
    executionCount: 1,
    history: [{ session: 0, line: 1, input: 'a', output: null }],
    async execute(code: string, options: ExecuteOptions = {}): Promise<ExecuteResult> {
      wanted(typeof code === 'string', 'a code that is no text');
      for (const text of Object.values(options.userExpressions ?? {}))
        wanted(typeof text === 'string', 'an expression that is no text');
      options.onOutput?.({ type: 'stream', name: 'stdout', text: code.slice(0, 10), ranks: [] });
      // What no carrier can write down must not end the kernel.
      options.onOutput?.({ type: 'display_data', data: { 'application/json': 1n }, metadata: {}, ranks: [] });
      return { status: 'ok', executionCount: 1, payload: [], userExpressions: {} };
    },
    complete: async (code, cursor) => {
      inText(code, cursor);
      return { matches: ['x'], cursorStart: 0, cursorEnd: cursor, kinds: [] };
    },
    inspect: async (code, cursor) => {
      inText(code, cursor);
      return { found: false, data: {} };
    },
    isComplete: async (code) => {
      wanted(typeof code === 'string', 'a code that is no text');
      return { status: 'complete', indent: '' };
    },
    interrupt: async () => ({ kept: [], restarted: [] }),
    comms: () => new Map(),
    onComm: () => () => {},
    comm: async ({ id }) => {
      wanted(typeof id === 'string', 'a comm without an id');
      return false;
    },
  };
  return session as SessionApi;
}

const TYPES = [
  'kernel_info_request',
  'execute_request',
  'complete_request',
  'inspect_request',
  'is_complete_request',
  'history_request',
  'comm_info_request',
  'comm_open',
  'comm_msg',
  'comm_close',
  'interrupt_request',
  'debug_request',
  'input_reply',
  '__proto__',
  'constructor',
  'toString',
  'no_such_request',
];
const FIELDS = [
  'code',
  'cursor_pos',
  'detail_level',
  'silent',
  'store_history',
  'user_expressions',
  'allow_stdin',
  'stop_on_error',
  'hist_access_type',
  'pattern',
  'n',
  'session',
  'start',
  'stop',
  'unique',
  'output',
  'comm_id',
  'target_name',
  'data',
  'command',
  'arguments',
  'value',
];

let count = 0;

function header(type: string): Record<string, unknown> {
  return {
    msg_id: `fuzz-${++count}`,
    msg_type: type,
    session: 'fuzz',
    username: 'f',
    date: '2026-01-01T00:00:00Z',
    version: '5.5',
  };
}

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}

/** The frames of one message: signed well, its parts wrong in one way or another. */
function frames(source: Source, wire: WireFormat): Buffer[] {
  const content = Object.fromEntries(
    Array.from({ length: source.below(6) }, () => [source.pick(FIELDS), source.json()]),
  );
  const head = header(source.pick(TYPES));
  if (source.chance(0.2)) head[source.pick(Object.keys(head))] = source.json();
  if (source.chance(0.05)) head['msg_id'] = 'x'.repeat(5000);
  const message = {
    header: source.chance(0.1) ? source.json() : head,
    parent_header: source.chance(0.2) ? source.json() : {},
    metadata: source.chance(0.2) ? source.json() : {},
    content: source.chance(0.1) ? source.json() : content,
  };
  const good: Buffer[] = wire.encode(message as unknown as Message).map((part) => Buffer.from(part));
  switch (source.below(8)) {
    case 0: // Not signed, or by another.
      good[1] = source.chance(0.5) ? Buffer.alloc(0) : source.damaged(good[1]!);
      return good;
    case 1: // Any part broken, the signature as it was.
      return good.map((part) => (source.chance(0.4) ? source.damaged(part) : part));
    case 2: // Frames missing, doubled, in another order.
      return Array.from({ length: source.below(9) }, () => source.pick(good));
    case 3:
      return Array.from({ length: source.below(5) }, () => source.bytes(200));
    case 4: {
      // Signed well, and nested deeper than anybody writes.
      const parts = good.slice(2);
      parts[source.below(4)] = Buffer.from(`{"a":${nested(source.pick([150, 1000, 50_000]))}}`);
      return signed(wire, parts);
    }
    case 5: {
      const parts = good.slice(2).map((part) => (source.chance(0.5) ? source.damaged(part) : part));
      return signed(wire, parts);
    }
    default:
      return good;
  }
}

/** Signed as a front end that has the key would, whatever the parts are. */
function signed(wire: WireFormat, parts: Buffer[]): Buffer[] {
  return [Buffer.from('<IDS|MSG>'), Buffer.from(wire.sign(parts)), ...parts];
}

const unhandled: unknown[] = [];
const note = (reason: unknown): void => void unhandled.push(reason);

beforeAll(() => {
  process.on('unhandledRejection', note);
  process.on('uncaughtException', note);
});

afterAll(() => {
  process.off('unhandledRejection', note);
  process.off('uncaughtException', note);
});

describe('messages', () => {
  it(`${CASES} damaged messages are refused with a coded error, or answered with what can be written down`, async () => {
    const source = new Source(SEED);
    const wire = new WireFormat(KEY, SCHEME);
    const out = new WireFormat(KEY, SCHEME);
    let answered = 0;
    const sink = {
      send: (_: Channel, message: Message) => void (out.encode(message).length > 0 && answered++),
    };
    const core = new KernelCore(strictSession(), sink, { log: () => {} });
    const outcomes = { read: 0, refused: 0, replayed: 0 };
    for (let i = 0; i < CASES; i++) {
      const parts = frames(source, wire);
      try {
        const { message } = wire.decode(parts);
        outcomes.read++;
        await core.handle(source.pick(['shell', 'control', 'stdin'] as const), message, 'me');
        try {
          wire.decode(parts);
        } catch {
          outcomes.replayed++;
        }
      } catch (error) {
        if (!(error instanceof ShardbookError)) throw new Error(`seed ${SEED}, case ${i}`, { cause: error });
        outcomes.refused++;
      }
    }
    expect(outcomes.read).toBeGreaterThan(CASES / 10);
    expect(outcomes.refused).toBeGreaterThan(CASES / 5);
    expect(outcomes.replayed).toBe(outcomes.read);
    const before = answered;
    await core.handle(
      'shell',
      { header: header('kernel_info_request'), content: {} } as unknown as Message,
      'me',
    );
    expect(answered - before).toBe(3);
    expect(unhandled).toEqual([]);
  }, 600_000);
});

/** What a ZeroMQ peer says first: greeting, READY, then a message of one frame. */
function handshake(): Buffer {
  const greeting = Buffer.alloc(64);
  greeting[0] = 0xff;
  greeting[9] = 0x7f;
  greeting[10] = 3;
  greeting.write('NULL', 12);
  const property = (name: string, value: string): Buffer => {
    const bytes = Buffer.alloc(1 + name.length + 4 + value.length);
    bytes[0] = name.length;
    bytes.write(name, 1);
    bytes.writeUInt32BE(value.length, 1 + name.length);
    bytes.write(value, 5 + name.length);
    return bytes;
  };
  const body = Buffer.concat([
    Buffer.from('\x05READY'),
    property('Socket-Type', 'DEALER'),
    property('Identity', ''),
  ]);
  return Buffer.concat([greeting, Buffer.from([4, body.length]), body]);
}

/** A frame whose length is said in eight bytes. */
function announced(length: bigint, flags: number): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = flags;
  bytes.writeBigUInt64BE(length, 1);
  return bytes;
}

function rawCase(source: Source): Buffer {
  const start = handshake();
  switch (source.below(6)) {
    case 0:
      return source.bytes(300);
    case 1:
      return source.damaged(start);
    case 2: // A frame of more bytes than there is memory.
      return Buffer.concat([
        start,
        announced(
          source.pick([2n ** 63n - 1n, 2n ** 64n - 1n, 2n ** 40n, 2n ** 32n]),
          source.pick([2, 3, 6]),
        ),
        source.bytes(100),
      ]);
    case 3: // Many frames that never end a message.
      return Buffer.concat([
        start,
        ...Array.from({ length: source.below(2000) }, () => Buffer.from([1, 1, 0])),
      ]);
    case 4:
      return Buffer.concat([start, source.bytes(300)]);
    default: // Cut off in the middle of a frame.
      return Buffer.concat([start, announced(BigInt(1 + source.below(5000)), 2), source.bytes(100)]);
  }
}

async function freePorts(n: number): Promise<number[]> {
  const servers = Array.from({ length: n }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((done) => {
          server.listen(0, '127.0.0.1', () => done((server.address() as { port: number }).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

/** Another process may take a port between finding and binding it. */
async function bindSomewhere(log: (text: string) => void) {
  for (let attempt = 0; ; attempt++) {
    const [shell_port, control_port, iopub_port, stdin_port, hb_port] = await freePorts(5);
    const text = JSON.stringify({ shell_port, control_port, iopub_port, stdin_port, hb_port, key: KEY });
    const info = parseConnection(text, 'fuzz.json');
    try {
      return { info, carrier: await ZmqCarrier.bind(info, log) };
    } catch (error) {
      if (attempt > 5) throw error;
    }
  }
}

describe('sockets', () => {
  it(`${CASES} bad messages and ${RAW_CASES} broken connections later, a good request is answered`, async () => {
    const source = new Source(SEED + 1);
    const logged: string[] = [];
    const { info, carrier } = await bindSomewhere((text) => logged.push(text));
    const core = new KernelCore(strictSession(), carrier, { log: () => {} });
    carrier.listen((channel, message, origin) => void core.handle(channel, message, origin));
    const wire = new WireFormat(KEY, SCHEME);
    const subscriber = new Subscriber();
    subscriber.connect(`tcp://127.0.0.1:${info.iopub_port}`);
    subscriber.subscribe();
    const [, ...welcome] = await subscriber.receive();
    expect(wire.decode(welcome).message).toMatchObject({
      header: { msg_type: 'iopub_welcome' },
      parent_header: {},
      content: { subscription: '' },
    });
    const dealer = new Dealer({ linger: 0, sendHighWaterMark: 0 });
    dealer.connect(`tcp://127.0.0.1:${info.shell_port}`);
    const good = async (): Promise<void> => {
      const request = wire.encode({
        header: header('kernel_info_request'),
        parent_header: {},
        metadata: {},
        content: {},
      } as unknown as Message);
      await dealer.send(request as Buffer[]);
      for (;;) {
        const { message } = new WireFormat(KEY, SCHEME).decode(await dealer.receive());
        if (message.header.msg_type === 'kernel_info_reply' && isAnswer(message, count)) return;
      }
    };
    try {
      await good();
      for (let i = 0; i < CASES; i++) {
        const parts = frames(source, wire);
        if (parts.length > 0) await dealer.send(parts);
        if (i % 500 === 499) await good();
      }
      await good();
      const ports = [info.shell_port, info.control_port, info.stdin_port, info.iopub_port, info.hb_port];
      for (let i = 0; i < RAW_CASES; i++) {
        await broken(source.pick(ports), rawCase(source), source.chance(0.5));
        if (i % 50 === 49) await good();
      }
      await good();
      expect(logged.some((text) => text.includes('signature'))).toBe(true);
      expect(unhandled).toEqual([]);
    } finally {
      dealer.close();
      subscriber.close();
      carrier.close();
    }
  }, 600_000);
});

function isAnswer(message: Message, id: number): boolean {
  return (message.parent_header as { msg_id?: string }).msg_id === `fuzz-${id}`;
}

/** Says it on a connection of its own, and hangs up when it is said or when the other side does. */
function broken(port: number, bytes: Buffer, abrupt: boolean): Promise<void> {
  return new Promise((resolve) => {
    const socket = tcpConnect(port, '127.0.0.1');
    socket.on('error', () => resolve());
    socket.on('close', () => resolve());
    socket.on('data', () => {});
    socket.on('connect', () => {
      if (abrupt) socket.write(bytes, () => socket.destroy());
      else socket.write(bytes, () => setImmediate(() => socket.destroy()));
    });
  });
}
