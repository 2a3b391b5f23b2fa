/**
 * The thread's end of a world. Generic: it moves bodies and events and knows nothing of cells.
 *
 * Interrupts come in two ways. A rank that sits in its event loop reads the `interrupt` message itself: the requests under way
 * are dropped and their timers cleared, so that a loop of `await sleep()` does not go on behind the user's back. A rank that
 * blocks is first stopped from outside by the inspector, and then reads the same message.
 */
import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { promisify } from 'node:util';
import { getHeapStatistics } from 'node:v8';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../runtime/index.js';
import { toWire } from './error-wire.js';
import type { FromRank, RankMemory, RankStart, ToRank } from './messages.js';
import { stepBack } from './priority.js';

export interface RankLink {
  readonly rank: number;
  readonly worldSize: number;
  /** What `World.start` was given as workerData. */
  readonly data: unknown;
  /** Answers requests; call it once, when the rank is ready to work. */
  serve(handler: (body: unknown) => Promise<unknown>): void;
  /** Sends an event to the listeners of `World.onEvent`, in order with the replies. */
  emit(event: unknown): void;
  /** Runs when the requests under way have been interrupted and the rank is usable again. */
  onInterrupt(listener: () => void): void;
  /**
   * `capture` is called when a timer is made; what it returns, before the timer's callback, and its own result, if any, when
   * the promises that the callback settled have been served. (Asynchronous context proper needs hooks of Node's that do not
   * survive an interrupt.)
   */
  onTimers(capture: () => () => (() => void) | undefined): void;
}

/** Joins this thread to the world that started it. Called once, by the thread's entry. */
export function connectRank(): RankLink {
  assert(!isMainThread && parentPort, 'connectRank() is called in a rank thread');
  const port = parentPort;
  const { rank, worldSize, isBackground, data } = workerData as RankStart;
  const active = new Set<number>();
  const interruptListeners: (() => void)[] = [];
  const timers = trackTimers(() => active.size > 0);
  const post = (message: FromRank) => port.postMessage(message);
  let served = false;
  /** The interrupt that was obeyed last: it is asked for until it is answered, and what began since is not meant. */
  let obeyed = -1;
  watchHooks(() => post({ kind: 'hooked' }));

  async function answer(handler: (body: unknown) => Promise<unknown>, id: number, body: unknown) {
    active.add(id);
    try {
      const value = await handler(body);
      if (active.delete(id)) reply(id, value);
    } catch (thrown) {
      if (active.delete(id)) post({ kind: 'failure', id, error: toWire(thrown), memory: memory() });
    }
  }

  function reply(id: number, value: unknown) {
    try {
      post({ kind: 'reply', id, value, memory: memory() });
    } catch (thrown) {
      post({ kind: 'failure', id, error: toWire(thrown), memory: memory() });
    }
  }

  return {
    rank,
    worldSize,
    data,
    emit: (event) => post({ kind: 'event', event }),
    onInterrupt: (listener) => void interruptListeners.push(listener),
    onTimers: (capture) => timers.onTimers(capture),
    serve(handler) {
      assert(!served, 'serve() is called once');
      served = true;
      port.on('message', (message: ToRank) => {
        if (message.kind === 'request') {
          void answer(handler, message.id, message.body);
          return;
        }
        if (message.id > obeyed) {
          active.clear();
          timers.clear();
          for (const listener of interruptListeners) listener();
          obeyed = message.id;
        }
        post({ kind: 'interrupted', id: message.id });
      });
      if (isBackground) stepBack();
      post({ kind: 'ready' });
    },
  };
}

/**
 * Asynchronous hooks keep a stack that must be empty after each turn of the event loop, and Node aborts the whole process when
 * it is not, as it is when an interrupt unwinds a promise's callback. Whoever turns them on is told of, before they are on.
 */
function watchHooks(tell: () => void): void {
  let told = false;
  const telling = (target: object, name: string): void => {
    const own = (target as Record<string, unknown>)[name];
    if (typeof own !== 'function') return;
    Object.defineProperty(target, name, {
      configurable: true,
      writable: true,
      value(this: unknown, ...args: unknown[]): unknown {
        if (!told) tell();
        told = true;
        return own.apply(this, args);
      },
    });
  };
  for (const name of ['run', 'enterWith']) telling(AsyncLocalStorage.prototype, name);
  telling(Object.getPrototypeOf(createHook({})) as object, 'enable');
}

function memory(): RankMemory {
  const heap = getHeapStatistics();
  return {
    heapUsedBytes: heap.used_heap_size,
    heapLimitBytes: heap.heap_size_limit,
    externalBytes: heap.external_memory,
  };
}

/** Remembers the timers that requests start, so that an interrupt can clear them. */
function trackTimers(tracking: () => boolean): { clear(): void; onTimers: RankLink['onTimers'] } {
  let capture: (() => () => (() => void) | undefined) | undefined;
  const live = new Set<() => void>();
  const { setTimeout: timeout, setInterval: interval, setImmediate: immediate } = globalThis;

  const tracked = <A extends unknown[], H>(
    start: (callback: () => void, ...rest: A) => H,
    stop: (handle: H) => void,
    once: boolean,
  ) => {
    return (callback: (...args: unknown[]) => void, ...rest: [...A, ...unknown[]]): H => {
      const enter = capture?.();
      const tracked = tracking();
      if (!tracked && enter === undefined) return (start as (...all: unknown[]) => H)(callback, ...rest);
      const delay = rest.slice(0, start === (immediate as unknown) ? 0 : 1) as unknown as A;
      const args = rest.slice(delay.length);
      const handle = start(
        () => {
          if (once) live.delete(forget);
          const leave = enter?.();
          if (leave) immediate(leave).unref();
          callback(...args);
        },
        ...delay,
      );
      const forget = () => stop(handle);
      if (tracked) live.add(forget);
      return handle;
    };
  };

  const later = tracked(timeout as never, clearTimeout as never, true) as unknown as typeof setTimeout;
  const soon = tracked(immediate as never, clearImmediate as never, true) as unknown as typeof setImmediate;
  Object.defineProperty(later, promisify.custom, {
    value: (ms?: number, value?: unknown) => new Promise((resolve) => later(() => resolve(value), ms)),
  });
  Object.defineProperty(soon, promisify.custom, {
    value: (value?: unknown) => new Promise((resolve) => soon(() => resolve(value))),
  });
  globalThis.setTimeout = later;
  globalThis.setImmediate = soon;
  globalThis.setInterval = tracked(
    interval as never,
    clearInterval as never,
    false,
  ) as unknown as typeof setInterval;
  return {
    onTimers: (value) => {
      capture = value;
    },
    clear() {
      for (const forget of live) forget();
      live.clear();
    },
  };
}
