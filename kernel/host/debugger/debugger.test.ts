/** The debugger on real rank threads: needs dist/. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Session } from '../session/index.js';
import { type Content, DebugAdapter } from './adapter.js';
import { murmur2 } from './murmur2.js';

test('murmur2 gives what front ends compute', () => {
  // Known values of MurmurHash2 with seed 0, one for each remainder of the length by 4.
  expect(['', 'a', 'ab', 'abc', 'abcd'].map((text) => murmur2(text, 0))).toEqual([
    0, 2456313694, 446775395, 324500635, 646393889,
  ]);
});

let session: Session;
let adapter: DebugAdapter;
const events: Content[] = [];
let wake = () => {};

beforeAll(async () => {
  session = await Session.start({ world: 2 });
  adapter = new DebugAdapter(session.debugging, (event) => {
    events.push(event);
    wake();
  });
}, 120_000);

afterAll(async () => {
  await adapter.stop();
  await session.shutdown();
}, 60_000);

async function ask(command: string, args: Content = {}): Promise<Content> {
  const reply = await adapter.request({ type: 'request', seq: 1, command, arguments: args });
  expect(reply, JSON.stringify(reply)).toMatchObject({ success: true, command, request_seq: 1 });
  return reply['body'] as Content;
}

async function stops(count: number): Promise<Content[]> {
  const stopped = () => events.filter(({ event }) => event === 'stopped').map(({ body }) => body as Content);
  while (stopped().length < count) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  return stopped();
}

const names = (variables: unknown) =>
  Object.fromEntries((variables as Content[]).map(({ name, value }) => [name, value]));

const CODE = `const before = rank * 10;
function twice(x: number): number {
  const doubled = 2 * x;
  return doubled;
}
const after = twice(before + 1);
after`;

describe('DebugAdapter', { timeout: 120_000 }, () => {
  test('what is unknown, or comes too early, is refused by name', async () => {
    for (const command of ['restartFrame', '__proto__', 'continue']) {
      const reply = await adapter.request({ seq: 3, command, arguments: null });
      expect(reply).toMatchObject({ type: 'response', success: false, request_seq: 3, command });
      expect(reply['message']).toContain(`Cannot "${command}"`);
    }
  });

  test('between cells the variables of all ranks are shown, folded, and opened', async () => {
    await session.execute('const same = { deep: [1, [2]] }; const mine = rank');
    const { variables } = await ask('inspectVariables');
    expect(names(variables)).toEqual({ same: '{ deep: [ 1, [ 2 ] ] }', mine: '[rank 0] 0 | [rank 1] 1' });
    const [same, mine] = variables as Content[];
    const inside = await ask('variables', { variablesReference: same!['variablesReference'] });
    expect(names(inside['variables'])).toEqual({ deep: '[ 1, [ 2 ] ]' });
    const variants = await ask('variables', { variablesReference: mine!['variablesReference'] });
    expect(names(variants['variables'])).toEqual({ 'rank 0': '0', 'rank 1': '1' });
    expect(await ask('richInspectVariables', { variableName: 'same' })).toMatchObject({
      data: { 'text/plain': '{ deep: [ 1, [ 2 ] ] }' },
    });
  });

  test('a breakpoint stops the ranks at the line of the cell; stacks, scopes, steps, and on', async () => {
    const info = await ask('debugInfo');
    expect(info).toMatchObject({ isStarted: false, hashMethod: 'Murmur2' });
    await ask('initialize');
    await ask('attach');
    expect(events.map(({ event }) => event)).toEqual(['initialized']);
    const { sourcePath } = await ask('dumpCell', { code: CODE });
    expect(sourcePath).toBe(
      `${String(info['tmpFilePrefix'])}${murmur2(CODE, Number(info['hashSeed']))}${String(info['tmpFileSuffix'])}`,
    );
    const source = { path: sourcePath };
    expect(await ask('setBreakpoints', { source, breakpoints: [{ line: 4 }] })).toMatchObject({
      breakpoints: [{ verified: true, line: 4 }],
    });
    await ask('configurationDone');
    const cell = session.execute(CODE);
    expect((await stops(2)).map(({ reason, threadId }) => [reason, threadId]).sort()).toEqual([
      ['breakpoint', 1],
      ['breakpoint', 2],
    ]);
    const { stackFrames } = await ask('stackTrace', { threadId: 2 });
    const frames = stackFrames as Content[];
    expect(frames.map(({ name, line }) => [name, line])).toEqual([
      ['[rank 1] twice', 4],
      [expect.stringContaining('[rank 1] cell'), 6],
    ]);
    expect(frames[0]!['source']).toMatchObject(source);
    const { scopes } = await ask('scopes', { frameId: frames[0]!['id'] });
    const [locals, globals] = scopes as Content[];
    const shown = await ask('variables', { variablesReference: locals!['variablesReference'] });
    expect(names(shown['variables'])).toMatchObject({ x: '11', doubled: '22' });
    const others = await ask('variables', { variablesReference: globals!['variablesReference'] });
    expect(names(others['variables'])).toMatchObject({ mine: '1' });
    expect(await ask('evaluate', { expression: 'doubled + mine', frameId: frames[0]!['id'] })).toMatchObject({
      result: '23',
    });
    expect(await ask('source', { source })).toMatchObject({ content: CODE });
    await ask('next', { threadId: 1 });
    await stops(4);
    await ask('setBreakpoints', { source, breakpoints: [] });
    await ask('continue', { threadId: 1 });
    const { status } = await cell;
    expect(status).toBe('ok');
    expect(events.some(({ event }) => event === 'continued')).toBe(true);
  });

  test('one rank stands at a conditional breakpoint; an interrupt frees it', async () => {
    events.length = 0;
    const code = 'const here = rank;\nconsole.log("at", here);';
    const { sourcePath } = await ask('dumpCell', { code });
    await ask('setBreakpoints', {
      source: { path: sourcePath },
      breakpoints: [{ line: 2, condition: 'here === 1' }],
    });
    const cell = session.execute(code);
    expect((await stops(1)).map(({ threadId }) => threadId)).toEqual([2]);
    const { stackFrames } = await ask('stackTrace', { threadId: 1 });
    expect((stackFrames as Content[])[0]).toMatchObject({ line: 2 });
    await session.interrupt();
    await cell;
    await ask('disconnect');
    expect(await ask('debugInfo')).toMatchObject({ isStarted: false, stoppedThreads: [] });
    expect((await session.execute('1')).status).toBe('ok');
  });

  test('a thrown error stops where exceptions are asked for', async () => {
    events.length = 0;
    await ask('initialize');
    await ask('setExceptionBreakpoints', { filters: ['raised'] });
    const cell = session.execute('%%rank 0\nconst fine = 1;\nthrow new RangeError("too far");');
    const [stopped] = await stops(1);
    expect(stopped).toMatchObject({ reason: 'exception', threadId: 1 });
    expect(String(stopped!['text'])).toContain('RangeError: too far');
    await ask('continue', { threadId: 1 });
    expect((await cell).status).toBe('error');
    await ask('disconnect');
  });
});
