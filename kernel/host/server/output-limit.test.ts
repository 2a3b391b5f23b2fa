import { expect, test } from 'vitest';
import type { WireMessage } from './kernel-port.js';
import { OutputLimit } from './output-limit.js';

function message(type: string, cell: string, text = ''): WireMessage {
  const header = {
    msg_id: `${type}-${cell}`,
    msg_type: type,
    username: '',
    session: '',
    date: '',
    version: '5.4',
  };
  return {
    channel: 'iopub',
    header,
    parent_header: { ...header, msg_id: cell, msg_type: 'execute_request' },
    metadata: {},
    content: type === 'stream' ? { name: 'stdout', text } : {},
    buffers: [],
  };
}

const textOf = (sent: WireMessage | undefined) => sent?.content['text'] as string | undefined;

test('what a cell prints beyond the limit is cut once, told, and then withheld; other messages pass', () => {
  const limit = new OutputLimit();
  const chunk = `${'x'.repeat(149_999)}\n`;
  expect(textOf(limit.pass(message('stream', 'a', chunk)))).toBe(chunk);
  expect(textOf(limit.pass(message('stream', 'a', chunk)))).toBe(chunk);
  const cut = textOf(limit.pass(message('stream', 'a', chunk)))!;
  expect(cut.length).toBeLessThan(chunk.length);
  expect(cut).toContain('the rest is not shown');
  expect(limit.pass(message('stream', 'a', 'more\n'))).toBeUndefined();
  expect(limit.pass(message('execute_result', 'a'))).toBeDefined();
  expect(textOf(limit.pass(message('stream', 'b', 'short\n')))).toBe('short\n');
});

test('a cell that empties its output begins anew', () => {
  const limit = new OutputLimit();
  for (let i = 0; i < 10; i++) {
    expect(textOf(limit.pass(message('stream', 'a', 'x'.repeat(300_000))))).toHaveLength(300_000);
    expect(limit.pass(message('clear_output', 'a'))).toBeDefined();
  }
});
