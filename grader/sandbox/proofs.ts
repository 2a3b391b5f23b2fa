/** Proves each layer of the sandbox by attempting the escape that it is there to stop. */
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cage, type Launch } from './cage.js';
import { type CagedOutput, runCaged, sandboxState } from './detect.js';
import { makeKit } from './kit.js';

export interface Proof {
  readonly layer: string;
  readonly attempt: string;
  readonly held: boolean;
  /** What was seen. */
  readonly seen: string;
}

const MEMORY_MB = 128;

/** Tries to get out. Undefined when there is no sandbox to get out of. */
export async function proveSandbox(packageRoot: string): Promise<Proof[] | undefined> {
  const { recipe } = await sandboxState(packageRoot);
  if (recipe === undefined) return undefined;
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-proof-')));
  const secret = join(folder, 'secret.txt');
  const inner = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-inner-')));
  writeFileSync(secret, 'secret');
  writeFileSync(join(inner, 'own.txt'), 'own');
  let calls = 0;
  const server = createServer((socket) => {
    calls++;
    socket.destroy();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const port = (server.address() as { port: number }).port;
  const cage = new Cage(makeKit(packageRoot), inner, recipe, { memoryMb: MEMORY_MB, ranks: 1 });
  const run = (script: string, more: Partial<Launch> = {}): Promise<CagedOutput> =>
    runCaged(cage, { args: ['-e', script], folder: inner, memoryMb: MEMORY_MB, bare: true, ...more }, 15);
  const says = async (script: string, more: Partial<Launch> = {}): Promise<string> => {
    const { output, errors, signal, code } = await run(script, more);
    return (output || errors.split('\n').find((line) => /Error/.test(line)) || signal || `exit code ${code}`)
      .trim()
      .slice(0, 120);
  };
  const attemptAndSay = (code: string): string =>
    `try { ${code}; console.log('done'); } catch (e) { console.log(e.code ?? e.message); }`;
  try {
    const proofs: Proof[] = [];
    const prove = (layer: string, attempt: string, seen: string, held: boolean): void =>
      void proofs.push({ layer, attempt, seen, held });
    const connect = `require('net').connect(${port}, '127.0.0.1').on('connect', () => { console.log('done'); process.exit(); }).on('error', (e) => { console.log(e.code ?? e.message); process.exit(); })`;
    const connected = await says(connect, { noSeccomp: true });
    prove('network', 'connect to a server on this machine', connected, calls === 0 && connected !== 'done');
    const read = await says(attemptAndSay(`require('fs').readFileSync(${JSON.stringify(secret)})`));
    prove('files', 'read a file of this user', read, read === 'ENOENT');
    const wrote = await says(attemptAndSay(`require('fs').writeFileSync('/shardbook/dist/index.js', '')`));
    prove('read-only', 'write to the runtime', wrote, wrote === 'EROFS' || wrote === 'EACCES');
    const filled = await says(
      attemptAndSay(
        `for (let i = 0; i < 64; i++) require('fs').writeFileSync('/tmp/' + i, Buffer.alloc(2 ** 20))`,
      ),
    );
    prove('tmpfs', 'write 64 MiB of files', filled, filled === 'ENOSPC');
    const environment = await says(`console.log(Object.keys(process.env).filter((k) => k !== 'PWD').length)`);
    prove('environment', 'read environment variables', `${environment} there`, environment === '0');
    const user = await says(`console.log(process.getuid(), require('os').hostname())`);
    prove('user', 'be another user', `uid ${user}`, user === '65534 sandbox');
    const signalled = await says(attemptAndSay(`process.kill(${process.pid}, 0)`));
    prove('processes', 'signal the grader', signalled, signalled === 'ESRCH');
    if (recipe.seccomp) {
      const forked = await says(
        `const r = require('child_process').spawnSync(process.execPath, ['-e', '0']); console.log(r.error?.code ?? 'done')`,
      );
      prove('seccomp', 'start a process', forked, forked === 'EPERM');
      const socket = await says(connect);
      prove('seccomp', 'make a socket', socket, socket === 'EPERM');
    }
    const opened = await says(
      attemptAndSay(`for (let i = 0; i < 1000; i++) require('fs').openSync('/dev/null')`),
    );
    prove('rlimits', 'open 1000 files', opened, opened === 'EMFILE');
    const spun = await run('for (;;);', { cpuSeconds: 1 });
    prove(
      'rlimits',
      'compute for ever',
      spun.signal ?? 'it went on',
      !spun.timedOut && spun.signal !== undefined,
    );
    const large = await run(
      `require('fs').writeFileSync('/tmp/large', Buffer.alloc(17 * 2 ** 20)); console.log('done')`,
    );
    const largeSeen = large.signal ?? (large.output.trim() || 'an error');
    prove('rlimits', 'write one file of 17 MiB', largeSeen, largeSeen !== 'done');
    if (cage.layers.includes('control groups')) {
      const threads = await says(
        `const { Worker } = require('worker_threads'); let n = 0; const next = () => { if (n === 200) { console.log('done'); process.exit(); } try { new Worker('setInterval(() => {}, 1e3)', { eval: true, stdout: true, stderr: true }).on('online', () => { n++; next(); }).on('error', (e) => { console.log('refused after', n); process.exit(); }); } catch (e) { console.log('refused after', n); process.exit(); } }; next();`,
      );
      prove('control groups', 'start 200 threads', threads, threads !== 'done');
      const memory = await run(
        `const a = []; for (let i = 0; i < 200; i++) a.push(Buffer.alloc(2 ** 22, 1)); console.log('done')`,
        { memoryMb: 4096 },
      );
      prove(
        'control groups',
        `use 800 MiB where ${MEMORY_MB} are allowed`,
        memory.signal ?? (memory.output.trim() || 'an error'),
        memory.output.trim() !== 'done',
      );
    }
    const permitted = await says(attemptAndSay(`require('fs').readFileSync('/dev/urandom', { flag: 'r' })`), {
      bare: false,
    });
    prove('permission model', 'read outside of its folders', permitted, permitted === 'ERR_ACCESS_DENIED');
    const running = runCaged(
      cage,
      { args: ['-e', 'for (;;);'], folder: inner, memoryMb: MEMORY_MB, bare: true },
      0.3,
    );
    prove(
      'ended as a whole',
      'outlive the grading',
      (await running).timedOut ? 'ended' : 'it ended itself',
      (await running).timedOut,
    );
    return proofs;
  } finally {
    server.close();
    await cage.close();
    rmSync(folder, { recursive: true, force: true });
    rmSync(inner, { recursive: true, force: true });
  }
}
