import { constants, getPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { World, type WorldOptions } from './index.js';
import { buildEntry } from './testing/build.js';

let entry: string;
let world: World | undefined;

beforeAll(() => {
  entry = buildEntry(fileURLToPath(new URL('testing/rank.ts', import.meta.url)));
});
afterEach(() => world?.stop());

async function start(size: number, more: Partial<WorldOptions> = {}): Promise<World> {
  world = await World.start({ size, entry, ...more });
  return world;
}
const run = (rank: number, code: string) => world!.request<string, unknown>(rank, code);

/** Resolves when `count` ranks have said that they are in the middle of what they run: `link.emit("on")`. */
function underWay(count: number): Promise<void> {
  return new Promise((resolve) => {
    let heard = 0;
    const off = world!.onEvent((_, event) => {
      if (event !== 'on' || ++heard < count) return;
      off();
      resolve();
    });
  });
}

test.each([0, -1, 65, 10_000, 1.5, Number.NaN])('World.start() refuses a world of %s ranks', async (size) => {
  await expect(start(size)).rejects.toMatchObject({ code: 'SB_WORLD_SIZE' });
});

test('World.request() runs on the rank asked for, with its own namespace', async () => {
  await start(3, { workerData: { greeting: 'hello' } });
  await run(1, 'state.x = 7');
  expect(await run(1, 'return [link.rank, link.worldSize, state.x, process.env.RANK]')).toEqual([
    1,
    3,
    7,
    '1',
  ]);
  expect(await run(2, 'return [state.x, link.data.greeting]')).toEqual([undefined, 'hello']);
});

test('World.request() rejects with what the handler threw, class name and stack kept', async () => {
  await start(1);
  await expect(run(0, 'throw new RangeError("too far")')).rejects.toMatchObject({
    name: 'RangeError',
    message: 'too far',
    rank: 0,
  });
  expect(await run(0, 'return 1')).toBe(1);
});

test('World.onEvent() hears events before the reply that follows them', async () => {
  await start(1);
  const heard: unknown[] = [];
  world!.onEvent((rank, event) => heard.push([rank, event]));
  await run(0, 'link.emit("a"); link.emit({ b: 2 })');
  expect(heard).toEqual([
    [0, 'a'],
    [0, { b: 2 }],
  ]);
});

test('World.onOutput() hears stdout and stderr', async () => {
  await start(1);
  const heard: string[] = [];
  const both = new Promise<void>((resolve) => {
    world!.onOutput((_, stream, text) => {
      heard.push(`${stream}: ${text}`);
      if (heard.length === 2) resolve();
    });
  });
  await run(0, 'process.stdout.write("out"); process.stderr.write("err")');
  await both;
  expect(heard.sort()).toEqual(['stderr: err', 'stdout: out']);
});

const loops: [string, string][] = [
  ['a synchronous loop', 'for (;;) {}'],
  ['a loop that catches everything', 'for (;;) { try { for (;;) {} } catch {} finally {} }'],
  ['a microtask loop', 'for (;;) await null'],
  ['Atomics.wait', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)'],
  ['a promise that never settles', 'await new Promise(() => {})'],
  [
    'a loop of timers',
    'for (;;) { state.ticks = (state.ticks ?? 0) + 1; await new Promise((r) => setTimeout(r, 1)); }',
  ],
  ['a regular expression', '/^(a+)+$/.test("a".repeat(40) + "b")'],
];
test.each(loops)('World.interrupt() stops %s and keeps the state', async (_, code) => {
  await start(2);
  await run(0, 'state.x = 5');
  const begun = underWay(1);
  const refused = expect(run(0, `link.emit("on"); ${code}`)).rejects.toMatchObject({
    code: 'SB_INTERRUPTED',
  });
  await begun;
  expect(world!.status().map((s) => s.state)).toEqual(['running', 'idle']);
  const report = await world!.interrupt();
  await refused;
  expect(report.ranks.map((r) => r.outcome)).toEqual(['state kept', 'not running']);
  expect(await run(0, 'return state.x')).toBe(5);
  const ticks = await run(0, 'return state.ticks');
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await run(0, 'return state.ticks')).toBe(ticks);
});

