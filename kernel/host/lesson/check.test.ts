import { describe, expect, it } from 'vitest';
import type { CellOutput, ExecuteOptions, ExecuteResult } from '../session/index.js';
import { checkLesson, type LessonSession, outputText } from './check.js';
import { parseLesson } from './parse.js';

const HEAD =
  '---\nid: l\ntitle: L\nlayer: 0\ncovers: []\nrequires: []\nteaches: []\nminutes: 1\nworld: 2\n---\n';
const cell = (source: string, output?: string, tags = ''): string =>
  `\`\`\`{code-cell} typescript\n${tags}${source}\n\`\`\`\n${output === undefined ? '' : `\n\`\`\`{output}\n${output}\n\`\`\`\n`}`;

/** A session whose cells print their source; "throw" fails, "hang" ends only when it is interrupted. */
class EchoSession implements LessonSession {
  stopped = false;
  private release = (): void => {};

  async execute(code: string, { onOutput }: ExecuteOptions = {}): Promise<ExecuteResult> {
    const base = { executionCount: 1, payload: [], userExpressions: {} };
    if (code === 'hang')
      await new Promise<void>((resolve) => {
        this.release = resolve;
      });
    if (code === 'throw') {
      const error = { ename: 'Error', evalue: 'no', traceback: ['\u001b[31mError\u001b[0m: no'] };
      onOutput?.({ type: 'error', ...error, ranks: [0, 1] });
      return { ...base, status: 'error', error };
    }
    onOutput?.({ type: 'stream', name: 'stdout', text: `${code}\n`, ranks: [0, 1] });
    return { ...base, status: 'ok' };
  }

  async interrupt() {
    this.release();
    return { kept: [], restarted: [] };
  }

  async shutdown(): Promise<void> {
    this.stopped = true;
  }
}

async function problems(body: string): Promise<(string | undefined)[]> {
  const session = new EchoSession();
  const checks = await checkLesson(parseLesson(HEAD + body, 'l.md'), {
    start: async () => session,
    cellSeconds: 0.05,
  });
  expect(session.stopped).toBe(true);
  return checks.map(
    ({ problem }) => problem && [`${problem.line}: ${problem.message}`, ...problem.diff].join('\n'),
  );
}

describe('checkLesson()', () => {
  it('passes cells whose output is as the lesson says, and cells without a stated output', async () => {
    expect(await problems(cell('a = 1', 'a = 1') + cell('b'))).toEqual([undefined, undefined]);
  });

  it('names the line of the first expected line that differs, with a diff', async () => {
    expect(await problems(cell('a\nb', 'a\nc'))).toEqual([
      '18: the output differs from what the lesson says\n  a\n- c\n+ b',
    ]);
  });

  it('goes on after a cell that failed', async () => {
    expect(await problems(cell('throw') + cell('b', 'b'))).toEqual([
      '12: the cell failed\n+ Error: no',
      undefined,
    ]);
  });

  it('wants a cell tagged raises-exception to fail, and compares its error', async () => {
    const tags = ':tags: [raises-exception]\n';
    expect(await problems(cell('throw', 'Error: no', tags) + cell('b', undefined, tags))).toEqual([
      undefined,
      '21: the cell ran, but it is tagged raises-exception\n+ b',
    ]);
  });

  it('interrupts a cell that does not end', async () => {
    expect(await problems(cell('hang'))).toEqual([
      '12: the cell did not end in time and was interrupted\n+ hang',
    ]);
  });
});

describe('outputText()', () => {
  it('takes the plain text of displays, in their newest form, and forgets what was cleared', () => {
    const show = (text: string): CellOutput => ({
      type: 'display_data',
      data: { 'text/plain': text },
      metadata: {},
      displayId: 'd',
      ranks: [],
    });
    const outputs: CellOutput[] = [
      { type: 'stream', name: 'stdout', text: 'gone\n', ranks: [] },
      { type: 'clear_output', wait: false, ranks: [] },
      show('one'),
      { type: 'update_display_data', data: { 'text/plain': 'two' }, metadata: {}, displayId: 'd', ranks: [] },
    ];
    expect(outputText(outputs)).toBe('two\n');
  });
});
