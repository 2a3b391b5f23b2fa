/** The real kernel behind the port: protocol's core over a session, without ZeroMQ between. */
import type { KernelCore, MessageSink } from '../protocol/index.js';
import type { ClusterView, SessionApi, SessionOptions, VariablesView } from '../session/index.js';
import type {
  KernelHandle,
  KernelProvider,
  KernelStartOptions,
  RankView,
  WireMessage,
} from './kernel-port.js';
import { OutputLimit } from './output-limit.js';

export interface SessionKernelParts {
  startSession(options: SessionOptions): Promise<SessionApi>;
  KernelCore: typeof KernelCore;
  /** Where failures of the kernel itself are said. */
  log?: (line: string) => void;
  version?: string;
  /** Memory limit of each rank's heap in MiB. */
  heapLimitMb?: number;
}

export function sessionKernelProvider(parts: SessionKernelParts): KernelProvider {
  return {
    spec: { name: 'shardbook', displayName: 'Shardbook (TypeScript)', language: 'typescript' },
    async start(options: KernelStartOptions): Promise<KernelHandle> {
      const session = await parts.startSession({
        world: options.worldSize,
        cwd: options.cwd,
        watch: true,
        ...(parts.heapLimitMb === undefined ? {} : { heapLimitMb: parts.heapLimitMb }),
      });
      return new SessionKernel(session, parts);
    },
  };
}

type Reply = (message: WireMessage) => void;

class SessionKernel implements KernelHandle {
  #core: KernelCore;
  #broadcast = new Set<Reply>();
  readonly #limit = new OutputLimit();
  #exit = new Set<(reason: string, restarts: boolean) => void>();
  #stopped: Promise<void> | undefined;

  constructor(
    readonly session: SessionApi,
    parts: SessionKernelParts,
  ) {
    const sink: MessageSink = {
      send: (channel, message, origin) => {
        const wire: WireMessage = { ...message, channel, buffers: message.buffers ?? [] };
        if (channel === 'iopub') this.#tell(this.#limit.pass(wire));
        else if (typeof origin === 'function') (origin as Reply)(wire);
      },
    };
    this.#core = new parts.KernelCore(session, sink, {
      onShutdown: (restart) => this.#onShutdown(restart),
      ...(parts.log === undefined ? {} : { log: parts.log }),
      ...(parts.version === undefined ? {} : { version: parts.version }),
    });
    this.#core.start();
  }

  #tell(message: WireMessage | undefined): void {
    if (message !== undefined) for (const listener of this.#broadcast) listener(message);
  }

  receive(message: WireMessage, reply: Reply): void {
    const { channel, ...rest } = message;
    void this.#core.handle(channel, rest, reply);
  }

  onBroadcast(listener: Reply): () => void {
    this.#broadcast.add(listener);
    return () => this.#broadcast.delete(listener);
  }

  onExit(listener: (reason: string, restarts: boolean) => void): () => void {
    this.#exit.add(listener);
    return () => this.#exit.delete(listener);
  }

  async interrupt(): Promise<void> {
    await this.session.interrupt();
  }

  async restart(): Promise<void> {
    await this.session.restart();
  }

  shutdown(): Promise<void> {
    this.#stopped ??= this.session.shutdown();
    return this.#stopped;
  }

  ranks(): readonly RankView[] {
    return this.session.ranks();
  }

  cluster(): ClusterView {
    return this.session.cluster();
  }

  variables(): Promise<VariablesView> {
    return this.session.variables();
  }

  async #onShutdown(restart: boolean): Promise<void> {
    if (restart) await this.session.restart();
    else await this.shutdown();
    for (const listener of this.#exit) listener('shut down', restart);
  }
}
