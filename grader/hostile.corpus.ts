/**
 * Submissions that are broken or hostile, of every kind that grader.md names, each with the verdict that it must get. They ask for
 * `double(t)` with `comm: links`; what it says is looked for in the feedback. Written to be read: each is one idea.
 */
import type { Verdict } from './verdict.js';

export interface Hostile {
  readonly name: string;
  /** A source, bytes, or files of a folder. */
  readonly source: string | Uint8Array | Readonly<Record<string, string>>;
  readonly verdict: Verdict;
  readonly says?: string;
  /** Extension when it is no .ts file. */
  readonly kind?: '.ts' | '.ipynb' | '.md' | '.zip';
}

const fn = (body: string): string => `export function double(t: any, comm: any): any {\n${body}\n}`;
const asyncFn = (body: string): string => fn(body).replace('function', 'async function');
/** An import that intake does not see. */
const get = (name: string): string => `(await import(${[...name].map((c) => `'${c}'`).join('+')} as any))`;
const RIGHT = 'return t.mul(2);';
const right = (before: string): string => `${before}\n${fn(RIGHT)}`;
const cells = (...sources: unknown[]): string =>
  JSON.stringify({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {},
    cells: sources.map((source) => ({ cell_type: 'code', metadata: {}, source })),
  });
const repeat = (text: string, times: number): string => text.repeat(times);

