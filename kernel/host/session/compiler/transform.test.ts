/** The transform of cells, as data: what a chain of cells computes, which names it declares, what it refuses. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CheckLevel } from '../types.js';
import { createStockCompiler } from './stock/compiler.js';
import { createTslabCompiler } from './tslab-compiler.js';
import type { Compiler, CompilerSettings } from './types.js';

const folder = mkdtempSync(path.join(tmpdir(), 'shardbook-transform-'));
const preload = path.join(folder, 'preload.d.ts');
const settings: CompilerSettings = { cwd: folder, preloadTypes: preload, runtimeTypes: preload };
let compiler: Compiler;

beforeAll(() => {
  writeFileSync(
    preload,
    `declare class Tensor { shape: number[]; add(other: Tensor): Tensor }
declare const rank: number;
declare const torch: { zeros(shape: number[]): Tensor };
export { Tensor, rank, torch };\n`,
  );
  writeFileSync(path.join(folder, 'side.ts'), 'export const four: number = 4;\nexport default 5;\n');
});

afterAll(() => rmSync(folder, { recursive: true }));

const META = { dirname: folder, url: pathToFileURL(path.join(folder, 'cell.ts')).href };

type Namespace = Record<string, unknown>;

/** Compiles and runs cells one after the other, as a rank does; gives the value of the last expression of the last. */
async function run(cells: readonly string[], level: CheckLevel = 'errors'): Promise<unknown> {
  compiler.reset();
  const namespace: Namespace = {
    rank: 3,
    torch: { zeros: (shape: number[]) => ({ shape }) },
    Tensor: class {},
  };
  let value: unknown;
  for (const code of cells) {
    const { program, diagnostics } = await compiler.compile({ code, name: 'cell', level });
    if (!program) throw new Error(diagnostics.map((d) => `${d.line}:${d.column} TS${d.code}`).join(' '));
    const exports = Object.create(namespace) as Namespace;
    const body = vm.runInThisContext(
      `(async function (exports, require, importModule) {\n${program.code}\n})`,
    ) as (...args: unknown[]) => Promise<void>;
    const native = createRequire(import.meta.url);
    const fromSide = (name: string) =>
      name.startsWith('./side') ? { __esModule: true, four: 4, default: 5 } : native(name);
    const importModule = Object.assign((name: string) => import(name), { meta: META });
    await body(exports, fromSide, importModule);
    value = program.resultName === undefined ? undefined : exports[program.resultName];
    if (program.resultName !== undefined) delete exports[program.resultName];
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(exports))) {
      Object.defineProperty(namespace, name, { ...descriptor, configurable: true });
    }
    compiler.commit();
  }
  return value;
}

