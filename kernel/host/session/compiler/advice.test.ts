import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createStockCompiler } from './stock/compiler.js';
import type { Compiler } from './types.js';

const PRELOAD = `
export declare class DType { readonly itemsize: number; readonly name: string }
export interface TensorOptions { dtype?: DType }
export declare class Tensor {
  get(...index: number[]): Tensor;
  sum(dim?: number): Tensor;
  add(other: Tensor | number): Tensor;
}
export declare const torch: {
  ones(...shape: (number | TensorOptions)[]): Tensor;
  tensor(data: number[], options?: TensorOptions): Tensor;
  noGrad<T>(body: () => T): T;
  linear(x: Tensor): Tensor;
  float32: DType;
};
export declare namespace dist {
  function getRank(): number;
  function allReduce(x: Tensor): void;
}
export declare namespace nn {
  class Linear { constructor(inFeatures: number, outFeatures: number) }
}
export declare function initDeviceMesh(device: string, shape: number[]): void;
`;
const folder = mkdtempSync(path.join(tmpdir(), 'shardbook-advice-'));
const preload = path.join(folder, 'preload.d.ts');
let compiler: Compiler;

beforeAll(() => {
  writeFileSync(preload, PRELOAD);
  compiler = createStockCompiler({ cwd: folder, preloadTypes: preload, runtimeTypes: preload });
}, 60_000);

afterAll(async () => {
  await compiler.close();
  rmSync(folder, { recursive: true });
});

/** What the diagnostics of a cell say and help with. */
async function told(code: string): Promise<string[]> {
  const { diagnostics } = await compiler.compile({ code, name: 'cell', level: 'errors' });
  return diagnostics.map(({ message, help }) => `${message.split('\n')[0]} ${help ?? '-'}`);
}

test.each([
  ['import torch.nn as nn', /torch, nn, F, optim and dist are there already/],
  ['from torch import nn', /are there already/],
  ['with torch.no_grad():\n  pass', /noGrad\(\(\) =>/],
  ['for i in range(3):\n  1', /for \(const x of list\)/],
  ['const w = torch.ones(2, 2); const y = w @ w;', /x\.matmul\(w\)/],
  ['!pip install torch', /shell/],
  ['if True: print(1)', /stands in parentheses/],
  ['# a comment', /begins with \/\//],
  ['print(1)', /console\.log/],
  ["torch.tensor([2], { dtype: 'float32' })", /torch\.float32/],
  ['torch.ones(2, 2).sum(dim=1)', /\{ dim: 1 \}/],
  ['fresh = torch.ones(2)', /const fresh = \.\.\./],
  ["init_device_mesh('cpu', [4])", /it is called initDeviceMesh/],
  ['all_reduce(torch.ones(1))', /it is called dist\.allReduce/],
  ['new Linear(3, 4)', /it is called nn\.Linear/],
  ['torch.ones(2)[0]', /x\.get\(0\)/],
  ['torch.ones(2) + 1', /x\.add\(y\)/],
  ["torch.ones(2, { dtype: 'float32' })", /torch\.float32/],
  ['torch.ones(2).cuda()', /no GPU/],
  ['torch.onse(2)', /Property 'onse' does not exist on .* did you mean ones\?/],
  ['dist.get_rank()', /does not exist on .*dist'\. Did you mean 'getRank'\?/],
  ['(async () => 1)() + 1', /await/],
  ['new torch.amp.GradScaler()', /optim\.GradScaler/],
  ['torch.func.functionalCall', /nn\.functionalCall/],
  ["import { a } from 'no-such-package'; a", /npm install no-such-package/],
  ["import { a } from './no-such.ts'; a", /folder of the notebook/],
])(
  '%j is answered with what to write',
  async (code, wanted) => {
    expect(await told(code)).toEqual(expect.arrayContaining([expect.stringMatching(wanted)]));
  },
  60_000,
);

test.each([
  'const q = 1 -',
  'console.log(1,',
  'if (true) {',
  'const a = [',
])('%j, which breaks off, is refused at its end, for its syntax alone', async (code) => {
  const { diagnostics, program } = await compiler.compile({ code, name: 'cell', level: 'errors' });
  expect(program).toBeUndefined();
  expect(diagnostics[0]).toMatchObject({ line: 1, forgivable: false });
}, 60_000);

test('a line of Python is explained once, and so is an operator', async () => {
  expect(await told('from torch import nn')).toHaveLength(1);
  expect(await told('const t = torch.ones(2);\nt * t')).toHaveLength(1);
}, 60_000);

test('a mistake whose cause nobody can tell is left alone', async () => {
  expect(await told('const a: number = "s"')).toEqual([expect.stringMatching(/ -$/)]);
  expect(await told('qwertyuiop')).toEqual([expect.stringMatching(/ -$/)]);
}, 60_000);