const broken: Hostile[] = [
  { name: 'stub', source: fn("throw new Error('not yet');"), verdict: 'runtime-error', says: 'not yet' },
  {
    name: 'syntax error',
    source: 'export function double(t { return',
    verdict: 'compile-error',
    says: 'does not parse',
  },
  { name: 'empty file', source: '', verdict: 'load-error', says: 'it exports nothing' },
  {
    name: 'no export',
    source: 'function double(t: any) { return t.mul(2); }',
    verdict: 'load-error',
    says: 'it exports nothing',
  },
  {
    name: 'export of another type',
    source: 'export const double = 2;',
    verdict: 'load-error',
    says: 'wanted a function',
  },
  { name: 'export of a class', source: 'export class double {}', verdict: 'runtime-error', says: 'without' },
  {
    name: 'not UTF-8',
    source: new Uint8Array([0xff, 0xfe, 0x00, 0x80]),
    verdict: 'compile-error',
    says: 'not UTF-8',
  },
  { name: 'bidi characters', source: `// \u202e\n${fn(RIGHT)}`, verdict: 'compile-error', says: 'direction' },
  {
    name: 'bidi isolates',
    source: fn(`const s = '\u2066x\u2069'; ${RIGHT}`),
    verdict: 'compile-error',
    says: 'direction',
  },
  { name: 'returns undefined', source: fn(''), verdict: 'wrong', says: 'is undefined' },
  { name: 'returns null', source: fn('return null;'), verdict: 'wrong' },
  { name: 'returns a number', source: fn('return 2;'), verdict: 'wrong', says: 'is 2' },
  { name: 'returns a string', source: fn("return 'tensor';"), verdict: 'wrong' },
  { name: 'returns a bigint', source: fn('return 2n;'), verdict: 'wrong', says: 'bigint' },
  { name: 'returns a list', source: fn('return [t.mul(2)];'), verdict: 'wrong', says: 'an array' },
  {
    name: 'only rank 0 right',
    source: fn(`return comm.rank === 0 ? t.mul(2) : t;`),
    verdict: 'wrong',
    says: 'Rank 1',
  },
  { name: 'NaN', source: fn('return t.mul(NaN);'), verdict: 'wrong', says: 'NaN' },
  { name: 'Infinity', source: fn('return t.mul(Infinity);'), verdict: 'wrong', says: 'nfinity' },
  { name: 'off by 1e-5', source: fn('return t.mul(2.00002);'), verdict: 'wrong' },
  { name: 'off by one bit', source: fn('return t.mul(2 * (1 + 2 ** -22));'), verdict: 'wrong' },
  { name: 'another dtype', source: fn('return t.mul(2).double();'), verdict: 'wrong', says: 'dtype' },
  { name: 'short output', source: fn('return t.mul(2).narrow(0, 0, 3);'), verdict: 'wrong', says: 'f32[3]' },
  {
    name: 'another shape',
    source: fn('return t.mul(2).reshape([2, 2]);'),
    verdict: 'wrong',
    says: 'f32[2, 2]',
  },
  {
    name: 'mutates the input',
    source: fn('t.mul_(2); return t.clone();'),
    verdict: 'wrong',
    says: 'changed its input',
  },
  {
    name: 'aliases the input',
    source: fn('return t.mul_(2).mul_(1);'),
    verdict: 'wrong',
    says: 'changed its input',
  },
  {
    name: 'right on the first call only',
    source: `let calls = 0;\n${fn('return calls++ < 2 ? t.mul(2) : t.clone();')}`,
    verdict: 'wrong',
    says: 'numbers',
  },
  {
    name: 'hard-coded public answer',
    source: fn('return t.shape.length === 1 && t.shape[0] === 4 ? t.mul(2) : t.mul(0);'),
    verdict: 'wrong',
    says: 'numbers',
  },
  {
    name: 'random',
    source: "import { torch } from 'shardbook';\n" + fn('return torch.rand(t.shape);'),
    verdict: 'wrong',
  },
  {
    name: 'recursion without end',
    source: fn('return double(t, comm);'),
    verdict: 'runtime-error',
    says: 'Maximum call stack',
  },
  { name: 'throws a string', source: fn("throw 'text';"), verdict: 'runtime-error', says: 'text' },
  { name: 'throws null', source: fn('throw null;'), verdict: 'runtime-error', says: 'null' },
  {
    name: 'throws what cannot be read',
    source: fn('throw { get message() { throw 1; }, toString() { throw 2; } };'),
    verdict: 'runtime-error',
    says: 'cannot be read',
  },
  {
    name: 'throws a Proxy',
    source: fn('throw new Proxy(new Error(), { get() { throw new Error("no"); } });'),
    verdict: 'runtime-error',
  },
  {
    name: 'throws at import',
    source: "throw new Error('not today');",
    verdict: 'load-error',
    says: 'not today',
  },
  {
    name: 'message of ten megabytes',
    source: fn("throw new Error('x'.repeat(1e7));"),
    verdict: 'runtime-error',
  },
  {
    name: 'imports a file that is not there',
    source: right("import './other.js';"),
    verdict: 'compile-error',
    says: 'cannot be imported',
  },
  {
    name: 'imports a file of the machine',
    source: right("import '/etc/passwd';"),
    verdict: 'compile-error',
    says: 'cannot be imported',
  },
  {
    name: 'imports a package',
    source: right("import 'lodash';"),
    verdict: 'compile-error',
    says: 'cannot be imported',
  },
  {
    name: 'imports data:',
    source: right("import 'data:text/javascript,1';"),
    verdict: 'compile-error',
    says: 'cannot be imported',
  },
  {
    name: 'imports over the network',
    source: right("import 'https://localhost/x.js';"),
    verdict: 'compile-error',
    says: 'cannot be imported',
  },
  {
    name: 'imports a module of Node',
    source: right("import fs from 'node:fs';\nfs.readFileSync('/etc/passwd');"),
    verdict: 'compile-error',
    says: 'cannot be imported',
  },
  { name: 'too long', source: `//${repeat('x', 300_000)}`, verdict: 'compile-error', says: 'at most 262144' },
  {
    name: 'nested too deeply',
    source: `export const double = ${repeat('[', 60_000)}${repeat(']', 60_000)};`,
    verdict: 'compile-error',
    says: 'nested too deeply',
  },
];

