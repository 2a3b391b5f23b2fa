import { describe, expect, test } from 'vitest';
import type { ExecuteOptions, ExecuteResult, SessionApi } from '../session/index.js';
import { KernelCore } from './core.js';
import { type Channel, type Message, MessageFactory } from './message.js';

const client = new MessageFactory();

/** A session whose cells do what their text says. */
function fakeSession(): SessionApi {
  let count = 0;
  const session: Partial<SessionApi> = {
    worldSize: 2,
    history: [{ session: 0, line: 1, input: 'a*b', output: '6' }],
    async execute(code: string, options: ExecuteOptions = {}): Promise<ExecuteResult> {
      if (options.storeHistory) count += 1;
      if (code === 'crash') throw new Error('the session is broken');
      if (code === 'ask') {
        const text = await options.onInput?.({ prompt: '?', password: false });
        options.onOutput?.({ type: 'stream', name: 'stdout', text: String(text), ranks: [] });
      }
      const error = code === 'fail' ? { ename: 'E', evalue: 'v', traceback: ['t'] } : undefined;
      if (error) options.onOutput?.({ type: 'error', ...error, ranks: [] });
      return {
        status: error ? 'error' : 'ok',
        executionCount: count,
        payload: [],
        userExpressions: {},
        ...(error ? { error } : {}),
      };
    },
    complete: async (code, cursor) => ({
      matches: [code.slice(0, cursor)],
      cursorStart: 0,
      cursorEnd: cursor,
      kinds: [],
    }),
    interrupt: async () => ({ kept: [], restarted: [] }),
    onComm: () => () => {},
    comms: () => new Map(),
    comm: async () => false,
  };
  Object.defineProperty(session, 'executionCount', { get: () => count });
  return session as SessionApi;
}

function start() {
  const sent: { channel: Channel; message: Message; origin: unknown }[] = [];
  const logged: string[] = [];
  const core = new KernelCore(
    fakeSession(),
    { send: (channel, message, origin) => sent.push({ channel, message, origin }) },
    { log: (text) => logged.push(text) },
  );
  const ask = (type: string, content: Record<string, unknown> = {}, channel: Channel = 'shell') => {
    const message = client.make(type, content, undefined);
    return { message, done: core.handle(channel, message, 'me') };
  };
  const types = () =>
    sent.map(({ message }) =>
      message.header.msg_type === 'status' ? message.content['execution_state'] : message.header.msg_type,
    );
  return { core, sent, logged, ask, types };
}

describe('KernelCore', () => {
  test('encloses every request by busy and idle and answers its sender', async () => {
    const { ask, sent, types } = start();
    const { message, done } = ask('execute_request', { code: '1' });
    await done;
    expect(types()).toEqual(['busy', 'execute_input', 'execute_reply', 'idle']);
    expect(
      sent.every(
        ({ message: m }) => (m.parent_header as { msg_id?: string }).msg_id === message.header.msg_id,
      ),
    ).toBe(true);
    expect(sent.find(({ channel }) => channel === 'shell')?.origin).toBe('me');
  });

  test('a failure of the session is answered and leaves the kernel idle', async () => {
    const { ask, sent, types } = start();
    await ask('execute_request', { code: 'crash' }).done;
    expect(types().at(-1)).toBe('idle');
    expect(sent.find(({ channel }) => channel === 'shell')?.message.content).toMatchObject({
      status: 'error',
      evalue: 'the session is broken',
    });
  });

  test('stop_on_error aborts what waits, and only that', async () => {
    const { ask, sent } = start();
    const waiting = [ask('execute_request', { code: 'fail' }), ask('execute_request', { code: '1' })];
    await Promise.all(waiting.map(({ done }) => done));
    await ask('execute_request', { code: '1' }).done;
    const statuses = sent
      .filter(({ channel }) => channel === 'shell')
      .map(({ message }) => message.content['status']);
    expect(statuses).toEqual(['error', 'aborted', 'ok']);
  });

  test('control is answered while a cell waits for input', async () => {
    const { ask, core, sent, types } = start();
    const { done } = ask('execute_request', { code: 'ask', allow_stdin: true });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const request = sent.find(({ channel }) => channel === 'stdin')!.message;
    expect(request.header.msg_type).toBe('input_request');
    await ask('kernel_info_request', {}, 'control').done;
    expect(types()).toContain('kernel_info_reply');
    await core.handle('stdin', client.make('input_reply', { value: 'yes' }, request));
    await done;
    expect(sent.some(({ message }) => message.content['text'] === 'yes')).toBe(true);
  });

  test('cursor positions count characters, not UTF-16 units', async () => {
    const { ask, sent } = start();
    await ask('complete_request', { code: '😀ab', cursor_pos: 2 }).done;
    expect(sent.find(({ channel }) => channel === 'shell')?.message.content).toMatchObject({
      matches: ['😀a'],
      cursor_start: 0,
      cursor_end: 2,
    });
  });

  test('malformed messages are logged and dropped', async () => {
    const { core, sent, logged } = start();
    for (const bad of [
      null,
      [],
      {},
      { header: {} },
      { header: { msg_id: 'a', msg_type: 'b', session: 'c' }, content: 1 },
    ]) {
      await core.handle('shell', bad as unknown as Message);
    }
    expect(sent).toEqual([]);
    expect(logged).toHaveLength(5);
  });

  test('unknown requests get an error, unknown messages are logged', async () => {
    const { ask, sent, logged } = start();
    await ask('odd_request').done;
    await ask('odd').done;
    expect(
      sent.filter(({ channel }) => channel === 'shell').map(({ message }) => message.header.msg_type),
    ).toEqual(['odd_reply']);
    expect(logged).toHaveLength(2);
  });

  test.each([
    [{ hist_access_type: 'tail', n: 1, output: true }, [[0, 1, ['a*b', '6']]]],
    [{ hist_access_type: 'tail', n: 0 }, []],
    [{ hist_access_type: 'range', session: 0, start: 1, stop: 2 }, [[0, 1, 'a*b']]],
    [{ hist_access_type: 'range', session: 0, start: 2 }, []],
    [{ hist_access_type: 'search', pattern: 'a?b' }, [[0, 1, 'a*b']]],
    [{ hist_access_type: 'search', pattern: 'b*' }, []],
  ])('history %j', async (content, history) => {
    const { ask, sent } = start();
    await ask('history_request', content).done;
    expect(sent.find(({ channel }) => channel === 'shell')?.message.content['history']).toEqual(history);
  });
});