test('World.interrupt() works again and again on the same ranks', async () => {
  await start(4);
  for (let i = 0; i < 10; i++) {
    const begun = underWay(4);
    const refused = [0, 1, 2, 3].map((rank) =>
      expect(run(rank, 'link.emit("on"); for (;;) {}')).rejects.toMatchObject({ code: 'SB_INTERRUPTED' }),
    );
    await begun;
    const report = await world!.interrupt();
    await Promise.all(refused);
    expect(report.ranks.map((r) => r.outcome)).toEqual(Array(4).fill('state kept'));
  }
  expect(await run(3, 'return 3')).toBe(3);
});

test('World.request() is interrupted by its AbortSignal', async () => {
  await start(1);
  const controller = new AbortController();
  const begun = underWay(1);
  const answer = world!.request(0, 'link.emit("on"); for (;;) {}', { signal: controller.signal });
  void begun.then(() => controller.abort());
  await expect(answer).rejects.toMatchObject({ code: 'SB_INTERRUPTED' });
});

const deaths: [string, string, RegExp][] = [
  ['process.exit()', 'process.exit(3)', /its code called process\.exit\(3\)/],
  [
    'an uncaught error',
    'setTimeout(() => { throw new TypeError("late") }, 1); await new Promise(() => {})',
    /uncaught TypeError: late/,
  ],
  [
    'memory',
    'const all = []; for (;;) all.push(new Array(1000).fill({}))',
    /out of memory: its heap reached the limit of 40 MB/,
  ],
];
test.each(deaths)('World reports a rank that dies of %s, and restarts it alone', async (_, code, reason) => {
  const supervised: string[] = [];
  await start(2, {
    heapLimitMb: 40,
    supervisor: {
      dead: (rank, why) => supervised.push(`dead ${rank} ${why}`),
      restarted: (rank) => supervised.push(`restarted ${rank}`),
      interrupted: () => {},
    },
  });
  await run(1, 'state.x = 1');
  const exits: [number, string][] = [];
  world!.onExit((rank, why) => exits.push([rank, why]));
  await expect(run(0, code)).rejects.toMatchObject({
    code: 'SB_RANK_DEAD',
    message: expect.stringMatching(reason),
  });
  expect(exits).toEqual([[0, expect.stringMatching(reason)]]);
  expect(world!.status()[0]).toMatchObject({ state: 'dead', reason: expect.stringMatching(reason) });
  await expect(run(0, 'return 1')).rejects.toMatchObject({ code: 'SB_RANK_DEAD' });
  await world!.restart(0);
  expect(await run(0, 'return link.rank')).toBe(0);
  expect(await run(1, 'return state.x')).toBe(1);
  expect(supervised).toEqual([expect.stringMatching(/^dead 0/), 'restarted 0']);
});

test('World.start() fails with the reason when an entry throws, and leaves no thread', async () => {
  await expect(World.start({ size: 2, entry: '/nonexistent/entry.js' })).rejects.toMatchObject({
    code: 'SB_RANK_START',
  });
});

test('World.stop() rejects what is under way', async () => {
  await start(1);
  const refused = expect(run(0, 'for (;;) {}')).rejects.toMatchObject({ code: 'SB_RANK_DEAD' });
  await world!.stop();
  await refused;
});

test.runIf(process.platform === 'linux')(
  'ranks in the background have a lower priority than the main thread, others have its own',
  async () => {
    const priority = `const { getPriority } = await import('node:os');
      const { readlinkSync } = await import('node:fs');
      return getPriority(Number(readlinkSync('/proc/thread-self').split('/').pop()));`;
    const own = getPriority();
    await start(1);
    expect(await run(0, priority)).toBe(own);
    await world!.stop();
    await start(1, { background: true });
    expect(await run(0, priority)).toBe(Math.max(own, constants.priority.PRIORITY_BELOW_NORMAL));
    expect(getPriority()).toBe(own);
  },
);