const time: Hostile[] = [
  { name: 'loop in the call', source: fn('for (;;);'), verdict: 'timeout', says: 'had not returned' },
  { name: 'loop at import', source: 'for (;;);', verdict: 'timeout', says: 'had not loaded' },
  {
    name: 'waits at import',
    source: `await new Promise((done) => setTimeout(done, 1e6));\n${fn(RIGHT)}`,
    verdict: 'timeout',
    says: 'had not loaded',
  },
  {
    name: 'promise that never settles',
    source: fn('return new Promise(() => {});'),
    verdict: 'never-settled',
  },
  { name: 'thenable that never calls', source: fn('return { then() {} };'), verdict: 'never-settled' },
  {
    name: 'thenable that throws',
    source: fn("return { then() { throw new Error('then'); } };"),
    verdict: 'runtime-error',
    says: 'then',
  },
  {
    name: 'thenable of itself',
    source: fn('const a: any = { then(f: any) { f(a); } }; return a;'),
    verdict: 'timeout',
  },
  {
    name: 'promise under a timer',
    source: fn('setInterval(() => {}, 1e3); return new Promise(() => {});'),
    verdict: 'timeout',
  },
  {
    name: 'regular expression',
    source: fn(`/^(a+)+$/.test('${repeat('a', 40)}!'); ${RIGHT}`),
    verdict: 'timeout',
  },
  {
    name: 'sparse array',
    source: fn(
      'const a: any[] = []; a[4e9] = 1; a.length = 4294967295; a.sort().map((x) => x); a.join(); for (const x of a); return t;',
    ),
    verdict: 'timeout',
  },
  {
    name: 'wasm loop',
    source: fn(
      'const bytes = new Uint8Array([0,97,115,109,1,0,0,0,1,4,1,96,0,0,3,2,1,0,8,1,0,10,9,1,7,0,3,64,12,0,11,11]); new WebAssembly.Instance(new WebAssembly.Module(bytes)); return t;',
    ),
    verdict: 'timeout',
  },
  {
    name: 'Atomics.wait',
    source: fn('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);'),
    verdict: 'timeout',
  },
  {
    name: 'ignores SIGTERM',
    source: fn(
      "for (const s of ['SIGTERM', 'SIGINT', 'SIGHUP']) (process as any).on(s, () => {}); for (;;);",
    ),
    verdict: 'timeout',
  },
  {
    name: 'microtasks without end',
    source: fn('const go = (): void => { Promise.resolve().then(go); }; go(); return new Promise(() => {});'),
    verdict: 'timeout',
  },
  {
    name: 'timer flood',
    source: fn('const go = () => { setImmediate(go); }; go(); return new Promise(() => {});'),
    verdict: 'timeout',
  },
  { name: 'BigInt power', source: fn('let n = 3n; for (;;) n = n * n;'), verdict: 'timeout' },
];

const resources: Hostile[] = [
  {
    name: 'heap',
    source: fn('const a: any[] = []; for (;;) a.push(new Array(1e6).fill(a.length));'),
    verdict: 'memory-limit',
  },
  {
    name: 'ArrayBuffers',
    source: fn('const a: any[] = []; for (;;) a.push(new Uint8Array(3e7).fill(1));'),
    verdict: 'memory-limit',
  },
  {
    name: 'strings',
    source: fn(
      "const a: string[] = []; for (;;) a.push(JSON.stringify(new Array(1e5).fill('0123456789abcdef' + a.length)));",
    ),
    verdict: 'memory-limit',
  },
  {
    name: 'tensors',
    source:
      "import { torch } from 'shardbook';\n" +
      fn('const a: any[] = []; for (;;) a.push(torch.ones([1000, 1000]));'),
    verdict: 'memory-limit',
  },
  {
    name: 'WebAssembly memory',
    source: fn(
      'const a: any[] = []; for (;;) { const m = new WebAssembly.Memory({ initial: 500 }); new Uint8Array(m.buffer).fill(1); a.push(m); }',
    ),
    verdict: 'memory-limit',
  },
  { name: 'stdout flood', source: fn("for (;;) console.log('x'.repeat(1000));"), verdict: 'output-limit' },
  { name: 'stderr flood', source: fn("for (;;) console.error('x'.repeat(1000));"), verdict: 'output-limit' },
  { name: 'flood at import', source: "for (;;) console.log('x'.repeat(1000));", verdict: 'output-limit' },
  {
    name: 'file descriptors',
    source: asyncFn(`const fs = ${get('fs')}; for (;;) fs.openSync('/submission/submission.mjs');`),
    verdict: 'runtime-error',
    says: 'EMFILE',
  },
  {
    name: 'disk',
    source: asyncFn(`${get('fs')}.writeFileSync('/tmp/a', 'x');`),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'fork bomb',
    source: asyncFn(`const { fork } = ${get('child_process')}; for (;;) fork('/submission/submission.mjs');`),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'worker bomb',
    source: asyncFn(
      `const { Worker } = ${get('worker_threads')}; for (;;) new Worker('for(;;);', { eval: true });`,
    ),
    verdict: 'runtime-error',
    says: 'restricted',
  },
];

