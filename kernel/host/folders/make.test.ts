import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { makeFolder } from './index.js';

const root = mkdtempSync(join(tmpdir(), 'folders-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('makeFolder() makes what is missing, and leaves what is there', () => {
  for (let i = 0; i < 2; i++) makeFolder(join(root, 'a/b c/ü'));
  expect(statSync(join(root, 'a/b c/ü')).isDirectory()).toBe(true);
  symlinkSync(join(root, 'a'), join(root, 'link'));
  makeFolder(join(root, 'link'));
  makeFolder('/');
});

test('makeFolder() says what is in the way', () => {
  writeFileSync(join(root, 'file'), '');
  symlinkSync(join(root, 'nowhere'), join(root, 'dangling'));
  expect(() => makeFolder(join(root, 'file'))).toThrow('EEXIST');
  expect(() => makeFolder(join(root, 'file/below/it'))).toThrow('ENOTDIR');
  expect(() => makeFolder(join(root, 'dangling/below'))).toThrow('EEXIST');
});

test.runIf(process.platform === 'linux')('makeFolder() comes back where no folder can be made', () => {
  expect(() => makeFolder('/proc/shardbook/below')).toThrow(
    expect.objectContaining({ code: 'EROFS', path: '/proc/shardbook' }),
  );
});
