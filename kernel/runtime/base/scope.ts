/** How scopes that are open are left, in the order in which they began. */
const open = new Set<() => void>();
const listeners = new Set<(stopped: boolean) => void>();

/**
 * Runs `body` and calls `end` when it is over, whichever way; a promise that it returns is waited for. Returns what it returns.
 * Unlike a `finally` block, `end` is also called when the rank is interrupted, by `leaveScopes`.
 *
 * An interrupt can stop code wherever a function begins or a loop goes round. So what `end` takes back begins inside of `body`
 * (or it could have begun with nobody knowing), and `end` puts back what was before rather than taking a step back: it may be
 * called before the scope has begun, and again after it was itself stopped halfway.
 */
export function runThen<R>(body: () => R, end: () => void): R {
  const leave = (): void => {
    if (!open.has(leave)) return;
    try {
      end();
    } finally {
      open.delete(leave);
    }
  };
  open.add(leave);
  let result: R;
  try {
    result = body();
  } catch (error) {
    leave();
    throw error;
  }
  if (result instanceof Promise) return result.finally(leave) as R;
  leave();
  return result;
}

/** Runs `body` between `what.start()` and `what.stop()`. */
export const runStarted = <R>(what: { start(): unknown; stop(): unknown }, body: () => R): R =>
  runThen(
    () => {
      what.start();
      return body();
    },
    () => void what.stop(),
  );

/** A variable that has another value for as long as something runs. */
export class Setting<T> {
  constructor(public value: T) {}

  /** Runs `body` while the value is `value`. */
  during<R>(value: T, body: () => R): R {
    const before = this.value;
    return runThen(
      () => {
        this.value = value;
        return body();
      },
      () => {
        this.value = before;
      },
    );
  }
}

/**
 * After code was stopped from outside, which runs no `finally` block: ends all scopes that are still open, the innermost first.
 * Where it is itself stopped it is called again.
 */
export function leaveScopes(): void {
  for (const leave of [...open].reverse()) {
    try {
      leave();
    } catch {
      // What cannot end in the state that it was stopped in must not keep the others from ending.
    }
  }
  giveUp(true);
}

/** After a cell that failed, or was `stopped` from outside: what it had begun goes on no more. */
export function giveUp(stopped: boolean): void {
  for (const listener of listeners) listener(stopped);
}

/** Called by `giveUp`: for what is no scope. */
export function onGivenUp(listener: (stopped: boolean) => void): void {
  listeners.add(listener);
}

/** As onGivenUp, for an object, which it does not keep alive. */
export function giveUpWith<T extends object>(
  target: T,
  giveUpTarget: (target: T, stopped: boolean) => void,
): void {
  const ref = new WeakRef(target);
  const listener = (stopped: boolean): void => {
    const alive = ref.deref();
    if (alive === undefined) listeners.delete(listener);
    else giveUpTarget(alive, stopped);
  };
  listeners.add(listener);
}