const exits: Hostile[] = [
  { name: 'exit 0 at import', source: 'process.exit(0);', verdict: 'crashed', says: 'exit code 0' },
  { name: 'exit 0 in the call', source: fn('process.exit(0);'), verdict: 'crashed', says: 'exit code 0' },
  {
    name: 'exit while it waits',
    source: asyncFn(
      `setTimeout(() => process.exit(0), 0); await new Promise((done) => setTimeout(done, 200)); ${RIGHT}`,
    ),
    verdict: 'crashed',
  },
  {
    name: 'reallyExit',
    source: fn('(process as any).reallyExit(0);'),
    verdict: 'crashed',
    says: 'exit code 0',
  },
  { name: 'abort', source: fn('process.abort();'), verdict: 'crashed' },
  {
    name: 'kills itself',
    source: fn("process.kill(process.pid, 'SIGKILL'); for (;;);"),
    verdict: 'crashed',
    says: 'SIGKILL',
  },
  {
    name: 'kills its parent',
    source: fn("process.kill(process.ppid, 'SIGKILL'); for (;;);"),
    verdict: 'timeout',
  },
  {
    name: 'kills everything',
    source: fn("try { process.kill(-1, 'SIGKILL'); } catch {} for (;;);"),
    verdict: 'timeout',
  },
  { name: 'stops itself', source: fn("process.kill(process.pid, 'SIGSTOP'); for (;;);"), verdict: 'timeout' },
  {
    name: 'unhandled rejection',
    source: fn("Promise.reject(new Error('later')); return new Promise(() => {});"),
    verdict: 'runtime-error',
    says: 'later',
  },
  {
    name: 'error in a timer',
    source: fn("setTimeout(() => { throw new Error('tick'); }, 1); return new Promise(() => {});"),
    verdict: 'runtime-error',
    says: 'tick',
  },
  {
    name: 'destroys the process object',
    source: fn('(globalThis as any).process = undefined; return t;'),
    verdict: 'wrong',
  },
];

