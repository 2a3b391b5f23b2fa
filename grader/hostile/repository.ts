/** What is handed in beside, around or instead of a source. */
import { type Hostile, cells, fn, repeat, right, RIGHT } from './common.js';

export const repository: Hostile[] = [
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
    verdict: 'compile-error',
    says: 'too deeply',
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

