import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { CellOutput, ExecuteOptions, ExecuteResult, SessionApi } from '../session/index.js';
import { type NotebookFile, readNotebook, runNotebook, worldOf, writeNotebook } from './index.js';

const folder = mkdtempSync(path.join(tmpdir(), 'shardbook-notebook-'));
afterAll(() => rmSync(folder, { recursive: true }));

const fenced = (name: string, body: string): string => `\`\`\`{${name}} typescript\n${body}\n\`\`\``;

/** A session that says what its script says for each source. */
function scripted(script: Record<string, CellOutput[]>): { session: SessionApi; ran: string[] } {
  const ran: string[] = [];
  const session = {
    async execute(code: string, options: ExecuteOptions): Promise<ExecuteResult> {
      ran.push(code);
      const outputs = script[code] ?? [];
      for (const output of outputs) options.onOutput?.(output);
      const error = outputs.find((output) => output.type === 'error');
      return {
        status: error ? 'error' : 'ok',
        executionCount: ran.length,
        payload: [],
        userExpressions: {},
      };
    },
  } as unknown as SessionApi;
  return { session, ran };
}

const cell = (source: string | string[], tags: string[] = []) => ({
  cell_type: 'code',
  source,
  metadata: { tags },
  outputs: [{ output_type: 'stream' as const, name: 'stdout' as const, text: 'old' }],
});
const notebook = (...cells: NotebookFile['cells']): NotebookFile => ({
  nbformat: 4,
  nbformat_minor: 5,
  metadata: {},
  cells,
});
const says = (text: string): CellOutput => ({ type: 'stream', name: 'stdout', text, ranks: [0] });
const fails: CellOutput = { type: 'error', ename: 'E', evalue: 'no', traceback: ['E: no'], ranks: [0] };

test('outputs are written back: streams joined, updates in the cell that showed them, old outputs gone', async () => {
  const shown = (type: 'display_data' | 'update_display_data', text: string): CellOutput => ({
    type,
    data: { 'text/plain': text },
    metadata: {},
    displayId: 'd',
    ranks: [0],
  });
  const { session } = scripted({
    a: [says('one '), says('two'), shown('display_data', 'before')],
    b: [shown('update_display_data', 'after'), { type: 'clear_output', wait: true, ranks: [0] }, says('x')],
  });
  const file = notebook(cell(['a']), cell('b'), { cell_type: 'markdown', source: 'text', metadata: {} });
  const report = await runNotebook(file, 'n.ipynb', session);
  expect(report).toEqual({ ran: 2, failed: [] });
  expect(file.cells[0]!.outputs).toEqual([
    { output_type: 'stream', name: 'stdout', text: 'one two' },
    { output_type: 'display_data', data: { 'text/plain': 'after' }, metadata: {} },
  ]);
  expect(file.cells[1]!.outputs).toEqual([{ output_type: 'stream', name: 'stdout', text: 'x' }]);
  expect(file.cells[1]!.execution_count).toBe(2);
});

test('a cell that fails stops the run unless errors are allowed or its tag expects one', async () => {
  const cells = () =>
    notebook(cell('bad', ['raises-exception']), cell('skipped', ['skip-execution']), cell('bad'), cell('c'));
  const first = scripted({ bad: [fails] });
  expect(await runNotebook(cells(), 'n.ipynb', first.session)).toEqual({ ran: 2, failed: [3] });
  expect(first.ran).toEqual(['bad', 'bad']);
  const second = scripted({ bad: [fails] });
  expect(await runNotebook(cells(), 'n.ipynb', second.session, { allowErrors: true })).toEqual({
    ran: 3,
    failed: [3],
  });
});

test('parameters go behind the cell of that tag and replace earlier ones', async () => {
  const file = notebook(cell('var n = 1', ['parameters']), cell('old', ['injected-parameters']), cell('n'));
  const { session, ran } = scripted({});
  await runNotebook(file, 'n.ipynb', session, { parameters: { n: '5' } });
  expect(ran).toEqual(['var n = 1', '// Parameters\nvar n = 5;', 'n']);
  await expect(runNotebook(file, 'n.ipynb', session, { parameters: { 'a b': '1' } })).rejects.toThrow(
    'no name',
  );
});

test('MyST notebooks of any front matter are read; files that are no notebooks are refused', () => {
  const md = path.join(folder, 'plain.md');
  writeFileSync(
    md,
    `---\nkernelspec:\n  name: shardbook\nworld: 2\n---\n# Title\n\n${fenced('code-cell', 'const a = 1')}\n`,
  );
  const read = readNotebook(md);
  expect(worldOf(read)).toBe(2);
  expect(read.cells.map(({ cell_type: type, source }) => [type, source])).toEqual([
    ['markdown', '# Title'],
    ['code', 'const a = 1'],
  ]);
  const broken = path.join(folder, 'broken.ipynb');
  writeFileSync(broken, '{');
  expect(() => readNotebook(broken)).toThrow('it is no JSON');
  writeFileSync(broken, '{"nbformat": 3, "worksheets": []}');
  expect(() => readNotebook(broken)).toThrow('its format is 3');
  expect(() => readNotebook(path.join(folder, 'none.ipynb'))).toThrow('ENOENT');
});

test('what is not known of a file is kept', () => {
  const file = path.join(folder, 'kept.ipynb');
  const given = { ...notebook({ ...cell('a'), id: 'x', attachments: {} }), extra: 1 };
  writeFileSync(file, JSON.stringify(given));
  writeNotebook(file, readNotebook(file));
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(given);
});
