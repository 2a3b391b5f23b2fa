/** Resolves when every one of `ids` was settled, rejects at `fail`; `start` begins the work and returns what ends it. */
export async function nothingLeft<T>(
  ids: Iterable<T>,
  start: (
    settle: (id: T) => void,
    left: ReadonlySet<T>,
    fail: (error: unknown) => void,
  ) => Promise<() => void>,
): Promise<void> {
  const left = new Set(ids);
  if (left.size === 0) return;
  let done = (): void => {};
  let fail = (_error: unknown): void => {};
  const empty = new Promise<void>((resolve, reject) => {
    done = resolve;
    fail = reject;
  });
  // It may fail before anybody waits for it.
  empty.catch(() => {});
  const end = await start(
    (id) => {
      left.delete(id);
      if (left.size === 0) done();
    },
    left,
    fail,
  );
  try {
    await empty;
  } finally {
    end();
  }
}