const tampering: Hostile[] = [
  { name: 'JSON.stringify', source: fn("JSON.stringify = () => '{}'; return t;"), verdict: 'protocol-error' },
  { name: 'JSON.parse', source: fn("JSON.parse = () => ({ type: 'run' }); return t;"), verdict: 'wrong' },
  {
    name: 'Math',
    source: `for (const k of Object.getOwnPropertyNames(Math)) try { (Math as any)[k] = () => 1; } catch {}\n${fn('return t;')}`,
    verdict: 'wrong',
  },
  {
    name: 'typed arrays',
    source: fn('(Uint8Array.prototype as any).set = () => {}; return t;'),
    verdict: 'protocol-error',
  },
  {
    name: 'Object.is and isFinite',
    source: `Object.is = () => true; Number.isFinite = () => true;\n${fn('return t;')}`,
    verdict: 'wrong',
  },
  {
    name: 'Symbol.hasInstance',
    source:
      "import { Tensor } from 'shardbook';\n" +
      fn(
        "Object.defineProperty(Tensor, Symbol.hasInstance, { value: () => true }); return { dtype: { name: 'float32' }, shape: [4] };",
      ),
    verdict: 'runtime-error',
  },
  { name: 'closes the channel', source: asyncFn(`${get('fs')}.closeSync(3); return t;`), verdict: 'crashed' },
  {
    name: 'Proxy for a result',
    source: fn(
      'return new Proxy(t.mul(2), { get(o: any, k) { if (k === "shape") throw new Error("no"); return o[k]; } });',
    ),
    verdict: 'runtime-error',
  },
  {
    name: 'Proxy for a list',
    source: fn('return new Proxy([], { get(o: any, k) { return k === "length" ? 1e9 : o[k]; } });'),
    verdict: 'wrong',
  },
  {
    name: 'getter that throws',
    source: fn("return { get a() { throw new Error('got'); } };"),
    verdict: 'runtime-error',
    says: 'got',
  },
  { name: 'getter without end', source: fn('return { get a() { for (;;); } };'), verdict: 'timeout' },
  { name: 'toJSON', source: fn('return { toJSON() { return { tensor: 0 }; } };'), verdict: 'wrong' },
  {
    name: '__proto__ in a result',
    source: fn('return JSON.parse(\'{"__proto__": {"values": []}, "constructor": 1}\');'),
    verdict: 'wrong',
  },
  {
    name: 'deep value',
    source: fn('let a: any = 1; for (let i = 0; i < 1e5; i++) a = [a]; return a;'),
    verdict: 'wrong',
  },
  { name: 'circular value', source: fn('const a: any = {}; a.a = a; return a;'), verdict: 'wrong' },
  {
    name: 'value of a million parts',
    source: fn('return Array.from({ length: 1e6 }, (_, i) => i);'),
    verdict: 'wrong',
  },
  {
    name: 'shape that lies',
    source: fn("const r = t.mul(2); Object.defineProperty(r, 'shape', { value: [1e9] }); return r;"),
    verdict: 'runtime-error',
  },
  {
    name: 'negative shape',
    source: fn(
      "const r = t.mul(2); Object.defineProperty(r, 'shape', { value: [-4] }); Object.defineProperty(r, 'numel', { value: () => 4 }); return r;",
    ),
    verdict: 'protocol-error',
  },
  {
    name: 'overwrites itself',
    source: asyncFn(`${get('fs')}.writeFileSync('/submission/submission.mjs', ''); return t;`),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'overwrites the runtime',
    source: asyncFn(`${get('fs')}.writeFileSync('/shardbook/dist/index.js', ''); return t;`),
    verdict: 'runtime-error',
    says: 'restricted',
  },
];

/** Frames as the channel has them: two lengths, a header, a body. */
const frame = (header: string): string =>
  `const fs = ${get('fs')}; const send = (h: any, body = new Uint8Array(0)) => { const b = new TextEncoder().encode(JSON.stringify(h)); const p = new Uint8Array(8); new DataView(p.buffer).setUint32(0, b.length, true); new DataView(p.buffer).setUint32(4, body.length, true); fs.writeSync(3, p); fs.writeSync(3, b); if (body.length) fs.writeSync(3, body); };\n${header}`;

