/** Submissions that change what the runner works with. */
import { type Hostile, asyncFn, fn, get } from './common.js';

export const tampering: Hostile[] = [
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
    verdict: 'protocol-error',
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

