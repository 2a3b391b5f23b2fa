/** What an outsider tried last: odd results and errors, late work, imports, files of the system, ranks that differ, odd files. */
import { asyncFn, fn, frame, get, type Hostile, RIGHT, right } from './common.js';

const builtin = (name: string): string => `(process as any).getBuiltinModule('${name}')`;

const results: Hostile[] = [
  { name: 'shared memory for a result', source: fn('return new SharedArrayBuffer(16);'), verdict: 'wrong' },
  {
    name: 'shared memory that goes on changing',
    source: fn('const a = new Float32Array(new SharedArrayBuffer(16)); setInterval(() => { a[0]! += 1; }, 0); return a;'),
    verdict: 'wrong',
  },
  {
    name: 'list whose length is a lie',
    source: fn('return new (class extends Array { override get length() { return 1e9; } override set length(_: number) {} } as any)();'),
    verdict: 'wrong',
  },
  { name: 'list of four billion holes', source: fn('const r: any[] = []; r.length = 2 ** 32 - 1; return r;'), verdict: 'wrong' },
  {
    name: 'list whose entries are getters',
    source: fn("const r: any[] = [1]; Object.defineProperty(r, 0, { get() { throw new Error('entry'); } }); return r;"),
    verdict: 'runtime-error',
    says: 'entry',
  },
  {
    name: 'Proxy that says it is a tensor',
    source: fn('return new Proxy({}, { getPrototypeOf: () => Object.getPrototypeOf(t) });'),
    verdict: 'runtime-error',
  },
  {
    name: 'object of a million keys',
    source: fn('const r: any = {}; for (let i = 0; i < 1e6; i++) r[`key ${i}`] = i; return r;'),
    verdict: 'wrong',
  },
  {
    name: 'texts of a hundred megabytes',
    source: fn("return Array.from({ length: 1000 }, () => 'x'.repeat(1e5));"),
    verdict: 'wrong',
  },
  {
    name: 'texts that are longer when they are written',
    source: fn("return Array.from({ length: 12 }, () => '\\u0001'.repeat(1e5));"),
    verdict: 'wrong',
  },
  {
    name: 'text of half characters',
    source: fn("return { ['\\ud800']: '\\udfff'.repeat(1000), ['\\u0000\\u202e<script>']: t.mul(2) };"),
    verdict: 'wrong',
  },
  { name: 'bigint', source: fn('return 2n ** 4096n;'), verdict: 'wrong', says: 'bigint' },
  {
    name: 'generator that is asynchronous',
    source: 'export async function* double(t: any): any { yield t.mul(2); }',
    verdict: 'wrong',
  },
  {
    name: 'getter of then that throws',
    source: fn("return { get then() { throw new Error('no then'); } };"),
    verdict: 'runtime-error',
    says: 'no then',
  },
  {
    name: 'getter of then that is another one each time',
    source: fn('let n = 0; return { get then() { return n++ === 0 ? (ok: any) => ok(this) : undefined; }, a: t.mul(2) };'),
    verdict: 'wrong',
  },
  {
    name: 'tensor without end of wrappers',
    source: fn('return new Proxy(t.mul(2), { get: (o: any, k) => (k === "shape" ? new Proxy([4], { get: (s: any, i) => (i === "length" ? 1e8 : s[i]) }) : o[k]) });'),
    verdict: 'timeout',
  },
];

const errors: Hostile[] = [
  { name: 'throws nothing', source: fn('throw undefined;'), verdict: 'runtime-error' },
  { name: 'throws a symbol', source: fn("throw Symbol('\\u001b[2J');"), verdict: 'runtime-error' },
  {
    name: 'name that cannot be a text',
    source: fn("throw Object.assign(new Error('x'), { name: { toString() { throw new Error('y'); } } });"),
    verdict: 'runtime-error',
    says: 'cannot be read',
  },
  {
    name: 'message that exits',
    source: fn("throw { toString() { process.exit(0); } };"),
    verdict: 'crashed',
  },
  {
    name: 'message of escapes of all kinds',
    source: fn(
      "throw new Error('\\u009b2J\\u001b]8;;http://x\\u0007link\\u2066\\u2069\\u2028\\u2029\\u0085\\u007f\\ufeff\\u200f<img src=x onerror=alert(1)>]]>&amp;|a|\\n%0A::stop-commands::x\\n##[error]y\\r::add-mask::z\\n```\\n# head');",
    ),
    verdict: 'runtime-error',
  },
  {
    name: 'prints commands and pages',
    source: fn(
      "console.log('::stop-commands::x\\n::error file=a::b\\n\\u001b[31m<script>alert(1)</script>\\u202e\\u0000\\n```\\n##[set-env]'); console.error('::warning::\\u009b'); return t;",
    ),
    verdict: 'wrong',
  },
  {
    name: 'stack of other files',
    source: fn("const e = new Error('far'); e.stack = 'Error: far\\n    at double (/etc/passwd:1:1)\\n    at x (file:///submission/submission.mjs:999999999:1)\\n    at <anonymous>:-1:1'; throw e;"),
    verdict: 'runtime-error',
    says: 'far',
  },
  {
    name: 'many errors in one',
    source: fn("throw new AggregateError(Array.from({ length: 1e5 }, (_, i) => new Error(String(i))), '<b>all</b>');"),
    verdict: 'runtime-error',
  },
];

