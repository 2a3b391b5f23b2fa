/** Comms, variables and late output on real threads: needs dist/. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Session } from './session.js';
import type { CellOutput, CommMessage } from './types.js';

let session: Session;

beforeAll(async () => {
  session = await Session.start({ world: 2, patience: 10_000, watch: true });
}, 120_000);

afterAll(async () => {
  await session.shutdown();
}, 60_000);

async function run(code: string) {
  const comms: CommMessage[] = [];
  const outputs: CellOutput[] = [];
  const result = await session.execute(code, {
    onComm: (message) => comms.push(message),
    onOutput: (output) => outputs.push(output),
  });
  expect(result.error?.traceback ?? []).toEqual([]);
  return { comms, outputs };
}

async function tell(message: Partial<CommMessage>) {
  const comms: CommMessage[] = [];
  const texts: string[] = [];
  const taken = await session.comm(
    { type: 'msg', id: 'front', data: {}, metadata: {}, buffers: [], ...message },
    {
      onComm: (answer) => comms.push(answer),
      onOutput: (output) => texts.push(output.type === 'stream' ? output.text : output.type),
    },
  );
  return { taken, comms, text: texts.join('') };
}

describe('comms', { timeout: 120_000 }, () => {
  test('a front end opens a comm to a target: rank 0 hears and answers, bytes too', async () => {
    await run(`Comm.register('adder', (comm, { data }) => {
      let sum = (data as { start: number }).start;
      comm.onMessage(({ data, buffers }) => {
        sum += (data as { add: number }).add;
        console.log('rank', rank);
        comm.send({ sum, bytes: buffers[0]?.length }, { buffers: [Uint8Array.of(7)] });
      });
      comm.onClose(() => console.log('closed'));
    })`);
    expect((await tell({ type: 'open', target: 'nobody', id: 'x' })).taken).toBe(false);
    expect((await tell({ type: 'open', target: 'adder', data: { start: 10 } })).taken).toBe(true);
    expect([...session.comms()]).toEqual([['front', 'adder']]);
    const { comms, text } = await tell({ data: { add: 5 }, buffers: [new Uint8Array(3)] });
    expect(comms).toMatchObject([{ type: 'msg', id: 'front', data: { sum: 15, bytes: 3 } }]);
    expect([...comms[0]!.buffers[0]!]).toEqual([7]);
    expect(text).toBe('[rank 0] rank 0\n');
    expect((await tell({ type: 'close' })).text).toContain('closed');
    expect((await tell({})).taken).toBe(false);
    expect(session.comms().size).toBe(0);
  });

  test('a cell opens comms: from rank 0, or from the ranks that it names', async () => {
    const { comms } = await run(`const mine = Comm.open('chart', { from: rank });
      mine.send({ at: rank });
      const each = Comm.open('chart', { from: rank }, { ranks: 'all' });
      console.log(mine.isOpen, each.isOpen)`);
    const opened = comms.filter(({ type }) => type === 'open');
    // Ranks speak in any order.
    expect(opened.map(({ data }) => (data as { from: number }).from).sort()).toEqual([0, 0, 1]);
    expect(new Set(opened.map(({ target }) => target))).toEqual(new Set(['chart']));
    expect(comms.filter(({ type }) => type === 'msg').map(({ data }) => data)).toEqual([{ at: 0 }]);
    expect(session.comms().size).toBe(3);
    const { comms: closing } = await run('mine.close(); mine.close(); each.close()');
    expect(closing.filter(({ type }) => type === 'close')).toHaveLength(3);
    expect(session.comms().size).toBe(0);
  });

  test('a handler that throws is said and harms nothing; a fresh world closes what was open', async () => {
    await run(`Comm.register('bad', () => { throw new RangeError('no such knob') })`);
    const { taken, text } = await tell({ type: 'open', target: 'bad', id: 'b' });
    expect(taken).toBe(true);
    expect(text).toContain('RangeError: no such knob');
    const closed: CommMessage[] = [];
    const stop = session.onComm((message) => closed.push(message));
    await run('%restart');
    stop();
    expect(closed).toMatchObject([{ type: 'close', id: 'b' }]);
    expect((await tell({ type: 'open', target: 'bad', id: 'c' })).taken).toBe(false);
  });

  test('what JSON cannot hold is refused with a coded error', async () => {
    const { error } = await session.execute(`Comm.open('x', { big: 1n }, { ranks: 'all' })`);
    expect(error?.evalue).toContain('Cannot send on a comm');
  });
});

describe('interrupts', { timeout: 120_000 }, () => {
  test('a rank that uses asynchronous hooks is replaced instead of unwound, which would end the process', async () => {
    let going = () => {};
    const gone = new Promise<void>((resolve) => {
      going = resolve;
    });
    const cell = session.execute(
      `const { AsyncLocalStorage } = await import('node:async_hooks');
       await new AsyncLocalStorage<number>().run(1, async () => { await null; console.log('go'); for (;;) {} });`,
      { onOutput: () => going() },
    );
    await gone;
    const { restarted } = await session.interrupt();
    expect((await cell).status).toBe('error');
    expect(restarted).toEqual([0, 1]);
    expect((await run('rank')).outputs.length).toBeGreaterThan(0);
  });
});

describe('late output and variables', { timeout: 120_000 }, () => {
  test('a timer of an earlier cell speaks below that cell while another runs', async () => {
    const late: string[] = [];
    let heard = () => {};
    const came = new Promise<void>((resolve) => {
      heard = resolve;
    });
    await session.execute(
      `let spoke = false;
       setTimeout(() => { console.log('late'); spoke = true }, 20)`,
      {
        onOutput: (output) => {
          if (output.type !== 'stream') return;
          late.push(output.text);
          heard();
        },
      },
    );
    const { outputs } = await run(
      `while (!spoke) await new Promise((r) => setTimeout(r, 5)); console.log('now')`,
    );
    await came;
    expect(late.join('')).toContain('late');
    const own = outputs.map((output) => (output.type === 'stream' ? output.text : '')).join('');
    expect(own).toContain('now');
    expect(own).not.toContain('late');
  });

  test('variables of all ranks, and what is inside of them', async () => {
    await run('%reset');
    await run('const shared = { a: [1, 2], b: new Map([["k", 3]]) }; const own = rank; let none: unknown');
    const view = await session.variables();
    expect(view.stale).toBe(false);
    expect(view.ranks.map(({ variables }) => variables.map(({ name, value }) => [name, value]))).toEqual(
      [0, 1].map((rank) => [
        ['shared', "{ a: [ 1, 2 ], b: Map(1) { 'k' => 3 } }"],
        ['own', String(rank)],
        ['none', 'undefined'],
      ]),
    );
    expect(await session.debugging.children(1, ['shared', 'b'])).toEqual([
      { name: "'k'", type: 'number', value: '3', nested: false },
    ]);
  });

  test('the cluster is seen live: calls so far while it runs', async () => {
    const cell = session.execute(
      `if (!dist.isInitialized()) dist.initProcessGroup();
       for (;;) {
         dist.barrier();
         await new Promise((r) => setTimeout(r, 5));
       }`,
    );
    const live = () => session.cluster().ranks.some(({ seen }) => (seen?.calls.length ?? 0) > 0);
    while (!(session.cluster().running && live())) await new Promise((resolve) => setTimeout(resolve, 5));
    await session.interrupt();
    expect((await cell).error?.ename).toBe('Interrupted');
    expect(session.cluster().running).toBeUndefined();
  });
});
