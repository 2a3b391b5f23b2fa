/**
 * Stops JavaScript in other threads without losing their state: the inspector's `Runtime.terminateExecution`, reached through the
 * NodeWorker domain. It unwinds synchronous loops, regular expressions, `Atomics.wait` and endless microtask loops; a long native
 * call is unwound when it returns. The promise of what was running never settles.
 *
 * A session is attached only while an interrupt is under way: an attached thread reports to us for as long as it lives otherwise.
 */
import { Session } from 'node:inspector';

interface Attached {
  sessionId: string;
  /** `workerId` counts per session; only the title, "[worker 3] name", has the thread's id. */
  workerInfo: { workerId: string; title: string };
}

interface FromWorker {
  sessionId: string;
  message: string;
}

export class Terminator {
  #session: Session | undefined;
  readonly #attached = new Map<number, string>();
  readonly #wanted = new Set<number>();
  /** Requests to stop that have not been carried out, by session: one that finds nothing to stop waits for what runs next. */
  readonly #open = new Map<string, Set<number>>();
  #requests = 0;

  /** Attaches to all threads ahead of `terminate`, which then takes no time. */
  prepare(): void {
    this.#connect();
  }

  /** Asks the thread to stop what it runs. False when there is no inspector here (a thread, or a stripped Node). */
  terminate(threadId: number): boolean {
    const session = this.#connect();
    if (session === undefined) return false;
    const sessionId = this.#attached.get(threadId);
    if (sessionId === undefined) this.#wanted.add(threadId);
    else this.#send(session, sessionId);
    return true;
  }

  /** Whether all that was asked of the thread is carried out; from now on nothing more is. */
  isSettled(threadId: number): boolean {
    this.#wanted.delete(threadId);
    const sessionId = this.#attached.get(threadId);
    return sessionId === undefined || (this.#open.get(sessionId)?.size ?? 0) === 0;
  }

  close(): void {
    const session = this.#session;
    this.#session = undefined;
    this.#attached.clear();
    this.#wanted.clear();
    this.#open.clear();
    session?.disconnect();
  }

  #connect(): Session | undefined {
    if (this.#session !== undefined) return this.#session;
    const session = new Session();
    try {
      session.connect();
    } catch {
      return undefined;
    }
    this.#session = session;
    session.on('NodeWorker.attachedToWorker', ({ params }: { params: Attached }) => {
      const id = Number(/^\[worker (\d+)\]/.exec(params.workerInfo.title)?.[1]);
      this.#attached.set(id, params.sessionId);
      if (this.#wanted.delete(id)) this.#send(session, params.sessionId);
    });
    session.on('NodeWorker.receivedMessageFromWorker', ({ params }: { params: FromWorker }) => {
      const { id } = JSON.parse(params.message) as { id?: number };
      if (id !== undefined) this.#open.get(params.sessionId)?.delete(id);
    });
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
    return session;
  }

  #send(session: Session, sessionId: string): void {
    // A thread that has just ended has no session any more; its exit event settles what waits for it.
    const id = ++this.#requests;
    const open = this.#open.get(sessionId) ?? new Set();
    this.#open.set(sessionId, open.add(id));
    const message = JSON.stringify({ id, method: 'Runtime.terminateExecution' });
    session.post('NodeWorker.sendMessageToWorker', { sessionId, message }, (error) => {
      if (error) open.delete(id);
    });
  }
}