const late: Hostile[] = [
  { name: 'immediates without end after the answer', source: fn('const go = () => { setImmediate(go); }; go(); return t;').replace('setImmediate', '(globalThis as any).setImmediate'), verdict: 'wrong' },
  {
    name: 'errors nobody may hear of',
    source: fn("(process as any).setUncaughtExceptionCaptureCallback(() => {}); setTimeout(() => { throw new Error('a'); }, 1); return new Promise(() => {});"),
    verdict: 'never-settled',
  },
  {
    name: 'rejections nobody may hear of',
    source: fn("process.removeAllListeners('unhandledRejection'); process.on('unhandledRejection', () => {}); Promise.reject(new Error('a')); return new Promise(() => {});"),
    verdict: 'never-settled',
  },
  {
    name: 'error on the tick after the answer',
    source: fn("(process as any).nextTick(() => { throw new Error('tick'); }); return t;"),
    verdict: 'wrong',
  },
  {
    name: 'settles when it is asked the next time',
    source: 'let go: any;\nexport function double(t: any): any { go?.(t.mul(2)); return new Promise((ok) => { go = ok; }); }',
    verdict: 'never-settled',
  },
  {
    name: 'exit code of its own',
    source: fn("(process as any).exitCode = 0; process.emit('exit' as never); process.emit('beforeExit' as never); return t;"),
    verdict: 'never-settled',
  },
];

const doors: Hostile[] = [
  { name: 'hands on all of fs', source: `export * from 'node:fs';\n${fn(RIGHT)}`, verdict: 'compile-error', says: 'cannot be imported' },
  { name: 'hands on fs under a name', source: `export * as files from 'fs';\n${fn(RIGHT)}`, verdict: 'compile-error', says: 'cannot be imported' },
  { name: 'imports the grader', source: right("import * as g from 'shardbook/grader';\nconsole.log(g);"), verdict: 'compile-error' },
  { name: 'imports around the package', source: right("import * as g from 'shardbook/../dist/cli.js';\nconsole.log(g);"), verdict: 'compile-error' },
  { name: 'imports what it computes', source: asyncFn("const g = await import((['shardbook', 'grader'].join('/')) as any); return g;"), verdict: 'runtime-error' },
  { name: 'imports itself while it loads', source: `await import(import.meta.url);\n${fn('return t;')}`, verdict: 'load-error', says: 'never comes' },
  { name: 'is a class', source: 'export class double { constructor(t: any) { return t.mul(2); } }', verdict: 'runtime-error' },
  { name: 'says that its source is another', source: `${fn("throw new Error('named');")}\n//# sourceURL=/etc/passwd\n`, verdict: 'runtime-error', says: 'named' },
  { name: 'files of its own process', source: fn(`throw new Error(${builtin('fs')}.readFileSync('/proc/self/maps', 'utf8'));`), verdict: 'runtime-error' },
  { name: 'descriptors of its own process', source: fn(`throw new Error(${builtin('fs')}.readdirSync('/proc/self/fd').map((n: string) => ${builtin('fs')}.readlinkSync('/proc/self/fd/' + n)).join());`), verdict: 'runtime-error' },
  { name: 'asks who it is', source: fn('throw new Error(JSON.stringify([process.argv, process.execArgv, process.env, process.cwd(), process.title, (process as any).config, import.meta]));'), verdict: 'runtime-error' },
  { name: 'report of the process as a text', source: fn('const r = (process as any).report.getReport(); throw new Error(JSON.stringify([r.header, r.environmentVariables, r.sharedObjects, r.libuv]).slice(0, 3900));'), verdict: 'runtime-error' },
  { name: 'native code, tried again', source: fn("(process as any).dlopen({ exports: {} }, '/lib/x86_64-linux-gnu/libc.so.6'); return t;"), verdict: 'runtime-error' },
  { name: 'another program in its place', source: fn("(process as any).execve('/bin/sh', ['sh', '-c', 'echo pass'], {}); return t;"), verdict: 'runtime-error' },
  { name: 'environment from a file', source: fn("(process as any).loadEnvFile('/etc/passwd'); throw new Error(JSON.stringify(process.env));"), verdict: 'runtime-error' },
  { name: 'database', source: asyncFn(`const { DatabaseSync } = ${get('node:sqlite')}; new DatabaseSync('/tmp/kept.db').exec('create table a (b)'); throw new Error('written');`), verdict: 'runtime-error' },
  { name: 'trace of events as a file', source: asyncFn(`${get('trace_events')}.createTracing({ categories: ['node', 'v8'] }).enable(); return t;`), verdict: 'wrong' },
  { name: 'heap as a file', source: asyncFn(`${get('v8')}.writeHeapSnapshot('/tmp/heap'); return t;`), verdict: 'runtime-error' },
  { name: 'standard input', source: fn(`throw new Error('read ' + ${builtin('fs')}.readFileSync(0).length);`), verdict: 'runtime-error' },
  { name: 'debugger by a signal', source: fn("process.kill(process.pid, 'SIGUSR1'); const end = Date.now() + 200; while (Date.now() < end); return t;"), verdict: 'wrong' },
  { name: 'flags of the engine', source: asyncFn(`${get('v8')}.setFlagsFromString('--stack-size=65500'); const deep = (n: number): number => 1 + deep(n + 1); return deep(0);`), verdict: 'runtime-error', says: 'call stack' },
];

