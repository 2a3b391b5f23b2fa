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

const TERMINATE = JSON.stringify({ id: 1, method: 'Runtime.terminateExecution' });

export class Terminator {
  #session: Session | undefined;
  readonly #attached = new Map<number, string>();
  readonly #wanted = new Set<number>();

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

  close(): void {
    const session = this.#session;
    this.#session = undefined;
    this.#attached.clear();
    this.#wanted.clear();
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
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
    return session;
  }

  #send(session: Session, sessionId: string): void {
    // A thread that has just ended has no session any more; its exit event settles what waits for it.
    session.post('NodeWorker.sendMessageToWorker', { sessionId, message: TERMINATE }, () => {});
  }
}
