/** Submissions that look for what is not theirs. */
import { type Hostile, asyncFn, fn, get } from './common.js';

/** What is stolen would be thrown, so that it stands in the report. */
export const theft: Hostile[] = [
  {
    name: 'reads /etc/passwd',
    source: asyncFn(`throw new Error(${get('fs')}.readFileSync('/etc/passwd', 'utf8'));`),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'reads the environment',
    source: asyncFn("throw new Error('env ' + Object.keys(process.env).filter((k) => k !== 'PWD').length);"),
    verdict: 'runtime-error',
    says: 'env 0',
  },
  {
    name: 'reads /proc',
    source: asyncFn(`throw new Error(${get('fs')}.readFileSync('/proc/self/environ', 'utf8'));`),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'lists the solutions',
    source: asyncFn(`throw new Error(String(${get('fs')}.readdirSync('/shardbook/solutions')));`),
    verdict: 'runtime-error',
    says: 'no such file',
  },
  {
    name: 'looks for the checks',
    source: asyncFn(
      `const fs = ${get('fs')}; const all = fs.readdirSync('/shardbook/dist/chunks').map((n: string) => fs.readFileSync('/shardbook/dist/chunks/' + n, 'utf8')).join(''); throw new Error('checks ' + (all.includes('sameAs' + 'Reference') || all.includes('derive' + 'Seed')));`,
    ),
    verdict: 'runtime-error',
    says: 'checks false',
  },
  {
    name: 'looks at its arguments',
    source: asyncFn(
      "throw new Error('argv ' + process.argv.join() + ' ' + process.execArgv.some((a) => /seed|check/.test(a)));",
    ),
    verdict: 'runtime-error',
    says: 'node false',
  },
  {
    name: 'follows a symbolic link',
    source: asyncFn(`${get('fs')}.symlinkSync('/etc/passwd', '/tmp/x');`),
    verdict: 'runtime-error',
    says: 'fs.symlink',
  },
  {
    name: 'network',
    source: asyncFn(
      `const net = ${get('net')}; await new Promise((ok, no) => net.connect(80, '127.0.0.1').on('connect', ok).on('error', no));`,
    ),
    verdict: 'runtime-error',
    says: 'EPERM',
  },
  {
    name: 'name lookup',
    source: asyncFn(`await ${get('dns')}.promises.lookup('localhost.localdomain');`),
    verdict: 'runtime-error',
    says: 'EAI_AGAIN',
  },
  {
    name: 'unix socket',
    source: asyncFn(
      `const net = ${get('net')}; await new Promise((ok, no) => net.createServer().on('error', no).listen('\\0abstract', ok));`,
    ),
    verdict: 'runtime-error',
    says: 'EPERM',
  },
  {
    name: 'fetch',
    source: asyncFn("await fetch('http://127.0.0.1/');"),
    verdict: 'runtime-error',
    says: 'fetch failed',
  },
  {
    name: 'inspector',
    source: asyncFn(
      `const i = ${get('inspector')}; i.open(0, '127.0.0.1'); throw new Error('url ' + i.url());`,
    ),
    verdict: 'runtime-error',
  },
  {
    name: 'vm',
    source: asyncFn(
      `throw new Error(${get('vm')}.runInNewContext("this.constructor.constructor('return process')().pid", {}) + '');`,
    ),
    verdict: 'runtime-error',
  },
  {
    name: 'data: import',
    source: asyncFn(
      "const m = await import(('data:text/javascript,export default 1') as any); throw new Error('data ' + m.default);",
    ),
    verdict: 'runtime-error',
    says: 'data 1',
  },
  { name: 'sqlite', source: asyncFn(`${get('node:sqlite')};`), verdict: 'runtime-error', says: 'sqlite' },
  {
    name: 'native code',
    source: asyncFn("process.dlopen({ exports: {} } as any, '/lib/x86_64-linux-gnu/libc.so.6');"),
    verdict: 'runtime-error',
  },
  {
    name: 'another user',
    source: asyncFn('(process as any).setuid(0);'),
    verdict: 'runtime-error',
    says: 'nvalid argument',
  },
  {
    name: 'a debugger for the grader',
    source: fn('(process as any)._debugProcess(1); for (;;);'),
    verdict: 'timeout',
  },
];