const ranks: Hostile[] = [
  { name: 'one rank dies while the other waits', source: fn('if (comm.rank === 1) process.abort(); comm.recv(t, 1); return t;'), verdict: 'crashed', says: 'rank 1' },
  { name: 'one rank throws while the other loops', source: fn("if (comm.rank === 1) throw new Error('one'); for (;;);"), verdict: 'runtime-error', says: 'one' },
  { name: 'one rank returns while the other waits', source: fn('if (comm.rank === 1) return t; comm.recv(t, 1); return t;'), verdict: 'deadlock' },
  { name: 'one rank never settles', source: fn('return comm.rank === 1 ? new Promise(() => {}) : t.mul(2);'), verdict: 'never-settled', says: 'rank 1' },
  { name: 'ranks share a flood', source: fn("for (let i = 0; i < 900; i++) (comm.rank === 0 ? console.log : console.error)('x'.repeat(60)); return t;"), verdict: 'wrong' },
  { name: 'receives into what is smaller by then', source: fn('const x = t.clone(); const w = comm.irecv(x, 1 - comm.rank); Object.defineProperty(x, "shape", { value: [1e6] }); comm.send(t, 1 - comm.rank); w.wait(); return x;'), verdict: 'protocol-error', says: 'fewer bytes' },
  { name: 'tag that is an object', source: fn("comm.isend(t, 1 - comm.rank, { toString() { throw new Error('tag'); } }); return t;"), verdict: 'wrong' },
  { name: 'rank that is almost one', source: fn('comm.send(t, 0.5); return t;'), verdict: 'runtime-error' },
  { name: 'rank that is a text', source: fn("comm.send(t, '__proto__'); return t;"), verdict: 'runtime-error' },
];

const nb = (...list: object[]): string => JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells: list });
const code = (source: unknown, more: object = {}): object => ({ cell_type: 'code', metadata: {}, source, outputs: [], ...more });

