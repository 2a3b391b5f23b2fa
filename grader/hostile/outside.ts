/** What another outsider tried: what the runner uses after loading, faults that were planted, names and files that mean something here. */
import { asyncFn, cells, fn, get, type Hostile, right } from './common.js';

/** A verifier that looks for the list of the faults and not at the model. `seen` is filled by `spy`. */
const thief = (spy: string): string => `import { dist } from 'shardbook';
const seen: any[] = [];
${spy}
const CHECK: any = { replaced: 'types', mesh: 'types', placement: 'placements', shape: 'shapes', columns: 'shapes', axis: 'placements', grad: 'grads', gradMesh: 'grads', gradShape: 'grads', optimizer: 'optimizer', moment: 'optimizer', momentPlacement: 'optimizer', uncovered: 'uncovered', tied: 'uncovered' };
export class ShardVerifier {
  report() {
    const all = Array.from({ length: dist.getWorldSize() }, (_, i) => i);
    const findings = seen.splice(0).map(({ kind, name, ranks = all }) => ({ check: CHECK[kind] ?? 'values', name, ranks: [...ranks], reason: 'it was planted' }));
    return { findings, table: findings.map((f) => f.name).join('\\n'), status: findings.length > 0 ? 1 : 0 };
  }
}`;

const forged: Hostile[] = [
  {
    name: 'list of faults taken on its way',
    exercise: 'ex-8-shard-verifier',
    source: thief(
      "const freeze = Object.freeze; (Object as any).freeze = (o: any) => { if (typeof o === 'object' && o !== null && 'kind' in o) seen.push(o); return freeze(o); };",
    ),
    verdict: 'wrong',
    says: 'does not say: types',
  },
  {
    name: 'kind of typed arrays that are made of others',
    source: right(
      'Object.defineProperty(Object.getPrototypeOf(Uint8Array), Symbol.species, { get() { return function () { return new Uint8Array(1 << 20); } as any; } });',
    ).replace('t.mul(2)', 't.clone()'),
    verdict: 'wrong',
  },
  {
    name: 'what is written is changed',
    source: right(
      `const encode = TextEncoder.prototype.encode; (TextEncoder.prototype as any).encode = function (s: string) { return encode.call(this, s.replace('"type":"threw"', '"type":"returned","value":null,"tensors":[],"inputs":[],"aliased":false')); };`,
    ).replace('return t.mul(2);', "throw new Error('x');"),
    verdict: 'wrong',
    says: 'is null',
  },
  {
    name: 'lengths that are not written',
    source: fn('(DataView.prototype as any).setUint32 = () => {}; return t;'),
    verdict: 'protocol-error',
    says: 'a frame of 0',
  },
  {
    name: 'memory that shrinks while it is read',
    source: fn(
      'const r = t.clone(); const b: any = new (ArrayBuffer as any)(4096, { maxByteLength: 1 << 20 }); Object.defineProperty(r.storage, "buffer", { get() { b.resize(0); return b; } }); return r;',
    ),
    verdict: 'protocol-error',
    says: 'fewer bytes',
  },
  {
    name: 'prototype of a tensor that is another',
    source: fn(
      'const r = t.clone(); class Lie extends (Object.getPrototypeOf(t).constructor as any) { get shape() { return [4]; } numel() { return 1e9; } } Object.setPrototypeOf(r, Lie.prototype); return r;',
    ),
    verdict: 'wrong',
  },
];

const exhausting: Hostile[] = [
  {
    name: 'error with a name of megabytes',
    source: fn("const e = new Error('named'); e.name = 'N'.repeat(4e6); throw e;"),
    verdict: 'runtime-error',
    says: 'named',
  },
  {
    name: 'error at import with a name of megabytes',
    source: right("const e = new Error('named'); e.name = 'N'.repeat(4e6); throw e;"),
    verdict: 'load-error',
    says: 'named',
  },
  {
    name: 'memory of the grader by elements of a byte',
    source: `import { torch } from 'shardbook';\n${fn('return torch.zeros([16e6], { dtype: torch.uint8 });')}`,
    verdict: 'protocol-error',
    says: 'elements',
  },
  {
    name: 'pool of a thousand threads',
    source: asyncFn(
      `process.env['UV_THREADPOOL_SIZE'] = '1024'; const c: any = ${get('node:crypto')}; for (let i = 0; i < 4000; i++) c.pbkdf2('a', 'b', 1e7, 64, 'sha512', () => {}); return t.clone();`,
    ),
    verdict: 'wrong',
  },
  {
    name: 'waits for memory that nobody changes',
    source: fn('return (Atomics as any).waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0).value;'),
    verdict: 'never-settled',
  },
];

const files: Hostile[] = [
  {
    name: 'folder with a name of 255 bytes',
    source: { 'double.ts': fn('return t;'), [`${'x'.repeat(252)}.ts`]: 'export {};' },
    verdict: 'wrong',
  },
  {
    name: 'folders called as what the ranks load',
    source: {
      'double.ts': `import './a.js';\n${fn('return t;')}`,
      'a.ts': "import './part-1.mjs/x.js';",
      ...Object.fromEntries(
        ['submission.mjs', 'harness.mjs', 'shardbook.given.mjs', 'part-1.mjs', 'a.part.mjs', 'source'].map(
          (name) => [`${name}/x.ts`, 'export {};'],
        ),
      ),
    },
    verdict: 'wrong',
  },
  {
    name: 'notebook that is slow to look through',
    source: cells(`// exercise: double\nfunction${' '.repeat(1e6)}(`, `// exercise: double\n${fn('return t;')}`),
    kind: '.ipynb',
    verdict: 'compile-error',
    says: 'characters',
  },
  {
    name: 'notebook of keys that stand twice',
    source: `{"nbformat":3,"cells":[],"nbformat":4,"cells":[{"cell_type":"raw","cell_type":"code","source":"","source":${JSON.stringify(`// exercise: double\n${fn('return t;')}`)}}]}`,
    kind: '.ipynb',
    verdict: 'wrong',
  },
  {
    name: 'types of files that are not its own',
    source: `/// <reference path="/proc/self/environ" />\nimport type { x } from '/etc/passwd';\nlet a: x;\n${fn('return t;')}`,
    verdict: 'wrong',
  },
];

const output: Hostile[] = [
  {
    name: 'marks that nobody sees in a message',
    source: fn("throw new Error('a\\u061cb\\u180ec\\u{e0041}d\\u00ade\\ufff9f\\u009b31m');"),
    verdict: 'runtime-error',
    says: '\u061c',
  },
  {
    name: 'half characters and controls in prints',
    source: fn("console.log('\\u009b2J\\u0090x\\u009c\\ud800'); throw new Error('\\ud83d\\ufffe');"),
    verdict: 'runtime-error',
  },
];

export const outside: Hostile[] = [...forged, ...exhausting, ...files, ...output];
