/** Running kernels and the sessions (a notebook's path and its kernel) that Jupyter's REST shows. */
import { randomUUID } from 'node:crypto';
import { HttpError } from './http-error.js';
import type { KernelHandle, KernelProvider, KernelStartOptions, WireMessage } from './kernel-port.js';

export interface KernelModel {
  id: string;
  name: string;
  last_activity: string;
  execution_state: string;
  connections: number;
}

export interface SessionModel {
  id: string;
  path: string;
  name: string;
  type: string;
  kernel: KernelModel;
  notebook: { path: string; name: string };
}

/** Enough for a class on one machine; a page that opens kernels in a loop stops here. */
const MAX_KERNELS = 64;
/** A kernel that was started ahead and that nobody came for. */
const WARM_MS = 60_000;
/** Idle kernels without a front end that stay. */
const FORSAKEN_TO_KEEP = 4;

export class KernelEntry {
  readonly id = randomUUID();
  readonly listeners = new Set<(message: WireMessage) => void>();
  state = 'starting';
  /** A kernel that waits for its first front end is not forsaken. */
  wasConnected = false;
  lastActivity = new Date();

  constructor(
    readonly name: string,
    readonly handle: KernelHandle,
    readonly options: KernelStartOptions,
  ) {
    handle.onBroadcast((message) => {
      this.lastActivity = new Date();
      const state = message.header.msg_type === 'status' ? message.content['execution_state'] : undefined;
      if (typeof state === 'string') this.state = state;
      for (const listener of this.listeners) listener(message);
    });
    this.state = 'idle';
  }

  model(): KernelModel {
    return {
      id: this.id,
      name: this.name,
      last_activity: this.lastActivity.toISOString(),
      execution_state: this.state,
      connections: this.listeners.size,
    };
  }

  /** Tells the front ends what the kernel itself can't tell any more. */
  announceDeath(): void {
    this.state = 'dead';
    const header = {
      msg_id: randomUUID(),
      msg_type: 'status',
      session: this.id,
      username: 'shardbook',
      date: new Date().toISOString(),
      version: '5.4',
    };
    const message: WireMessage = {
      channel: 'iopub',
      header,
      parent_header: {},
      metadata: {},
      content: { execution_state: 'dead' },
      buffers: [],
    };
    for (const listener of this.listeners) listener(message);
  }
}

export class Kernels {
  #kernels = new Map<string, KernelEntry>();
  #sessions = new Map<string, { id: string; path: string; name: string; type: string; kernelId: string }>();
  #starting = 0;
  /** Started ahead, by their options. */
  #warm = new Map<string, { handle: Promise<KernelHandle>; timer: NodeJS.Timeout }>();

  #stopped = false;

  constructor(
    private readonly provider: KernelProvider,
    /** From a notebook's path and file name to the folder and the world its kernel starts with. */
    private readonly optionsFor: (path: string, name: string) => Promise<KernelStartOptions>,
  ) {}