const VALUES: readonly [name: string, cells: readonly string[], value: unknown][] = [
  ['the last expression is the result', ['1 + 1'], 2],
  ['a declaration has no result', ['const a = 1'], undefined],
  ['an empty cell', [''], undefined],
  ['only a comment', ['// nothing'], undefined],
  ['names of earlier cells', ['const a = 2', 'a * 3'], 6],
  ['a name declared again with another type', ['const a = 2', "const a = 'x'", 'a + a'], 'xx'],
  ['a function declared again', ['function f() { return 1 }', 'function f() { return 2 }', 'f()'], 2],
  ['functions see assignments of later cells', ['let n = 0; function up() { n++ }', 'n = 10; up(); n'], 11],
  ['later cells see assignments of functions', ['let n = 0; function up() { n++ }', 'up(); up()', 'n'], 2],
  ['destructured variables', ['let [a, { b }] = [1, { b: 2 }]', 'a = 5; a + b'], 7],
  ['var and assignment', ['var v = 1', 'v += 1; v'], 2],
  ['shorthand properties of earlier names', ['const a = 1; let b = 2', '({ a, b }).b + ({ a }).a'], 3],
  ['destructuring assignment to earlier names', ['let a = 1', '({ a } = { a: 9 }); a'], 9],
  ['a default in a destructuring assignment', ['let a = 1', '({ a = 4 } = {} as { a?: number }); a'], 4],
  ['parameters shadow earlier names', ['const a = 1', '((a: number) => a)(7)'], 7],
  ['preloaded names', ['rank + torch.zeros([2]).shape[0]!'], 5],
  ['preloaded names declared again', ['const rank = 8', 'rank'], 8],
  ['preloaded names as types', ['const t: Tensor = torch.zeros([1]); t.shape'], [1]],
  [
    'classes across cells',
    ['class A { x = 1 }', 'class B extends A { y = 2 }', 'const b = new B(); b.x + b.y'],
    3,
  ],
  ['enums across cells', ['enum E { A, B }', 'E.B'], 1],
  ['interfaces across cells', ['interface P { x: number }', 'const p: P = { x: 4 }; p.x'], 4],
  ['generic types across cells', ['type Box<T> = { v: T }', 'const b: Box<string> = { v: "s" }; b.v'], 's'],
  ['namespaces', ['namespace N { export const z = 6 }', 'N.z'], 6],
  ['await at the top', ['const v = await Promise.resolve(3); v'], 3],
  ['for await at the top', ['let s = 0; for await (const x of [1, 2]) s += x; s'], 3],
  ['export is allowed', ['export const e = 1; export function g() { return e }', 'g()'], 1],
  ['imports of Node', ["import path from 'node:path'", "path.basename('/a/b')"], 'b'],
  ['named imports of Node', ["import { basename as base } from 'node:path'", "base('/a/c')"], 'c'],
  ['dynamic imports', ["const { basename } = await import('node:path'); basename('/x/y')"], 'y'],
  ['relative imports', ["import five, { four } from './side'; four + five"], 9],
  ['relative imports with an extension', ["import { four } from './side.ts'; four"], 4],
  ['a result named as the compiler would', ['const tsLastExpr = 1; tsLastExpr + 1'], 2],
  [
    'generators and async functions',
    ['async function* g() { yield 1 }; const o: number[] = []; for await (const x of g()) o.push(x); o'],
    [1],
  ],
  ['optional chaining and nullish', ['const o: { a?: number } = {}; o?.a ?? 7'], 7],
  [
    'template strings with what looks like an import',
    ["`import('x') export const`"],
    "import('x') export const",
  ],
];

/** What TypeScript 5.0 and tslab's converter cannot do, and learners write all the same. */
const MODERN: readonly [name: string, cells: readonly string[], value: unknown][] = [
  [
    'using',
    [
      'const log: string[] = []; { using held = { [Symbol.dispose]() { log.push("freed") } }; log.push("held") } log',
    ],
    ['held', 'freed'],
  ],
  ['import.meta', ["import.meta.dirname.length > 0 && import.meta.url.startsWith('file:')"], true],
  [
    'decorators',
    [
      'function twice(f: (x: number) => number, _: unknown) { return (x: number) => 2 * f(x) }',
      'class C { @twice f(x: number) { return x + 1 } } new C().f(2)',
    ],
    6,
  ],
  ['a cell that only imports', ["import { basename } from 'node:path'", "basename('/a/d')"], 'd'],
  [
    'import with a type',
    ["import { type ParsedPath, parse } from 'node:path'", "const p: ParsedPath = parse('/a/b.c'); p.ext"],
    '.c',
  ],
  [
    'types of earlier imports',
    ["import type { ParsedPath } from 'node:path'", "const p: Partial<ParsedPath> = { ext: 'x' }; p.ext"],
    'x',
  ],
  ['export default', ['export default 4 + 1'], 5],
  ['export list', ['const q = 3; export { q }', 'q'], 3],
  [
    'an earlier type keeps its meaning',
    ['interface P { x: number } const p: P = { x: 1 }', 'interface P { y: string }', 'p.x'],
    1,
  ],
  [
    'satisfies and const type parameters',
    ['const f = <const T>(x: T) => x; f([1, 2] satisfies number[])'],
    [1, 2],
  ],
  [
    'an earlier function is called without a this',
    ['function who(this: unknown) { return this === undefined }', 'who()'],
    true,
  ],
  ['tagged templates of earlier cells', ['const tag = (s: TemplateStringsArray) => s[0]', 'tag`abc`'], 'abc'],
  ['newest library', ['[3, 1, 2].toSorted().at(-1)'], 3],
];

