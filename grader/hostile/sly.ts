/** Third thoughts: names and forms that intake must see through, tensors that are none, what stays when the answer is given. */
import { asyncFn, cells, fn, frame, get, type Hostile, RIGHT, repeat, right } from './common.js';

const LIBRARY = "import { Tensor, torch } from 'shardbook';\n";
const fence = repeat('`', 3);
const cell = (text: string, options = '', end = fence): string =>
  `${fence}{code-cell} typescript\n${options}${text}\n${end}\n`;

export const forms: Hostile[] = [
  {
    name: 'source called as the compiled module is',
    file: 'submission.mjs',
    source: fn('return t;'),
    verdict: 'wrong',
  },
  { name: 'source called as the harness is', file: 'harness.mjs', source: fn('return t;'), verdict: 'wrong' },
  {
    name: 'source called as the runtime without what is to be written',
    file: 'shardbook.given.mjs',
    source: fn('return t;'),
    verdict: 'wrong',
  },
  { name: 'source called package.json', file: 'package.json', source: '{"type":"commonjs"}', verdict: 'compile-error' },
  { name: 'CommonJS by its name', file: 'work.cts', source: fn('return t;'), verdict: 'wrong' },
  { name: 'declarations by its name', file: 'work.d.ts', source: fn('return t;'), verdict: 'wrong' },
  {
    name: 'name of escapes, markup and other scripts',
    file: '\u001b[31m<b>::error::\u202e\u5f20\u4f1f .ts',
    source: fn("throw new Error('named');"),
    verdict: 'runtime-error',
    says: 'named',
  },
  { name: 'byte order mark', source: `\ufeff${fn('return t;')}`, verdict: 'wrong' },
  { name: 'lines end as on Windows', source: fn('return t;').replaceAll('\n', '\r\n'), verdict: 'wrong' },
  {
    name: 'UTF-16',
    source: new Uint8Array(Buffer.from(`\ufeff${fn(RIGHT)}`, 'utf16le')),
    verdict: 'compile-error',
    says: 'not UTF-8',
  },
  {
    name: 'MyST of Windows, with options',
    source: cell(fn('return t;'), ':tags: [exercise:double]\n').replaceAll('\n', '\r\n'),
    kind: '.md',
    verdict: 'wrong',
  },
  {
    name: 'MyST option with a line separator',
    source: cell(fn('return t;'), ':tags: [exercise:double] \u2028\n'),
    kind: '.md',
    verdict: 'wrong',
  },
  {
    name: 'MyST options between lines',
    source: cell(fn('return t;'), '---\ntags:\n  - exercise:double\n---\n'),
    kind: '.md',
    verdict: 'wrong',
  },
  {
    name: 'MyST cell that is only shown',
    source: `\`\`\`\`\n${cell(fn(RIGHT))}\`\`\`\`\n`,
    kind: '.md',
    verdict: 'not-attempted',
  },
  {
    name: 'MyST of a hundred thousand cells',
    source: cell('').repeat(100_000),
    kind: '.md',
    verdict: 'compile-error',
    says: 'at most 2000',
  },
  {
    name: 'notebook of millions of levels',
    source: repeat('[', 8_000_000),
    kind: '.ipynb',
    verdict: 'compile-error',
    says: 'too deeply',
  },
  {
    name: 'notebook with a part of megabytes',
    source: JSON.stringify({
      nbformat: 4,
      cells: [
        { cell_type: 'code', id: 'exercise-double', source: fn('return t;') },
        { cell_type: 'code', metadata: { tags: [`exercise:double/\u202e<script>${repeat('x', 3e6)}`] }, source: '1' },
      ],
    }),
    kind: '.ipynb',
    verdict: 'wrong',
  },
  {
    name: 'notebook of magics',
    source: cells(`// exercise: double\n${repeat('%%a\n', 40_000)}${fn('return t;')}`),
    kind: '.ipynb',
    verdict: 'wrong',
  },
  {
    name: 'hidden checks told by their shapes',
    source: fn('return t.shape.length === 1 ? t.mul(2) : t.mul(2.0001);'),
    verdict: 'wrong',
    says: 'numbers',
  },
];

