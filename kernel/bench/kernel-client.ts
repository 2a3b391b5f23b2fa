/** A front end in miniature over ZeroMQ: starts any Jupyter kernel from its command line and times it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Dealer, Subscriber } from 'zeromq';
import { type Message, WireFormat } from '../host/protocol/index.js';

const READY_TIMEOUT_MS = 60_000;
/** A kernel that does not answer for so long is taken to hang. */
const ANSWER_TIMEOUT_MS = 30_000;
const SUBSCRIBE_RETRY_MS = 200;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise<void>((done) => server.close(() => done()));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

export class KernelClient {
  private readonly waiting = new Map<string, (message: Message) => void>();
  private readonly idle = new Map<string, () => void>();

  private constructor(
    private readonly child: ChildProcess,
    private readonly shell: Dealer,
    private readonly control: Dealer,
    private readonly iopub: Subscriber,
    private readonly wire: WireFormat,
    private readonly folder: string,
    /** From the start of the process to the first kernel_info_reply. */
    readonly startMs: number,
  ) {}

  /** `{connection_file}` in the command is replaced. */
  static async start(command: readonly string[]): Promise<KernelClient> {
    const folder = mkdtempSync(join(tmpdir(), 'shardbook-bench-'));
    const ports = await Promise.all(Array.from({ length: 5 }, freePort));
    const [shell, iopub, stdin, control, hb] = ports;
    const key = randomUUID();
    const file = join(folder, 'connection.json');
    writeFileSync(
      file,
      JSON.stringify({
        transport: 'tcp',
        ip: '127.0.0.1',
        key,
        signature_scheme: 'hmac-sha256',
        shell_port: shell,
        iopub_port: iopub,
        stdin_port: stdin,
        control_port: control,
        hb_port: hb,
      }),
    );
    const started = performance.now();
    const [program, ...args] = command.map((part) => part.replace('{connection_file}', file));
    const child = spawn(program!, args, { stdio: 'ignore' });
    const connect = <S extends { connect(address: string): void }>(
      socket: S,
      port: number | undefined,
    ): S => {
      socket.connect(`tcp://127.0.0.1:${port}`);
      return socket;
    };
    const sub = connect(new Subscriber(), iopub);
    sub.subscribe();
    const client = new KernelClient(
      child,
      connect(new Dealer({ linger: 0 }), shell),
      connect(new Dealer({ linger: 0 }), control),
      sub,
      new WireFormat(key, 'hmac-sha256'),
      folder,
      0,
    );
    void client.listen(client.shell);
    void client.listen(client.control);
    void client.listenIopub();
    const failed = new Promise<never>((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the kernel exited with ${code}`)));
      setTimeout(() => reject(new Error('the kernel did not answer')), READY_TIMEOUT_MS).unref();
    });
    failed.catch(() => {});
    await Promise.race([client.request('kernel_info_request', {}), failed]);
    const startMs = performance.now() - started;
    await client.#subscribed();
    return Object.assign(client, { startMs });
  }

  /** Until what the kernel publishes is heard: a subscription takes its time, and what was published before it is lost. */
  async #subscribed(): Promise<void> {
    for (;;) {
      const heard = this.request('kernel_info_request', {}, { untilIdle: true }).then(() => true);
      heard.catch(() => {});
      if (await Promise.race([heard, delay(SUBSCRIBE_RETRY_MS, false)])) return;
    }
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Milliseconds from sending the cell to its reply and its idle. */
  async execute(code: string): Promise<number> {
    const started = performance.now();
    await this.request(
      'execute_request',
      {
        code,
        silent: false,
        store_history: true,
        user_expressions: {},
        allow_stdin: false,
        stop_on_error: true,
      },
      { untilIdle: true },
    );
    return performance.now() - started;
  }

  async complete(code: string): Promise<number> {
    const started = performance.now();
    await this.request('complete_request', { code, cursor_pos: code.length });
    return performance.now() - started;
  }

  /** Milliseconds from the interrupt to the reply of the cell that was running. */
  async interruptDuring(code: string, byMessage: boolean): Promise<number> {
    const running = this.request(
      'execute_request',
      {
        code,
        silent: false,
        store_history: true,
        user_expressions: {},
        allow_stdin: false,
        stop_on_error: false,
      },
      { untilIdle: true },
    );
    await new Promise((done) => setTimeout(done, 500));
    const started = performance.now();
    if (byMessage) await this.request('interrupt_request', {}, { control: true });
    else this.child.kill('SIGINT');
    await running;
    return performance.now() - started;
  }

  /** Resident set of the process, bytes (Linux). */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  }

  async stop(): Promise<void> {
    this.shell.close();
    this.control.close();
    this.iopub.close();
    const gone = new Promise<void>((done) => this.child.once('exit', () => done()));
    if (this.child.exitCode === null && this.child.kill('SIGKILL')) await gone;
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async request(
    type: string,
    content: Record<string, unknown>,
    options: { untilIdle?: boolean; control?: boolean } = {},
  ): Promise<Message> {
    const id = randomUUID();
    const header = {
      msg_id: id,
      msg_type: type,
      session: 'bench',
      username: 'bench',
      version: '5.4',
      date: new Date().toISOString(),
    };
    const reply = new Promise<Message>((done) => this.waiting.set(id, done));
    const idle = options.untilIdle ? new Promise<void>((done) => this.idle.set(id, done)) : undefined;
    const frames = this.wire.encode({
      header,
      parent_header: {},
      metadata: {},
      content,
    } as unknown as Message);
    await (options.control ? this.control : this.shell).send(frames as Buffer[]);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer to ${type}`)), ANSWER_TIMEOUT_MS);
    });
    try {
      const message = await Promise.race([reply, late]);
      if (idle) await Promise.race([idle, late]);
      return message;
    } finally {
      clearTimeout(timer);
    }
  }

  private async listen(socket: Dealer): Promise<void> {
    for await (const frames of socket) {
      const { message } = this.wire.decode(frames as Buffer[]);
      const id = (message.parent_header as { msg_id?: string }).msg_id ?? '';
      this.waiting.get(id)?.(message);
      this.waiting.delete(id);
    }
  }

  private async listenIopub(): Promise<void> {
    for await (const frames of this.iopub) {
      const { message } = this.wire.decode(frames as Buffer[]);
      const content = message.content as { execution_state?: string };
      if (message.header.msg_type !== 'status' || content.execution_state !== 'idle') continue;
      const id = (message.parent_header as { msg_id?: string }).msg_id ?? '';
      this.idle.get(id)?.();
      this.idle.delete(id);
    }
  }
}