describe.each([
  ['tslab', createTslabCompiler, VALUES],
  ['stock', createStockCompiler, [...VALUES, ...MODERN]],
])('%s', (_engine, create, values) => {
  beforeAll(() => {
    compiler = create(settings);
  }, 120_000);

  afterAll(() => compiler.close());

  describe('cells', () => {
    test.each(values)('%s', async (_name, cells, value) => {
      expect(await run(cells)).toEqual(value);
    });

    test.each([
      ['const a: number = "s"', '1:7 TS2322'],
      ['\n  missing', '2:3 TS2304'],
      ['const x = ;', '1:11 TS1109'],
      ['function f() { await 1 }', '1:16 TS1308'],
      ['rank.nothing', '1:6 TS2339'],
      ['function f(x) { return x }', '1:12 TS7006'],
    ])('%j is refused at the place of the mistake', async (code, wanted) => {
      await expect(run([code])).rejects.toThrow(wanted);
    });

    test('check levels: warnings run and tell, off runs and is silent, mistakes of syntax always stop', async () => {
      compiler.reset();
      const code = 'const a: number = "s"; a';
      const warned = await compiler.compile({ code, name: 'cell', level: 'warnings' });
      expect(warned.diagnostics.map((d) => d.code)).toEqual([2322]);
      expect(warned.program?.resultName).toBeDefined();
      expect((await compiler.compile({ code, name: 'cell', level: 'off' })).diagnostics).toEqual([]);
      expect(await run([code], 'off')).toBe('s');
      await expect(run(['const = 1'], 'off')).rejects.toThrow('TS1');
    });

    test('declarations of a cell that was not committed are forgotten', async () => {
      compiler.reset();
      await compiler.compile({ code: 'const ghost = 1', name: 'cell', level: 'errors' });
      const { program } = await compiler.compile({ code: 'ghost', name: 'cell', level: 'errors' });
      expect(program).toBeUndefined();
    });

    test('files that a cell imports come along once', async () => {
      writeFileSync(path.join(folder, 'fresh.ts'), 'export const fresh = 1;\n');
      const compile = () =>
        compiler.compile({ code: "import { fresh } from './fresh'; fresh", name: 'cell', level: 'errors' });
      const first = await compile();
      expect(first.sideFiles.map((file) => path.basename(file.path))).toEqual(['fresh.js']);
      expect((await compile()).sideFiles).toEqual([]);
    });
  });

  describe('completion and inspection', () => {
    test('members of preloaded names and of earlier cells', async () => {
      compiler.reset();
      expect((await compiler.complete('torch.ze', 8)).matches).toEqual(['zeros']);
      await compiler.compile({ code: 'const thing = { alpha: 1 }', name: 'cell', level: 'errors' });
      compiler.commit();
      expect((await compiler.complete('thing.', 6)).matches).toEqual(['alpha']);
      const { found, data } = await compiler.inspect('thing', 3, 0);
      expect([found, data['text/plain']]).toEqual([true, expect.stringContaining('alpha: number')]);
    });

    test.each([
      ['1 + 1', 'complete'],
      ['function f() {', 'incomplete'],
      ['f(1,', 'incomplete'],
      ['`open', 'incomplete'],
      ['/* open', 'incomplete'],
      ['a b', 'invalid'],
      ['%world 4', 'complete'],
    ])('%j is %s', async (code, status) => {
      expect((await compiler.isComplete(code)).status).toBe(status);
    });
  });
});

describe('stock: names of earlier cells', () => {
  beforeAll(() => {
    compiler = createStockCompiler(settings);
  }, 30_000);

  afterAll(() => compiler.close());

  test.each([
    ['const a = 1', 'a = 2', '1:1 TS2588'],
    ['let a = 1', "a = 'text'", '1:1 TS2322'],
    ['function a() {}', 'a = 1', '1:1 TS2632'],
    ['', "export * from 'node:path'", '1:1 TS1233'],
  ])('%j, then %j', async (earlier, code, wanted) => {
    await expect(run([earlier, code])).rejects.toThrow(wanted);
  });

  test('documentation of functions and of preloaded names is shown', async () => {
    await run(['/** Adds one. */\nfunction increment(x: number) { return x + 1 }']);
    const { data } = await compiler.inspect('increment(1)', 3, 0);
    expect(data['text/plain']).toBe('increment(x: number): number\n\nAdds one.');
  });
});
