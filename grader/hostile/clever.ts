/** Second thoughts of an attacker: results that are not what they seem, what comes after the answer, ways around what is closed. */
import { asyncFn, fn, frame, get, type Hostile, RIGHT, right } from './common.js';

/** Modules of Node without an import. */
const builtin = (name: string): string => `(process as any).getBuiltinModule('${name}')`;

export const results: Hostile[] = [
  {
    name: 'class of a tensor without one',
    source: fn('return Object.create(Object.getPrototypeOf(t));'),
    verdict: 'runtime-error',
  },
  {
    name: 'tensor that answers differently at the second reading',
    source: fn(
      'const r = t.mul(2); let n = 0; Object.defineProperty(r, "shape", { get: () => (n++ % 2 ? [4] : [2, 2]) }); return r;',
    ),
    verdict: 'wrong',
  },
  {
    name: 'list whose slice is a lie',
    source: fn('const r: any = [t.mul(2)]; r.slice = () => ({ length: 3e9 }); return r;'),
    verdict: 'wrong',
  },
  {
    name: 'list that never ends',
    source: fn(
      'const r: any = [t]; r.slice = () => ({ [Symbol.iterator]: () => ({ next: () => ({ value: 1, done: false }) }) }); return r;',
    ),
    verdict: 'wrong',
  },
  {
    name: 'subclass of a typed array',
    source: fn('return new (class Result extends Float32Array {})(t.numel());'),
    verdict: 'wrong',
    says: 'a typed array',
  },
  { name: 'minus zero', source: fn('return -0;'), verdict: 'wrong', says: 'is 0' },
  { name: 'NaN for a number', source: fn('return Number.NaN;'), verdict: 'wrong', says: 'NaN' },
  { name: 'symbol', source: fn("return Symbol('tensor');"), verdict: 'wrong', says: 'symbol' },
  { name: 'date, map and function', source: fn('return [new Date(), new Map(), () => 1];'), verdict: 'wrong' },
  {
    name: 'keys that are prototypes',
    source: fn(
      'return Object.fromEntries([["__proto__", t.mul(2)], ["hasOwnProperty", 1], ["values", t.mul(2)], ["shape", [4]]]);',
    ),
    verdict: 'wrong',
    says: 'an object',
  },
  {
    name: 'thenable that answers twice',
    source: fn('return { then(ok: any) { ok(t); ok(t.mul(2)); } };'),
    verdict: 'wrong',
  },
  {
    name: 'every object a thenable',
    source: fn('(Object.prototype as any).then = function (ok: any) { ok(undefined); }; return { a: 1 };'),
    verdict: 'wrong',
  },
  {
    name: 'promise that is replaced',
    source: `Promise.prototype.then = function (): any { return new Promise(() => {}); };\n${asyncFn('return t;')}`,
    verdict: 'wrong',
  },
  {
    name: 'export of then',
    source: `export function then(ok: any) { ok({ double: (t: any) => t }); }\n${fn(RIGHT)}`,
    verdict: 'wrong',
  },
  {
    name: 'export of then that never calls',
    source: `export function then() {}\n${fn(RIGHT)}`,
    verdict: 'load-error',
    says: 'never comes',
  },
  {
    name: 'export under the name of a text',
    source: 'const f = (t: any) => t.mul(2);\nexport { f as "double " };',
    verdict: 'load-error',
    says: 'wanted a function "double"',
  },
  {
    name: 'export that is replaced after loading',
    source: 'export let double = (t: any): any => { double = () => { throw new Error("second"); }; return t; };',
    verdict: 'wrong',
  },
  {
    name: 'Proxy for a function',
    source:
      'export const double: any = new Proxy((t: any) => t.mul(2), { apply() { throw new Error("trap"); } });',
    verdict: 'runtime-error',
    says: 'trap',
  },
  {
    name: 'tensor of two million axes',
    source: asyncFn(
      frame(
        "send({ type: 'returned', run: 1, value: { tensor: 0 }, tensors: [{ dtype: 'float32', shape: new Array(200000).fill(0) }], inputs: [], aliased: false }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
  },
];

export const afterwards: Hostile[] = [
  {
    name: 'rejection after the answer',
    source: fn('setTimeout(() => Promise.reject(new Error("late")), 0); return t;'),
    verdict: 'wrong',
  },
  {
    name: 'exit after the answer',
    source: `let calls = 0;\n${fn('if (calls++ === 0) setTimeout(() => process.exit(0), 0); return t.mul(calls === 1 ? 2 : 0);')}`,
    verdict: 'wrong',
  },
  {
    name: 'work that goes on under the next question',
    source: `let last: any;\n${asyncFn('if (last) last.mul_(0); last = t.mul(2); setInterval(() => last.mul_(0), 0); await new Promise((ok) => setTimeout(ok, 20)); return last;')}`,
    verdict: 'wrong',
  },
  {
    name: 'answers before it is asked',
    source: asyncFn(
      frame(
        "send({ type: 'returned', run: 2, value: { tensor: 0 }, tensors: [{ dtype: 'float32', shape: [4] }], inputs: [], aliased: false }, new Uint8Array(16)); return t.mul(2);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'out of turn',
  },
  {
    name: 'keeps its inputs in shared memory',
    source: `const kept = new Float32Array(new SharedArrayBuffer(64));\n${fn('const r = t.clone(); kept.set([kept[0]! + 1]); return kept[0]! > 1 ? r : r.mul(3);')}`,
    verdict: 'wrong',
  },
  {
    name: 'listeners of the process taken off',
    source: fn(
      "process.removeAllListeners(); setTimeout(() => { throw new Error('loose'); }, 1); return new Promise(() => {});",
    ),
    verdict: 'crashed',
  },
  {
    name: 'process.exit and on replaced',
    source: fn(
      'Object.assign(process, { exit() {}, on() { return process; }, emit() { return true; }, kill() {} }); for (;;);',
    ),
    verdict: 'timeout',
  },
  {
    name: 'beforeExit of its own',
    source: fn(
      "process.prependListener('beforeExit', () => { setTimeout(() => {}, 1e6); }); return new Promise(() => {});",
    ),
    verdict: 'never-settled',
  },
  {
    name: 'reads the questions itself',
    source: asyncFn(`${get('fs')}.readSync(3, new Uint8Array(1)); return t;`),
    verdict: 'timeout',
  },
  {
    name: 'writes to every descriptor',
    source: asyncFn(
      `const fs = ${get('fs')}; for (let fd = 0; fd < 64; fd++) try { fs.writeSync(fd, 'passpass'); } catch {} for (;;);`,
    ),
    verdict: 'protocol-error',
  },
  {
    name: 'memory of the grader by operations without a number',
    source: asyncFn(
      frame("for (let i = 0; ; i++) send({ type: 'wait', run: 1, handle: 'x'.repeat(1e6) + i });"),
    ),
    verdict: 'protocol-error',
    says: 'without a number',
  },
  {
    name: 'memory of the grader by messages that nobody takes',
    source: asyncFn(
      frame(
        "for (let i = 0; ; i++) send({ type: 'send', run: 1, handle: i, peer: 1 - comm.rank, tensor: { dtype: 'uint8', shape: [1 << 24] }, tag: 't' + i }, new Uint8Array(1 << 24));",
      ),
    ),
    verdict: 'protocol-error',
    says: 'MiB in one call',
  },
  {
    name: 'memory of the grader by long names',
    source: asyncFn(
      frame(
        "for (let i = 0; ; i++) send({ type: 'send', run: 1, handle: i, peer: 1 - comm.rank, tensor: { dtype: 'uint8', shape: [0] }, tag: 'x'.repeat(9e5) + i });",
      ),
    ),
    verdict: 'protocol-error',
    says: 'headers',
  },
  {
    name: 'asks for a store that is not there',
    source: asyncFn(
      frame(
        "for (let i = 0; i < 9; i++) send({ type: 'store', run: 1, handle: i, call: { op: 'set', keys: ['__proto__'], values: ['1'] } }); send({ type: 'store', run: 1, handle: 9, call: null }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'nonsense',
  },
];

export const waysAround: Hostile[] = [
  {
    name: 'getBuiltinModule',
    source: fn(`throw new Error(${builtin('fs')}.readFileSync('/etc/passwd', 'utf8'));`),
    verdict: 'runtime-error',
  },
  {
    name: 'bindings of Node',
    source: fn(
      "const b = (process as any).binding('spawn_sync'); throw new Error('spawned ' + JSON.stringify(b.spawn({ file: '/bin/sh', args: ['sh', '-c', 'id'], envPairs: [], stdio: [] })));",
    ),
    verdict: 'runtime-error',
  },
  {
    name: 'code from a text',
    source: fn("return new Function('t', 'return t.mul(2)')(t);"),
    verdict: 'runtime-error',
    says: 'Code generation',
  },
  {
    name: 'import from a text',
    source: asyncFn("const fs = await eval('import(\"node:fs\")'); throw new Error(fs.readFileSync('/etc/passwd', 'utf8'));"),
    verdict: 'runtime-error',
    says: 'Code generation',
  },
  {
    name: 'node: behind a data: address',
    source: asyncFn(
      "const m = await import(('data:text/javascript,import fs from \"node:fs\"; export default fs') as any); throw new Error(m.default.readFileSync('/etc/passwd', 'utf8'));",
    ),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'import attributes',
    source: right("import passwd from '/etc/passwd' with { type: 'json' };\nconsole.log(passwd);"),
    verdict: 'compile-error',
    says: 'cannot be imported',
  },
  {
    name: 'import = require',
    source: right("import fs = require('node:fs');\nfs.readFileSync('/etc/passwd');"),
    verdict: 'load-error',
  },
  {
    name: 'reference path',
    source: `/// <reference path="/etc/passwd" />\n/// <reference types="node" />\n${fn('return t;')}`,
    verdict: 'wrong',
  },
  {
    name: 'source map of its own',
    source: `${fn("throw new Error('mapped');")}\n//# sourceMappingURL=file:///etc/passwd\n`,
    verdict: 'runtime-error',
    says: 'mapped',
  },
  {
    name: 'stack that is prepared',
    source: fn(
      "Error.prepareStackTrace = () => { throw new Error('prepared'); }; (Error as any).stackTraceLimit = Infinity; null!.x;",
    ).replace('null!.x', '(null as any).x'),
    verdict: 'runtime-error',
  },
  {
    name: 'stack of a hundred megabytes',
    source: fn("const e: any = new Error('big'); e.stack = 'at x:1:1\\n'.repeat(1e7); e.name = 'N'.repeat(1e6); throw e;"),
    verdict: 'runtime-error',
    says: 'big',
  },
  {
    name: 'error whose cause is itself',
    source: fn("const e: any = new Error('round'); e.cause = e; e.errors = [e]; throw e;"),
    verdict: 'runtime-error',
    says: 'round',
  },
  {
    name: 'inspector session in the process',
    source: asyncFn(
      `const { Session } = ${get('inspector')}; const s = new Session(); s.connect(); throw new Error('connected');`,
    ),
    verdict: 'runtime-error',
  },
  {
    name: 'worker from a data: address',
    source: asyncFn(
      `const { Worker } = ${get('worker_threads')}; new Worker(new URL('data:text/javascript,for(;;);')); throw new Error('started');`,
    ),
    verdict: 'runtime-error',
    says: 'restricted',
  },
  {
    name: 'heap limit raised',
    source: asyncFn(
      `${get('v8')}.setFlagsFromString('--max-old-space-size=64000'); const a: any[] = []; for (;;) a.push(new Array(1e6).fill(a.length));`,
    ),
    verdict: 'memory-limit',
  },
  {
    name: 'heap snapshot',
    source: asyncFn(`${get('v8')}.writeHeapSnapshot('/tmp/a.heapsnapshot'); throw new Error('written');`),
    verdict: 'runtime-error',
  },
  {
    name: 'report of the process',
    source: fn(
      "const r: any = process.report!.getReport(); throw new Error('user ' + JSON.stringify(r.environmentVariables ?? {}) + (r.header.commandLine ?? []).join(' '));",
    ),
    verdict: 'runtime-error',
  },
  {
    name: 'table of WebAssembly',
    source: fn(
      "const a: any[] = []; for (;;) a.push(new WebAssembly.Table({ initial: 9_000_000, element: 'anyfunc' }));",
    ),
    verdict: 'memory-limit',
  },
  {
    name: 'one buffer of all memory',
    source: fn('return new ArrayBuffer(1e12);'),
    verdict: 'runtime-error',
    says: 'allocation failed',
  },
  {
    name: 'prints while it answers',
    source: fn("for (let i = 0; i < 50; i++) console.log('::error::pass\\u001b[2J'.repeat(9)); return t;"),
    verdict: 'wrong',
  },
  {
    name: 'prints through the descriptor',
    source: asyncFn(`const fs = ${get('fs')}; for (;;) fs.writeSync(1, 'x'.repeat(60000));`),
    verdict: 'output-limit',
  },
  {
    name: 'Map and Set',
    source: fn(
      'Map.prototype.get = () => undefined; Map.prototype.set = function () { return this; }; Set.prototype.has = () => true; return t;',
    ),
    verdict: 'wrong',
  },
  {
    name: 'Array',
    source: `for (const k of ['map', 'every', 'some', 'filter', 'push', 'slice', 'find'] as const) (Array.prototype as any)[k] = () => [];\n${fn('return t;')}`,
    verdict: 'load-error',
  },
  {
    name: 'String and RegExp',
    source: fn(
      "String.prototype.slice = () => ({ toString() { throw 1; } }) as any; RegExp.prototype.exec = () => null; throw new Error('text');",
    ),
    verdict: 'runtime-error',
  },
  {
    name: 'setters on Object.prototype',
    source: fn(
      "for (const k of ['verdict', 'run', 'type', 'rank', 'value']) Object.defineProperty(Object.prototype, k, { get: () => 'pass', set() {}, configurable: true }); return t;",
    ),
    verdict: 'wrong',
  },
];

export const clever: Hostile[] = [...results, ...afterwards, ...waysAround];