export const lies: Hostile[] = [
  {
    name: 'number of elements that lies',
    source: fn('const r = t.mul(2); r.numel = () => 0; return r;'),
    verdict: 'protocol-error',
    says: 'fewer bytes',
  },
  {
    name: 'dtype that lies',
    source: fn('const r = t.mul(2); Object.defineProperty(r, "dtype", { value: { name: "float64", itemsize: 4 } }); return r;'),
    verdict: 'protocol-error',
    says: 'fewer bytes',
  },
  {
    name: 'strides that lie',
    source: fn('const r = t.mul(2); Object.defineProperty(r, "strides", { value: [1e6] }); return r;'),
    verdict: 'runtime-error',
  },
  {
    name: 'storage that is another',
    source: fn('const r = t.mul(2); Object.defineProperty(r, "storage", { value: { buffer: new ArrayBuffer(8) } }); return r;'),
    verdict: 'protocol-error',
  },
  {
    name: 'memory that is given away',
    source: fn('const r = t.mul(2); structuredClone(r.storage.buffer, { transfer: [r.storage.buffer] }); return r;'),
    verdict: 'runtime-error',
    says: 'detached',
  },
  {
    name: 'version that is turned back',
    source: fn('t.mul_(2); t.versionCounter.value--; return t.clone();'),
    verdict: 'wrong',
    says: 'changed its input',
  },
  {
    name: 'clone that copies nothing',
    source: LIBRARY + fn('(Tensor as any).prototype.clone = function () { return this; }; return t.mul_(2);'),
    verdict: 'wrong',
    says: 'changed its input',
  },
  {
    name: 'empty that is always the same',
    source: `${LIBRARY}const kept = torch.empty([4]);\n${fn('(torch as any).empty = () => kept; return t;')}`,
    verdict: 'wrong',
  },
  {
    name: 'input put back when it is too late',
    source: fn('const k = t.clone(); t.mul_(2); setTimeout(() => t.copy_(k), 0); return t.clone();'),
    verdict: 'wrong',
    says: 'changed its input',
  },
  { name: 'generator', source: `export function* double(t: any) { return t.mul(2); }`, verdict: 'wrong' },
  {
    name: 'Proxy that is revoked',
    source: fn('const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy;'),
    verdict: 'runtime-error',
    says: 'revoked',
  },
  {
    name: 'thrown Proxy that is revoked',
    source: fn('const { proxy, revoke } = Proxy.revocable(new Error(), {}); revoke(); throw proxy;'),
    verdict: 'runtime-error',
    says: 'cannot be read',
  },
  {
    name: 'stack that takes forever',
    source: fn('const e = new Error("a"); Object.defineProperty(e, "stack", { get() { for (;;); } }); throw e;'),
    verdict: 'timeout',
  },
  { name: 'text without end', source: fn("let s = 'x'; for (;;) s += s;"), verdict: 'runtime-error', says: 'Invalid string' },
  {
    name: 'ticks without end',
    source: fn('const go = () => { (process as any).nextTick(go); }; go(); return new Promise(() => {});'),
    verdict: 'timeout',
  },
  {
    name: 'one line without end',
    source: fn("const s = 'x'.repeat(1 << 20); for (;;) (process as any).stdout.write(s);"),
    verdict: 'output-limit',
  },
  {
    name: 'prints when it exits',
    source: fn("process.on('exit', () => { for (;;) console.log('pass'); }); return t;"),
    verdict: 'wrong',
  },
  {
    name: 'watches without end',
    source: asyncFn(`const fs = ${get('fs')}; for (;;) fs.watch('/submission');`),
    verdict: 'memory-limit',
  },
];

