/** The debugger on real rank threads: needs dist/. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Session } from '../session/index.js';
import { type Content, DebugAdapter } from './adapter.js';
import { murmur2 } from './murmur2.js';

test('murmur2 gives what front ends compute', () => {
  // Known values of MurmurHash2 with seed 0, one for each remainder of the length by 4.
  expect(['', 'a', 'ab', 'abc', 'abcd'].map((text) => murmur2(text, 0))).toEqual([
    0, 2456313694, 446775395, 324500635, 646393889,
  ]);
});

const folder = mkdtempSync(join(tmpdir(), 'shardbook-debugger-'));
let session: Session;
let adapter: DebugAdapter;
const events: Content[] = [];
let wake = () => {};

beforeAll(async () => {
  session = await Session.start({ world: 2, cwd: folder });
  adapter = new DebugAdapter(session.debugging, (event) => {
    events.push(event);
    wake();
  });
}, 120_000);

afterAll(async () => {
  await adapter.stop();
  await session.shutdown();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

// What a test leaves standing would hold up the next one.
afterEach(async () => {
  await adapter.stop();
  events.length = 0;
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

/** Runs a cell up to the breakpoints; `ranks` of them stand there. */
async function runTo(code: string, breakpoints: Content[], ranks: number) {
  await ask('initialize');
  await ask('attach');
  const { sourcePath } = await ask('dumpCell', { code });
  await ask('setBreakpoints', { source: { path: sourcePath }, breakpoints });
  const cell = session.execute(code);
  await stops(ranks);
  const frameOf = async (threadId: number) =>
    ((await ask('stackTrace', { threadId }))['stackFrames'] as Content[])[0]!;
  const scopesOf = async (threadId: number) =>
    (await ask('scopes', { frameId: (await frameOf(threadId))['id'] }))['scopes'] as Content[];
  const finish = async () => {
    await ask('setBreakpoints', { source: { path: sourcePath }, breakpoints: [] });
    await ask('continue', { threadId: 1 });
    expect((await cell).status).toBe('ok');
    await ask('disconnect');
  };
  return { frameOf, scopesOf, finish };
}

const inside = async ({ variablesReference }: Content) =>
  (await ask('variables', { variablesReference }))['variables'] as Content[];

