/** A kernel without ranks for tests of the server: answers the requests a front end makes and remembers what it was asked. */
import { randomUUID } from 'node:crypto';
import type {
  KernelHandle,
  KernelProvider,
  KernelStartOptions,
  RankView,
  WireMessage,
} from '../kernel-port.js';

type Listener = (message: WireMessage) => void;

export class FakeKernel implements KernelHandle {
  readonly calls: string[] = [];
  #listeners = new Set<Listener>();
  #exit = new Set<(reason: string, restarts: boolean) => void>();
  #count = 0;

  constructor(readonly options: KernelStartOptions) {}

  receive(message: WireMessage, reply: Listener): void {
    const { msg_type: type } = message.header;
    this.calls.push(type);
    this.#publish(message, 'status', { execution_state: 'busy' });
    if (type === 'execute_request') this.#execute(message);
    reply(
      this.#answer(
        message,
        message.channel,
        type.replace('_request', '_reply'),
        this.#replyContent(type, message),
      ),
    );
    this.#publish(message, 'status', { execution_state: 'idle' });
    if (type === 'shutdown_request')
      for (const listener of this.#exit) listener('asked', message.content['restart'] === true);
  }

  onBroadcast(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onExit(listener: (reason: string, restarts: boolean) => void): () => void {
    this.#exit.add(listener);
    return () => this.#exit.delete(listener);
  }

  async interrupt(): Promise<void> {
    this.calls.push('interrupt');
  }

  async restart(): Promise<void> {
    this.calls.push('restart');
    this.#count = 0;
  }

  async shutdown(): Promise<void> {
    this.calls.push('shutdown');
  }

  ranks(): readonly RankView[] {
    return Array.from({ length: this.options.worldSize }, (_, rank) => ({ rank, state: 'idle' as const }));
  }

  #execute(message: WireMessage): void {
    this.#count++;
    this.#publish(message, 'execute_input', { code: message.content['code'], execution_count: this.#count });
    this.#publish(message, 'stream', { name: 'stdout', text: `${String(message.content['code'])}\n` });
  }

  #replyContent(type: string, message: WireMessage): Record<string, unknown> {
    if (type === 'execute_request')
      return { status: 'ok', execution_count: this.#count, user_expressions: {} };
    if (type === 'shutdown_request') return { status: 'ok', restart: message.content['restart'] };
    if (type === 'kernel_info_request') {
      const language = {
        name: 'typescript',
        version: '5.9',
        mimetype: 'text/x-typescript',
        file_extension: '.ts',
      };
      return {
        status: 'ok',
        protocol_version: '5.4',
        implementation: 'fake',
        language_info: language,
        banner: '',
        help_links: [],
      };
    }
    return { status: 'ok' };
  }

  #publish(parent: WireMessage, type: string, content: Record<string, unknown>): void {
    for (const listener of this.#listeners) listener(this.#answer(parent, 'iopub', type, content));
  }

  #answer(
    parent: WireMessage,
    channel: WireMessage['channel'],
    type: string,
    content: Record<string, unknown>,
  ): WireMessage {
    const header = { ...parent.header, msg_id: randomUUID(), msg_type: type, date: new Date().toISOString() };
    return { channel, header, parent_header: parent.header, metadata: {}, content, buffers: [] };
  }
}

/** Starts fake kernels and keeps them, in order. */
export function fakeProvider(): KernelProvider & { kernels: FakeKernel[] } {
  const kernels: FakeKernel[] = [];
  return {
    kernels,
    spec: { name: 'shardbook', displayName: 'Shardbook (TypeScript)', language: 'typescript' },
    start: async (options) => {
      const kernel = new FakeKernel(options);
      kernels.push(kernel);
      return kernel;
    },
  };
}