export const doors: Hostile[] = [
  {
    name: 'createRequire',
    source: asyncFn(`return ${get('module')}.createRequire('/x.js')('/etc/passwd');`),
    verdict: 'runtime-error',
    says: 'Cannot find module',
  },
  {
    name: 'loader of its own',
    source: asyncFn(`${get('module')}.register('data:text/javascript,export function load() { for (;;); }'); return t;`),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'import.meta.resolve',
    source: fn("throw new Error((import.meta as any).resolve('shardbook'));"),
    verdict: 'runtime-error',
    says: 'Cannot find package',
  },
  {
    name: 'root folder',
    source: asyncFn(`throw new Error(${get('fs')}.readdirSync('/').join());`),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'datagrams',
    source: asyncFn(
      `const s = ${get('dgram')}.createSocket('udp4'); await new Promise((ok, no) => { s.on('error', no); s.send('x', 9, '127.0.0.1', (e: any) => (e ? no(e) : ok(0))); });`,
    ),
    verdict: 'runtime-error',
    says: 'EPERM',
  },
  {
    name: 'cluster',
    source: asyncFn(
      `const { default: cluster } = ${get('cluster')}; cluster.setupPrimary({ exec: '/tmp/x.js' }); cluster.fork(); throw new Error('forked');`,
    ),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'WASI',
    source: asyncFn(`new (${get('wasi')}.WASI)({ version: 'preview1', preopens: { '/': '/' } });`),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'report of the process as a file',
    source: fn("(process as any).report.writeReport('/tmp/a.json'); return t;"),
    verdict: 'runtime-error',
    says: 'restricted',
  },
];

const long = "'x\\u001b'.repeat(100000)";

export const channel: Hostile[] = [
  {
    name: 'tells the other rank by not fitting',
    source: fn(
      'const peer = 1 - comm.rank; try { const w = comm.isend(t.narrow(0, 0, 0).reshape([0, 77]), peer); comm.recv(t.clone(), peer); w.wait(); } catch {} return t.mul(2);',
    ),
    verdict: 'runtime-error',
    says: 'the error was caught',
  },
  {
    name: 'waits ahead of time',
    source: asyncFn(frame("send({ type: 'wait', run: 1, handle: 7 }); for (;;);")),
    verdict: 'protocol-error',
    says: 'has not begun',
  },
  {
    name: 'one number for two operations',
    source: asyncFn(
      frame(
        "for (let i = 0; i < 2; i++) send({ type: 'recv', run: 1, handle: 7, peer: 1 - comm.rank, tensor: { dtype: 'uint8', shape: [1] } }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'one number',
  },
  {
    name: 'deadlock of a megabyte',
    source: asyncFn(
      frame(
        `send({ type: 'collective', run: 1, handle: 0, call: { op: ${long}, group: 'g', ranks: [0, 1], seq: comm.rank, tensors: [] } }); send({ type: 'wait', run: 1, handle: 0 }); for (;;);`,
      ),
    ),
    verdict: 'deadlock',
  },
  {
    name: 'dtype of a megabyte',
    source: asyncFn(
      frame(`send({ type: 'recv', run: 1, handle: 0, peer: 1 - comm.rank, tensor: { dtype: ${long}, shape: [] } }); for (;;);`),
    ),
    verdict: 'protocol-error',
    says: 'of no kind',
  },
  {
    name: 'line that is none',
    source: asyncFn(
      frame("send({ type: 'threw', run: 1, failure: { name: 'E', message: 'm', stack: 'at /work.ts:' + '9'.repeat(400) + ':1' } }); for (;;);"),
    ),
    verdict: 'runtime-error',
    says: 'E: m',
  },
  {
    name: 'speaks when another world is asked',
    source: asyncFn(
      frame(
        "if (comm.rank === 1) setInterval(() => { for (let run = 2; run < 9; run++) send({ type: 'send', run, handle: 0, peer: 0, tensor: { dtype: 'uint8', shape: [0] } }); }, 1); await new Promise((ok) => setTimeout(ok, 100)); return t.mul(2);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'out of turn',
  },
  {
    name: 'import that nobody uses',
    source: right("import fs from 'node:fs';\nimport type { Stats } from 'node:fs';\nconst s: Stats | 1 = fs as any;"),
    verdict: 'compile-error',
    says: 'cannot be imported',
  },
];

export const sly: Hostile[] = [...forms, ...lies, ...doors, ...channel];