const files: Hostile[] = [
  { name: 'notebook with one id twice', source: nb(code(fn(RIGHT), { id: 'exercise-double' }), code(fn('return t;'), { id: 'exercise-double' })), kind: '.ipynb', verdict: 'wrong' },
  { name: 'notebook with a NUL', source: nb(code(`// exercise: double\n${fn('return t;')}\u0000`)), kind: '.ipynb', verdict: 'compile-error' },
  { name: 'notebook of half characters', source: nb(code(`// exercise: double \ud800\n${fn("return '\udfff\ud800';")}`)), kind: '.ipynb', verdict: 'wrong' },
  { name: 'notebook whose cell is raw', source: nb({ ...code(fn(RIGHT), { id: 'exercise-double' }), cell_type: 'raw' }), kind: '.ipynb', verdict: 'not-attempted' },
  { name: 'notebook whose tags are no list', source: nb(code('const a = 1;', { metadata: { tags: { includes: 1, length: 1, 0: 'exercise:double' } } }), code('const b = 1;', { metadata: { tags: 'exercise:double' } })), kind: '.ipynb', verdict: 'not-attempted' },
  { name: 'notebook of lines that are no text', source: nb(code([`// exercise: double\n`, null, 5, { a: 1 }])), kind: '.ipynb', verdict: 'load-error', says: 'exports nothing' },
  { name: 'notebook of an older time', source: JSON.stringify({ nbformat: 3, worksheets: [{ cells: [{ cell_type: 'code', input: fn(RIGHT) }] }] }), kind: '.ipynb', verdict: 'compile-error' },
  { name: 'notebook with large outputs and attachments', source: nb(code(`// exercise: double\n${fn('return t;')}`, { outputs: [{ output_type: 'display_data', data: { 'image/png': 'A'.repeat(2e6), 'text/html': '<script>' } }] }), { cell_type: 'markdown', metadata: {}, attachments: { 'a.png': { 'image/png': 'B'.repeat(2e6) } }, source: '' }), kind: '.ipynb', verdict: 'wrong' },
  { name: 'notebook that is a list', source: '[[[]]]', kind: '.ipynb', verdict: 'compile-error' },
  { name: 'UTF-16, tried again', source: Uint8Array.from([0xff, 0xfe, ...[...fn(RIGHT)].flatMap((c) => [c.charCodeAt(0), 0])]), verdict: 'compile-error' },
  { name: 'nothing but a mark of the byte order', source: '\ufeff', verdict: 'load-error' },
  { name: 'MyST with fences in fences', source: `~~~~{code-cell}\n// exercise: double\n\`\`\`\n${fn('return t;')}\n~~~~\n`, kind: '.md', verdict: 'compile-error' },
  { name: 'folder of names that command', source: { 'double.ts': fn('throw new Error("a");'), '\u001b[2J\u202ea.ts': 'export {};', '\n::error::b.ts': 'export {};', '__proto__.ts': 'export {};', 'constructor.ts': 'export {};' }, verdict: 'runtime-error' },
  { name: 'folder of names that differ in case', source: { 'double.ts': `import { f } from './Double.js';\n${fn('return f(t);')}`, 'Double.ts': 'export const f = (t: any): any => t;' }, verdict: 'wrong' },
  { name: 'folder of very long names', source: { 'double.ts': `import './${'x'.repeat(200)}.js';\n${fn('return t;')}`, [`${'x'.repeat(200)}.ts`]: 'export {};' }, verdict: 'wrong' },
  { name: 'folder very deep', source: { 'double.ts': fn('return t;'), [`${'d/'.repeat(60)}x.ts`]: 'export {};' }, verdict: 'compile-error' },
  { name: 'name of the file is a page', file: '"><script>alert(1)</script>\u001b[2J&.ts', source: fn("throw new Error('a');"), verdict: 'runtime-error' },
  { name: 'name of the file turns around', file: '\u202est.krow\n::error::x.ts', source: fn('let x: = 1;'), verdict: 'compile-error' },
];

const T = "tensors: [{ dtype: 'float32', shape: [4] }], inputs: [], aliased: false";
const returned = (more: string, body = ''): string =>
  asyncFn(frame(`send({ type: 'returned', run: 1, value: { tensor: 0 }, ${T}, ${more} }${body}); for (;;);`));
const says = (header: string, body = ''): string => asyncFn(frame(`send(${header}${body}); for (;;);`));
const zeros = ', new Uint8Array(16)';

