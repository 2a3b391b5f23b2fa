/** Resolves when every one of `ids` was settled; `start` begins the work and returns what ends it. */
export async function nothingLeft<T>(
  ids: Iterable<T>,
  start: (settle: (id: T) => void, left: ReadonlySet<T>) => Promise<() => void>,
): Promise<void> {
  const left = new Set(ids);
  if (left.size === 0) return;
  let done = (): void => {};
  const empty = new Promise<void>((resolve) => {
    done = resolve;
  });
  const end = await start((id) => {
    left.delete(id);
    if (left.size === 0) done();
  }, left);
  await empty;
  end();
}
