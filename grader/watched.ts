import { CheckFailure } from './verdict.js';

/** Says that a check waits for an answer. */
export type Busy = <T>(answer: () => Promise<T>) => Promise<T>;

/** How long a check may go on without asking anything. */
const IDLE_SECONDS = 60;

/**
 * Runs a check. One that asks nothing for long waits for something that nobody will tell it: a mistake in the check, which must not
 * hold up the others. What it asks has limits of its own.
 */
export function watched(
  id: string,
  check: (busy: Busy) => Promise<void>,
  seconds = IDLE_SECONDS,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let asked = 0;
    let isOver = false;
    const over = (settle: () => void): void => {
      isOver = true;
      clearTimeout(timer);
      settle();
    };
    const rest = (): void => {
      const message = `The check "${id}" does not end, and asks nothing more`;
      timer = setTimeout(
        () => over(() => reject(new CheckFailure('infra-error', { message }))),
        seconds * 1000,
      );
    };
    const busy: Busy = async (answer) => {
      asked++;
      clearTimeout(timer);
      try {
        return await answer();
      } finally {
        if (--asked === 0 && !isOver) rest();
      }
    };
    rest();
    check(busy).then(
      () => over(resolve),
      (error: unknown) => over(() => reject(error)),
    );
  });
}
