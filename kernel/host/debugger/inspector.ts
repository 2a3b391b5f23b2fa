/** V8's debugger in rank threads, reached from the main thread through the inspector's NodeWorker domain. */
import { Session } from 'node:inspector';

interface Attached {
  sessionId: string;
  /** The title, "[worker 3] name", has the thread's id. */
  workerInfo: { title: string };
}

interface Received {
  sessionId: string;
  message: string;
}

type WorkerMessage =
  | { id: number; result?: unknown; error?: { message: string } }
  | { id?: undefined; method: string; params: unknown };

interface Pending {
  threadId: number;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A thread that has just been started is attached within a moment. */
const ATTACH_MS = 5000;

export interface InspectorEvents {
  attached(threadId: number): void;
  event(threadId: number, method: string, params: unknown): void;
}

export class RankInspector {
  readonly #events: InspectorEvents;
  readonly #sessions = new Map<number, string>();
  readonly #threads = new Map<string, number>();
  readonly #pending = new Map<number, Pending>();
  readonly #waiting = new Set<() => void>();
  #session: Session | undefined;
  #lastId = 0;

  constructor(events: InspectorEvents) {
    this.#events = events;
  }

  /** Whether this thread has an inspector. */
  static isAvailable(): boolean {
    const session = new Session();
    try {
      session.connect();
      session.disconnect();
      return true;
    } catch {
      return false;
    }
  }

  start(): void {
    if (this.#session !== undefined) return;
    const session = new Session();
    session.connect();
    this.#session = session;
    session.on('NodeWorker.attachedToWorker', ({ params }: { params: Attached }) => {
      const threadId = Number(/^\[worker (\d+)\]/.exec(params.workerInfo.title)?.[1]);
      this.#sessions.set(threadId, params.sessionId);
      this.#threads.set(params.sessionId, threadId);
      for (const look of [...this.#waiting]) look();
      this.#events.attached(threadId);
    });
    session.on('NodeWorker.detachedFromWorker', ({ params }: { params: { sessionId: string } }) =>
      this.#detached(params.sessionId),
    );
    session.on('NodeWorker.receivedMessageFromWorker', ({ params }: { params: Received }) =>
      this.#receive(params),
    );
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
  }

  stop(): void {
    const session = this.#session;
    this.#session = undefined;
    for (const sessionId of [...this.#threads.keys()]) this.#detached(sessionId);
    session?.disconnect();
  }

  /** Calls a method of the thread's inspector; rejects when the thread ends. */
  async send<R>(threadId: number, method: string, params: object = {}): Promise<R> {
    const sessionId = await this.#sessionOf(threadId);
    const session = this.#session;
    if (session === undefined || sessionId === undefined)
      throw new Error(`rank thread ${threadId} cannot be debugged`);
    const id = ++this.#lastId;
    return new Promise<R>((resolve, reject) => {
      this.#pending.set(id, { threadId, resolve: resolve as (result: unknown) => void, reject });
      const message = JSON.stringify({ id, method, params });
      session.post('NodeWorker.sendMessageToWorker', { sessionId, message }, (error) => {
        if (error && this.#pending.delete(id)) reject(new Error(error.message));
      });
    });
  }

  async #sessionOf(threadId: number): Promise<string | undefined> {
    if (!this.#sessions.has(threadId)) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(look);
          resolve();
        };
        const look = (): void => void (this.#sessions.has(threadId) && done());
        const timer = setTimeout(done, ATTACH_MS);
        this.#waiting.add(look);
      });
    }
    return this.#sessions.get(threadId);
  }

  #receive({ sessionId, message }: Received): void {
    const threadId = this.#threads.get(sessionId);
    if (threadId === undefined) return;
    const said = JSON.parse(message) as WorkerMessage;
    if (said.id === undefined) {
      this.#events.event(threadId, said.method, said.params);
      return;
    }
    const pending = this.#pending.get(said.id);
    this.#pending.delete(said.id);
    if (said.error) pending?.reject(new Error(said.error.message));
    else pending?.resolve(said.result);
  }

  #detached(sessionId: string): void {
    const threadId = this.#threads.get(sessionId);
    if (threadId === undefined) return;
    this.#threads.delete(sessionId);
    this.#sessions.delete(threadId);
    for (const [id, { threadId: of, reject }] of this.#pending) {
      if (of !== threadId) continue;
      this.#pending.delete(id);
      reject(new Error('the rank ended'));
    }
  }
}