const frames: Hostile[] = [
  { name: 'hands over compiled code of its own', source: says("{ type: 'ready' }", ', new Uint8Array(100000)'), verdict: 'protocol-error', says: 'out of turn' },
  { name: 'hands over compiled code while it loads', source: `${frame("send({ type: 'ready' }, new Uint8Array(100000)); send({ type: 'loaded' }); const end = Date.now() + 500; while (Date.now() < end);")}\n${fn('return t;')}`, verdict: 'protocol-error', says: 'out of turn' },
  { name: 'loaded twice', source: `${frame("send({ type: 'loaded' }); const end = Date.now() + 500; while (Date.now() < end);")}\n${fn('return t;')}`, verdict: 'protocol-error', says: 'out of turn' },
  { name: 'returned while it loads', source: `${frame("send({ type: 'returned', run: 1, value: null, tensors: [], inputs: [], aliased: false });")}\n${fn('return t;')}`, verdict: 'wrong', says: 'has ' },
  { name: 'measures what nobody asked for', source: says("{ type: 'measure', run: 1 }"), verdict: 'protocol-error', says: 'out of turn' },
  { name: 'shape of no number', source: returned("tensors: [{ dtype: 'float32', shape: [Number.NaN] }]", zeros), verdict: 'protocol-error' },
  { name: 'shape of halves', source: returned("tensors: [{ dtype: 'float32', shape: [0.5, 8] }]", zeros), verdict: 'protocol-error' },
  { name: 'shape that overflows', source: returned("tensors: [{ dtype: 'float32', shape: [1e308, 1e308, 0] }]", zeros), verdict: 'protocol-error' },
  { name: 'shape that is a text', source: returned("tensors: [{ dtype: 'float32', shape: '4' }]", zeros), verdict: 'protocol-error' },
  { name: 'tensors that are no list', source: returned("tensors: { length: 1, 0: { dtype: 'float32', shape: [4] } }", zeros), verdict: 'protocol-error' },
  { name: 'inputs that are not there', source: returned('inputs: undefined', zeros), verdict: 'protocol-error' },
  { name: 'tensor number __proto__', source: returned("value: { tensor: '__proto__' }", zeros), verdict: 'protocol-error' },
  { name: 'number that is none', source: returned("value: { number: '__proto__' }", zeros), verdict: 'wrong' },
  { name: 'words that are pages', source: returned("value: { other: '<script>\\u001b[2J'.repeat(10000) }", zeros), verdict: 'wrong' },
  { name: 'entries that are prototypes', source: returned("value: { entries: [['__proto__', { entries: [['isHostTensor', true]] }], ['values', 1], ['shape', { list: [4] }], ['dtype', 'float32']] }", zeros), verdict: 'wrong' },
  { name: 'entries that are no pairs', source: returned('value: { entries: [1, null, {}] }', zeros), verdict: 'protocol-error' },
  { name: 'value of two kinds', source: returned('value: { tensor: 0, list: [], undefined: true }', zeros), verdict: 'wrong' },
  { name: 'header that is a prototype', source: asyncFn(frame("const b = new TextEncoder().encode('{\"__proto__\":{\"type\":\"returned\",\"run\":1}}'); const p = new Uint8Array(8); p[0] = b.length; fs.writeSync(3, p); fs.writeSync(3, b); for (;;);")), verdict: 'protocol-error' },
  { name: 'header that is no UTF-8', source: asyncFn(frame('const p = new Uint8Array(12); p[0] = 4; p.fill(255, 8); fs.writeSync(3, p); for (;;);')), verdict: 'protocol-error' },
  { name: 'failure of nothing', source: says("{ type: 'threw', run: 1, failure: null }"), verdict: 'runtime-error' },
  { name: 'failure of numbers', source: says("{ type: 'threw', run: 1, failure: { name: 5, message: { a: 1 }, stack: [] } }"), verdict: 'runtime-error' },
  { name: 'failure of a megabyte', source: says("{ type: 'threw', run: 1, failure: { name: '\\u001b'.repeat(9e4), message: '<script>'.repeat(3e4), stack: '' } }"), verdict: 'runtime-error' },
  { name: 'collective of a crowd', source: says("{ type: 'collective', run: 1, handle: 0, call: { op: 'allReduce', group: 'g', ranks: Array.from({ length: 1e5 }, (_, i) => i), seq: 0, tensors: [] } }"), verdict: 'protocol-error' },
  { name: 'collective without an order', source: says("{ type: 'collective', run: 1, handle: 0, call: { op: '__proto__', group: null, ranks: [0, 1], seq: 'x', tensors: null } }"), verdict: 'protocol-error' },
  { name: 'handle that is a prototype', source: says("{ type: 'send', run: 1, handle: '__proto__', peer: 1 - comm.rank, tensor: { dtype: 'uint8', shape: [0] } }"), verdict: 'protocol-error' },
  { name: 'receives from itself', source: says("{ type: 'recv', run: 1, handle: 0, peer: comm.rank, tensor: { dtype: 'uint8', shape: [1] } }"), verdict: 'timeout' },
  { name: 'store that waits for nothing', source: says("{ type: 'store', run: 1, handle: 0, call: { op: 'wait', keys: [], timeoutMs: -1 } }"), verdict: 'timeout' },
  { name: 'says that it has results of its own', source: returned("aliased: { toString: 1 }, again: 'yes'", zeros), verdict: 'wrong', says: 'has 0' },
];

export const oddities: Hostile[] = [...results, ...errors, ...late, ...doors, ...ranks, ...files, ...frames];