const forgery: Hostile[] = [
  {
    name: 'nonsense on the channel',
    source: asyncFn(`${get('fs')}.writeSync(3, 'x'.repeat(64)); for (;;);`),
    verdict: 'protocol-error',
    says: 'a frame of',
  },
  {
    name: 'a result of zeros',
    source: asyncFn(
      frame(
        "send({ type: 'returned', run: 1, value: { tensor: 0 }, tensors: [{ dtype: 'float32', shape: [4] }], inputs: [], aliased: false }, new Uint8Array(16)); for (;;);",
      ),
    ),
    verdict: 'wrong',
    says: 'has 0',
  },
  {
    name: 'a verdict of its own',
    source: asyncFn(frame("send({ type: 'verdict', run: 1, verdict: 'pass' }); for (;;);")),
    verdict: 'protocol-error',
    says: 'out of turn',
  },
  {
    name: 'a guessed run',
    source: asyncFn(
      frame(
        "for (let run = 0; run < 9; run++) send({ type: 'returned', run, value: true, tensors: [], inputs: [] }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
  },
  {
    name: 'fewer bytes than said',
    source: asyncFn(
      frame(
        "send({ type: 'returned', run: 1, value: { tensor: 0 }, tensors: [{ dtype: 'float32', shape: [4] }], inputs: [] }, new Uint8Array(3)); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'fewer bytes',
  },
  {
    name: 'a tensor that is not there',
    source: asyncFn(
      frame("send({ type: 'returned', run: 1, value: { tensor: 7 }, tensors: [], inputs: [] }); for (;;);"),
    ),
    verdict: 'protocol-error',
  },
  {
    name: 'an unknown dtype',
    source: asyncFn(
      frame(
        "send({ type: 'returned', run: 1, value: { tensor: 0 }, tensors: [{ dtype: '__proto__', shape: [1] }], inputs: [] }, new Uint8Array(4)); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
  },
  { name: 'header null', source: asyncFn(frame('send(null); for (;;);')), verdict: 'protocol-error' },
  {
    name: 'deep JSON',
    source: asyncFn(
      frame(
        "let h: any = 1; for (let i = 0; i < 2000; i++) h = { list: [h] }; send({ type: 'returned', run: 1, value: h, tensors: [], inputs: [] }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'nested too deeply',
  },
  {
    name: 'a header of four gigabytes',
    source: asyncFn(`const p = new Uint8Array(8).fill(255); ${get('fs')}.writeSync(3, p); for (;;);`),
    verdict: 'protocol-error',
    says: 'a frame of',
  },
  {
    name: 'flood of frames',
    source: asyncFn(frame("for (;;) send({ type: 'wait', run: 1, handle: 0 });")),
    verdict: 'protocol-error',
    says: 'frames',
  },
  {
    name: 'half a frame',
    source: asyncFn(`const p = new Uint8Array(8); p[0] = 100; ${get('fs')}.writeSync(3, p); for (;;);`),
    verdict: 'timeout',
  },
  {
    name: 'forged collective',
    source: asyncFn(
      frame(
        "send({ type: 'collective', run: 1, handle: 0, call: { op: 'allReduce', group: 'world', ranks: [5], seq: 1, tensors: [] } }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
  },
  {
    name: 'forged transfer',
    source: asyncFn(
      frame(
        "send({ type: 'send', run: 1, handle: 0, peer: 1, tensor: { dtype: 'float32', shape: [1000000] } }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'sent 0 bytes',
  },
  {
    name: 'load-failed in the call',
    source: asyncFn(frame("send({ type: 'load-failed', failure: {} }); for (;;);")),
    verdict: 'protocol-error',
  },
];

/** What is stolen would be thrown, so that it stands in the report. */
const theft: Hostile[] = [
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
    says: 'grader-runner.js false',
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

const distributed: Hostile[] = [
  {
    name: 'sends to itself',
    source: fn('comm.send(t, comm.rank); return t;'),
    verdict: 'runtime-error',
    says: 'the rank itself',
  },
  {
    name: 'sends to nobody',
    source: fn('comm.send(t, 99); return t;'),
    verdict: 'runtime-error',
    says: 'not in a world',
  },
  {
    name: 'sends to rank -1',
    source: fn('comm.recv(t, -1); return t;'),
    verdict: 'runtime-error',
    says: 'not in a world',
  },
  {
    name: 'sends no tensor',
    source: fn('comm.send([1], 0);'),
    verdict: 'runtime-error',
    says: 'a tensor is wanted',
  },
  {
    name: 'sends without end',
    source: fn('for (;;) comm.isend(t, 1 - comm.rank);'),
    verdict: 'protocol-error',
    says: 'More than 20000',
  },
  {
    name: 'receives what never comes',
    source: fn('comm.recv(t, 1 - comm.rank); return t;'),
    verdict: 'deadlock',
    says: 'All ranks wait',
  },
  {
    name: 'only one rank waits',
    source: fn('if (comm.rank === 0) comm.recv(t, 1); return t.mul(2);'),
    verdict: 'deadlock',
  },
  {
    name: 'uses a group that is not there',
    source: "import { dist } from 'shardbook';\n" + fn('dist.allReduce(t); return t;'),
    verdict: 'runtime-error',
    says: 'not been initialised',
  },
  {
    name: 'makes a world of its own',
    source:
      "import { dist } from 'shardbook';\n" +
      fn('dist.initProcessGroup(); if (dist.getWorldSize() !== 1) return t.mul(2); return t;'),
    verdict: 'wrong',
  },
  {
    name: 'meets through globals',
    source: fn('const g = globalThis as any; g.met = (g.met ?? 0) + 1; return g.met === 2 ? t.mul(2) : t;'),
    verdict: 'wrong',
  },
  {
    name: 'meets through files',
    source: asyncFn(
      `const fs = ${get('fs')}; fs.writeFileSync('/tmp/rank' + comm.rank, '1'); return t.mul(2);`,
    ),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'meets through a channel',
    source: asyncFn(
      "const c = new BroadcastChannel('x'); c.postMessage(comm.rank); const got = await new Promise((ok) => { c.onmessage = ok; setTimeout(() => ok(undefined), 300); }); return got === undefined ? t : t.mul(2);",
    ),
    verdict: 'wrong',
  },
  {
    name: 'changes its comm',
    source: fn('comm.rank = 0; return t;'),
    verdict: 'runtime-error',
    says: 'read only',
  },
];

const repository: Hostile[] = [
  {
    name: 'folder with configuration',
    source: {
      'double.ts': fn('return t;'),
      'package.json': '{"type":"commonjs","main":"x.js"}',
      'tsconfig.json': '{"extends":"/etc/passwd"}',
      'vitest.config.ts': 'export default {}',
      '.npmrc': 'x',
      'node_modules/shardbook/index.js': '',
    },
    verdict: 'wrong',
  },
  {
    name: 'folder that shadows the package',
    source: { 'double.ts': fn('return t;'), 'shardbook.ts': 'export const torch = 1;' },
    verdict: 'wrong',
  },
  {
    name: 'folder that reaches out',
    source: { 'double.ts': right("import '../../../etc/passwd.js';") },
    verdict: 'compile-error',
  },
  { name: 'folder without a source', source: { 'README.txt': 'I did it' }, verdict: 'not-attempted' },
  {
    name: 'folder named as the entry',
    source: { 'submission.ts/x.ts': fn('return t;'), 'y.ts': '' },
    verdict: 'compile-error',
  },
  {
    name: 'folder that overwrites the entry',
    source: { 'double.ts': fn('return t;'), 'submission.ts': right('') },
    verdict: 'wrong',
  },
  { name: 'archive', source: 'PK\u0003\u0004', kind: '.zip', verdict: 'compile-error', says: 'archive' },
  {
    name: 'notebook without the cell',
    source: cells('const a = 1;'),
    kind: '.ipynb',
    verdict: 'not-attempted',
  },
  {
    name: 'notebook with the cell twice',
    source: cells(`// exercise: double\n${fn(RIGHT)}`, `// exercise: double\n${fn('return t;')}`),
    kind: '.ipynb',
    verdict: 'wrong',
  },
  {
    name: 'notebook of hundreds of levels',
    source: `{"nbformat":4,"cells":${repeat('[', 5000)}${repeat(']', 5000)}}`,
    kind: '.ipynb',
    verdict: 'not-attempted',
  },
  {
    name: 'notebook with __proto__',
    source: `{"nbformat":4,"__proto__":{"cells":[]},"cells":[{"cell_type":"code","metadata":{"__proto__":{"tags":["exercise:double"]}},"source":"1"}]}`,
    kind: '.ipynb',
    verdict: 'not-attempted',
  },
  {
    name: 'notebook with numbers for cells',
    source: '{"nbformat":4,"cells":[1,null,"x",{"cell_type":"code","source":5}]}',
    kind: '.ipynb',
    verdict: 'compile-error',
  },
  {
    name: 'MyST without an end',
    source: '```{code-cell}\nexport const double = 1;',
    kind: '.md',
    verdict: 'compile-error',
  },
  {
    name: 'ANSI in a message',
    source: fn("throw new Error('\\u001b[2J\\u001b[31mpassed');"),
    verdict: 'runtime-error',
  },
  {
    name: 'workflow command in a message',
    source: fn("throw new Error('a\\n::set-output name=x::1\\n::error::y');"),
    verdict: 'runtime-error',
  },
  {
    name: 'HTML in a message',
    source: fn("throw new Error('<script>alert(1)</script>]]>&');"),
    verdict: 'runtime-error',
  },
  {
    name: 'control characters in names',
    source: fn("throw Object.assign(new Error('x'), { name: 'a\\u0000\\u001b[0m' });"),
    verdict: 'runtime-error',
  },
];

export const HOSTILE: readonly Hostile[] = [
  ...broken,
  ...time,
  ...resources,
  ...exits,
  ...tampering,
  ...forgery,
  ...theft,
  ...distributed,
  ...repository,
];
