/** How scopes that are open are left, in the order in which they began. */
const open = new Set<() => void>();
const listeners = new Set<(stopped: boolean) => void>();

/**
 * Runs `body` and calls `end` once it is over, whichever way; a promise that it returns is waited for. Returns what it returns.
 * The callers begin their scope before: what fails while it begins has nothing to end. Unlike a `finally` block, `end` is also
 * called when the rank is interrupted, by `leaveScopes`.
 */
export function runThen<R>(body: () => R, end: () => void): R {
  const leave = (): void => {
    if (open.delete(leave)) end();
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

/** After code was stopped from outside, which runs no `finally` block: ends all scopes that are still open, the innermost first. */
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