  list(): KernelModel[] {
    return [...this.#kernels.values()].map((entry) => entry.model());
  }

  get(id: string): KernelEntry {
    const entry = this.#kernels.get(id);
    if (entry === undefined)
      throw new HttpError(404, 'SB_NO_KERNEL', `Cannot find kernel "${id}": it has ended or never was`);
    return entry;
  }

  async start(name: string | undefined, path: string, notebookName = ''): Promise<KernelEntry> {
    const { spec } = this.provider;
    if (name !== undefined && name !== '' && name !== spec.name) {
      throw new HttpError(
        400,
        'SB_NO_KERNELSPEC',
        `Cannot start kernel "${name}": there is "${spec.name}" only`,
      );
    }
    if (this.#kernels.size + this.#starting >= MAX_KERNELS) {
      throw new HttpError(
        503,
        'SB_TOO_MANY_KERNELS',
        `Cannot start another kernel: ${MAX_KERNELS} run already`,
        'Shut some down.',
      );
    }
    this.#starting++;
    try {
      const options = await this.optionsFor(path, notebookName);
      const entry = new KernelEntry(
        spec.name,
        await (this.#takeWarm(options) ?? this.provider.start(options)),
        options,
      );
      this.#kernels.set(entry.id, entry);
      this.#dropForsaken();
      entry.handle.onExit((_reason, restarts) => {
        if (!restarts) this.#forget(entry);
      });
      return entry;
    } finally {
      this.#starting--;
    }
  }

  /** Starts the kernel that the notebook at `path` is about to ask for. Never rejects. */
  async warm(path: string): Promise<void> {
    if ([...this.#sessions.values()].some((session) => session.path === path)) return;
    const options = await this.optionsFor(path, '').catch(() => undefined);
    const busy = this.#kernels.size + this.#starting + this.#warm.size >= MAX_KERNELS;
    if (options === undefined || busy || this.#stopped) return;
    const key = JSON.stringify(options);
    if (this.#warm.has(key)) return;
    const handle = this.provider.start(options);
    handle.catch(() => this.#warm.delete(key));
    const timer = setTimeout(
      () => void this.#takeWarm(options)?.then((unused) => unused.shutdown()),
      WARM_MS,
    );
    timer.unref();
    this.#warm.set(key, { handle, timer });
  }

  #takeWarm(options: KernelStartOptions): Promise<KernelHandle> | undefined {
    const key = JSON.stringify(options);
    const warm = this.#warm.get(key);
    if (warm === undefined) return undefined;
    clearTimeout(warm.timer);
    this.#warm.delete(key);
    return warm.handle;
  }

  async interrupt(id: string): Promise<void> {
    await this.get(id).handle.interrupt();
  }

  async restart(id: string): Promise<KernelEntry> {
    const entry = this.get(id);
    // Not announced: a front end takes `restarting` for a crash, and whoever asked gets the answer.
    entry.state = 'restarting';
    await entry.handle.restart();
    entry.state = 'idle';
    return entry;
  }

  async shutdown(id: string): Promise<void> {
    const entry = this.get(id);
    this.#forget(entry);
    await entry.handle.shutdown();
  }

  async shutdownAll(): Promise<void> {
    this.#stopped = true;
    const unused = [...this.#warm.values()].map(async ({ handle, timer }) => {
      clearTimeout(timer);
      await (await handle).shutdown();
    });
    this.#warm.clear();
    await Promise.allSettled(unused);
    await Promise.allSettled([...this.#kernels.keys()].map((id) => this.shutdown(id)));
  }

  sessions(): SessionModel[] {
    return [...this.#sessions.keys()].map((id) => this.session(id));
  }

  session(id: string): SessionModel {
    const session = this.#sessions.get(id);
    if (session === undefined) throw new HttpError(404, 'SB_NO_SESSION', `Cannot find session "${id}"`);
    const { path, name, type } = session;
    return { id, path, name, type, kernel: this.get(session.kernelId).model(), notebook: { path, name } };
  }

  /** A path has one session: a page that is loaded again finds its kernel. */
  async openSession(body: Record<string, unknown>): Promise<SessionModel> {
    const path = text(body['path']) ?? '';
    const known = [...this.#sessions.values()].find((session) => session.path === path);
    if (known !== undefined) return this.session(known.id);
    const wanted = (body['kernel'] ?? {}) as { id?: unknown; name?: unknown };
    const entry =
      text(wanted.id) !== undefined
        ? this.get(String(wanted.id))
        : await this.start(text(wanted.name), path, text(body['name']));
    const id = randomUUID();
    this.#sessions.set(id, {
      id,
      path,
      name: text(body['name']) ?? path,
      type: text(body['type']) ?? 'notebook',
      kernelId: entry.id,
    });
    return this.session(id);
  }

  async patchSession(id: string, body: Record<string, unknown>): Promise<SessionModel> {
    this.session(id);
    const session = this.#sessions.get(id)!;
    session.path = text(body['path']) ?? session.path;
    session.name = text(body['name']) ?? session.name;
    session.type = text(body['type']) ?? session.type;
    const kernel = body['kernel'] as { id?: unknown; name?: unknown } | null | undefined;
    if (kernel !== undefined && kernel !== null) {
      const previous = session.kernelId;
      const entry =
        text(kernel.id) !== undefined
          ? this.get(String(kernel.id))
          : await this.start(text(kernel.name), session.path, session.name);
      session.kernelId = entry.id;
      if (previous !== entry.id && this.#kernels.has(previous)) await this.shutdown(previous);
    }
    return this.session(id);
  }

  async closeSession(id: string): Promise<void> {
    const { kernel } = this.session(id);
    this.#sessions.delete(id);
    const shared = [...this.#sessions.values()].some((session) => session.kernelId === kernel.id);
    if (!shared) await this.shutdown(kernel.id);
  }

  /** A learner who reads through the lessons leaves a kernel at each: the last few are kept for coming back. */
  #dropForsaken(): void {
    const forsaken = [...this.#kernels.values()].filter(
      (entry) => entry.wasConnected && entry.listeners.size === 0 && entry.state === 'idle',
    );
    forsaken.sort((a, b) => b.lastActivity.getTime() - a.lastActivity.getTime());
    for (const entry of forsaken.slice(FORSAKEN_TO_KEEP)) void this.shutdown(entry.id).catch(() => {});
  }

  #forget(entry: KernelEntry): void {
    if (!this.#kernels.delete(entry.id)) return;
    for (const [id, session] of this.#sessions) if (session.kernelId === entry.id) this.#sessions.delete(id);
    entry.announceDeath();
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
