/**
 * Runs `body` and calls `end` once it is over, whichever way; a promise that it returns is waited for. Returns what it returns.
 * The callers begin their scope before: what fails while it begins has nothing to end.
 */
export function runThen<R>(body: () => R, end: () => void): R {
  let result: R;
  try {
    result = body();
  } catch (error) {
    end();
    throw error;
  }
  if (result instanceof Promise) return result.finally(end) as R;
  end();
  return result;
}
