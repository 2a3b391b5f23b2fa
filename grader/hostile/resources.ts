/** Submissions that take time without end. Submissions that take memory, output, files and processes. */
import { type Hostile, asyncFn, fn, get, repeat, RIGHT } from './common.js';

export const time: Hostile[] = [
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
  {
    name: 'BigInt power',
    source: fn('const m = 2n ** 100000n; let n = 3n ** 60000n; for (;;) n = (n * n) % m;'),
    verdict: 'timeout',
  },
];


export const resources: Hostile[] = [
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