async function shownBy(code: string): Promise<unknown> {
  const texts: unknown[] = [];
  const { error } = await session.execute(code, {
    onOutput: (output) => {
      if (output.type === 'execute_result') texts.push(output.data['text/plain']);
      if (output.type === 'stream') texts.push(output.text);
    },
  });
  return error ? `${error.ename}: ${error.evalue}` : texts.join('');
}

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
    await ask('initialize');
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

  test('debugInfo promises what the debugger can do', async () => {
    expect(await ask('debugInfo')).toMatchObject({
      copyToGlobals: true,
      richRendering: true,
      breakpoints: [],
    });
    expect(await ask('initialize')).toMatchObject({
      supportsSetVariable: true,
      supportsModulesRequest: true,
    });
    await ask('disconnect');
  });

  test('setVariable: locals, what is inside of them, and variables of earlier cells', async () => {
    await session.execute('let earlier = 1; const table = new Map([["a", 1]]);');
    const { scopesOf, finish } = await runTo(
      '{\n  let small = 1;\n  const held = { deep: [1] };\n  console.log(small, held.deep, earlier, table.get("a"));\n}',
      [{ line: 4 }],
      2,
    );
    for (const threadId of [1, 2]) {
      const [locals, globals] = await scopesOf(threadId);
      const { variablesReference } = locals!;
      const set = await ask('setVariable', {
        variablesReference,
        name: 'small',
        value: `small + ${threadId}`,
      });
      expect(set).toMatchObject({ value: String(1 + threadId), variablesReference: 0 });
      const held = (await inside(locals!)).find(({ name }) => name === 'held')!;
      const [deep] = await inside(held);
      await ask('setVariable', {
        variablesReference: deep!['variablesReference'],
        name: '0',
        value: '[7, 8]',
      });
      const global = { variablesReference: globals!['variablesReference'], name: 'earlier', value: '50' };
      expect(await ask('setVariable', global)).toMatchObject({ value: '50' });
      const table = (await inside(globals!)).find(({ name }) => name === 'table')!;
      expect(table).toMatchObject({ type: 'Map' });
    }
    await finish();
    expect(await shownBy('earlier')).toBe('50');
  });

  test('setVariable between cells: on all ranks that share the variable, or on one', async () => {
    await session.execute('%reset\nlet same = 1; let own = rank; const box = { deep: new Map([["k", 1]]) };');
    const root = { variablesReference: 0 };
    expect(await ask('setVariable', { ...root, name: 'same', value: '5' })).toMatchObject({ value: '5' });
    const variables = (await ask('inspectVariables'))['variables'] as Content[];
    const find = (name: string) => variables.find((each) => each['name'] === name)!;
    const { variablesReference } = find('own');
    await ask('setVariable', { variablesReference, name: 'rank 1', value: '"one"' });
    const [deep] = await inside(find('box'));
    await inside(deep!);
    const entry = { variablesReference: deep!['variablesReference'], name: "'k'", value: 'same + 1' };
    expect(await ask('setVariable', entry)).toMatchObject({ value: '6' });
    expect(await shownBy('console.log(same, own, box.deep)')).toBe(
      "[rank 0] 5 0 Map(1) { 'k' => 6 }\n[rank 1] 5 one Map(1) { 'k' => 6 }\n",
    );
    for (const bad of [{ ...root, name: 'a b' }, { name: 'same', variablesReference: 99_999 }, {}]) {
      const args = { value: '1', ...bad };
      const reply = await adapter.request({ command: 'setVariable', arguments: args });
      expect(reply).toMatchObject({ success: false });
    }
  });

  test('copyToGlobals: the next cell knows the variable, on every rank that stood there', async () => {
    const { frameOf, scopesOf, finish } = await runTo(
      'function local(x: number): number {\n  const inner = x * 2;\n  return inner;\n}\nlocal(rank + 4);',
      [{ line: 3 }],
      2,
    );
    const { id: srcFrameId } = await frameOf(2);
    await ask('copyToGlobals', { srcVariableName: 'inner', dstVariableName: 'outer', srcFrameId });
    const globals = await inside((await scopesOf(2))[1]!);
    expect(names(globals)).toMatchObject({ outer: '10' });
    await finish();
    expect(await shownBy('console.log(outer + 1)')).toBe('[rank 0] 9\n[rank 1] 11\n');
  });

  test('a variable at a breakpoint is rendered as a cell would show it', async () => {
    const { frameOf, finish } = await runTo(
      '{\n  const page = { "text/html": "<b>bold</b>", "text/plain": "bold" };\n  console.log(page);\n}',
      [{ line: 3 }],
      2,
    );
    const { id: frameId } = await frameOf(1);
    expect(await ask('richInspectVariables', { variableName: 'page', frameId })).toMatchObject({
      data: { 'text/html': '<b>bold</b>', 'text/plain': 'bold' },
    });
    expect(await ask('richInspectVariables', { variableName: '1 + 1', frameId })).toMatchObject({
      data: { 'text/plain': '2' },
    });
    await finish();
  });

  test('evaluate assigns variables of earlier cells', async () => {
    await session.execute('let counter = 1');
    const { frameOf, finish } = await runTo('const q = 1;\nconsole.log(q);', [{ line: 2 }], 2);
    const { id: frameId } = await frameOf(1);
    expect(await ask('evaluate', { expression: 'counter += rank + 9', frameId })).toMatchObject({
      result: '10',
    });
    await finish();
    expect(await shownBy('console.log(counter)')).toBe('[rank 0] 10\n[rank 1] 1\n');
  });

  test('a breakpoint in a file that a cell imports stops there; the file is a module with a source', async () => {
    const text =
      'export interface Unused {\n  x: number;\n}\n\nexport function half(x: number): number {\n  const result = x / 2;\n\n  return result;\n}\n';
    const path = join(folder, 'helper.ts');
    writeFileSync(path, text);
    await ask('initialize');
    await ask('attach');
    const early = await ask('setBreakpoints', { source: { path }, breakpoints: [{ line: 7 }] });
    expect(early).toMatchObject({ breakpoints: [{ verified: false, line: 7 }] });
    const cell = session.execute("import { half } from './helper.ts';\nhalf(rank + 4)");
    await stops(2);
    expect(events.filter(({ event }) => event === 'breakpoint')).toMatchObject([
      { body: { reason: 'changed', breakpoint: { verified: true, line: 8 } } },
    ]);
    const frames = (await ask('stackTrace', { threadId: 2 }))['stackFrames'] as Content[];
    expect(frames[0]).toMatchObject({ name: '[rank 1] half', line: 8, source: { name: 'helper.ts', path } });
    const [locals] = (await ask('scopes', { frameId: frames[0]!['id'] }))['scopes'] as Content[];
    const shown = await inside(locals!);
    expect(names(shown)).toEqual({ x: '5', result: '2.5' });
    // JupyterLab would show the type in place of the value.
    expect(shown.map(({ type }) => type)).toEqual([undefined, undefined]);
    expect(await ask('modules')).toMatchObject({ modules: [{ name: 'helper.ts', path }], totalModules: 1 });
    expect(await ask('source', { source: { path } })).toMatchObject({ content: text });
    expect(await ask('loadedSources')).toMatchObject({ sources: expect.arrayContaining([{ path }]) });
    await ask('continue', { threadId: 1 });
    expect((await cell).status).toBe('ok');
    expect(
      await ask('setBreakpoints', { source: { path }, breakpoints: [{ line: 2 }, { line: 99 }] }),
    ).toMatchObject({ breakpoints: [{ verified: true, line: 5 }, { verified: false }] });
    await ask('disconnect');
  });
});
