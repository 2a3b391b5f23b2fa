import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { command } from './start.js';

describe('shardbook start', () => {
  it('refuses options that make no sense, naming them', async () => {
    const cases: [string[], string][] = [
      [['--port', 'abc'], 'Cannot start: --port is "abc", want a whole number from 0 to 65535'],
      [['--port', '70000'], 'Cannot start: --port is "70000"'],
      [['--world', '0'], 'Cannot start: --world is "0", want a whole number from 1 to 64'],
      [['--world', '10000'], 'Cannot start: --world is "10000"'],
      [['--wrold', '4'], "Cannot start: Unknown option '--wrold'"],
      [['--lessons', 'no-such'], 'Cannot start: --lessons is "no-such", and there is no manifest.yaml in it'],
      [['--dir', 'no-such'], 'Cannot start: --dir is "no-such", and there is no exercises in it'],
      [['extra'], 'Cannot start: Unexpected argument'],
    ];
    for (const [args, message] of cases)
      await expect(command.run(args), args.join(' ')).rejects.toThrow(message);
  });

  it('says that the port it was told to use is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const workspace = mkdtempSync(join(tmpdir(), 'shardbook-start-'));
    try {
      const starting = command.run(['--port', String(port), '--workspace', workspace, '--no-open']);
      // Without a built app that is said first; both are errors of starting, before anything runs.
      await expect(starting).rejects.toThrow(
        /Cannot serve at port \d+: it is in use|Cannot find the browser app/,
      );
    } finally {
      taken.close();
      rmSync(workspace, { recursive: true, force: true });
    }
  });
});
