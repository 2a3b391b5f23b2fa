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
  workerInfo: { workerId: string };
}

const TERMINATE = JSON.stringify({ id: 1, method: 'Runtime.terminateExecution' });

export class Terminator {
  #session: Session | undefined;
  readonly #attached = new Map<number, string>();
  readonly #wanted = new Set<number>();

  /** Asks each of these threads to stop what it runs. Safe to repeat. Returns false when there is no inspector here. */
  terminate(threadIds: readonly number[]): boolean {
    const session = this.#connect();
    if (session === undefined) return false;
    for (const id of threadIds) {
      const sessionId = this.#attached.get(id);
      if (sessionId === undefined) this.#wanted.add(id);
      else this.#send(sessionId);
    }
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
      const id = Number(params.workerInfo.workerId);
      this.#attached.set(id, params.sessionId);
      if (this.#wanted.delete(id)) this.#send(params.sessionId);
    });
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
    return session;
  }

  #send(sessionId: string): void {
    this.#session?.post('NodeWorker.sendMessageToWorker', { sessionId, message: TERMINATE }, () => {});
  }
}
