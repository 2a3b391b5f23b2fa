/**
 * The table of the public API beside PyTorch's: `node kernel/build/api-table.mjs` writes lessons/api-table.md from the
 * built package and kernel/build/api-names.json; `--check` says whether it is current; `--resolve PYTHON` looks every name
 * that the data does not have up in a real PyTorch and writes the data.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const DATA = join(here, 'api-names.json');
const PAGE = join(root, 'lessons/api-table.md');

/** Tables of the page: title, how its names are written, where PyTorch has them. */
const TABLES = [
  ['Tensors', 'Tensor', ['torch.Tensor', 'torch', 'torch.nn.functional']],
  [
    'Functions of torch',
    'torch',
    [
      'torch',
      'torch.cuda',
      'torch.linalg',
      'torch.special',
      'torch.amp',
      'torch.random',
      'torch.Tensor',
      'torch.nn.functional',
    ],
  ],
  ['nn.functional', 'F', ['torch.nn.functional']],
  [
    'nn',
    'nn',
    [
      'torch.nn',
      'torch.nn.modules.module',
      'torch.nn.parameter',
      'torch.func',
      'torch.nn.Transformer',
      'torch.distributed.algorithms._checkpoint.checkpoint_wrapper',
      'copy',
    ],
  ],
  ['nn.init', 'nn.init', ['torch.nn.init']],
  ['nn.utils', 'nn.utils', ['torch.nn.utils', 'torch.nn.utils.rnn']],
  ['Module', 'Module', ['torch.nn.Module']],
  ['optim', 'optim', ['torch.optim', 'torch.nn.utils', 'torch.amp']],
  ['optim.lrScheduler', 'optim.lrScheduler', ['torch.optim.lr_scheduler']],
  ['autograd', 'autograd', ['torch.autograd', 'torch.autograd.graph', 'torch.utils.checkpoint']],
  [
    'dist',
    'dist',
    [
      'torch.distributed',
      'torch.distributed.tensor',
      'torch.distributed.device_mesh',
      'torch.distributed.tensor.parallel',
      'torch.futures',
      'torch.distributed.rendezvous',
    ],
  ],
  ['DeviceMesh', 'DeviceMesh', ['torch.distributed.device_mesh.DeviceMesh']],
  ['DTensor', 'DTensor', ['torch.distributed.tensor.DTensor']],
  [
    'dtensor',
    'dtensor',
    [
      'torch.distributed.tensor',
      'torch.distributed.tensor._utils',
      'torch.distributed.tensor.experimental',
      'torch.distributed.tensor.debug',
      'torch.distributed.tensor.placement_types',
    ],
  ],
  ['FSDPModule', 'FSDPModule', ['torch.distributed.fsdp.FSDPModule']],
  [
    'Names at the top',
    '',
    [
      'torch.distributed.fsdp',
      'torch.distributed.tensor',
      'torch.distributed.device_mesh',
      'torch.distributed.tensor.parallel',
      'torch.distributed.tensor.debug',
      'torch.distributed.tensor.experimental',
      'torch.distributed.checkpoint.state_dict',
      'torch.nn.parallel',
      'torch.nn',
      'torch.distributed',
      'torch',
      'torch.autograd',
      'torch.distributed.algorithms.ddp_comm_hooks.default_hooks',
      'torch.distributed.tensor._utils',
    ],
  ],
];
/** Words of the top that are explained elsewhere, or for the kernel itself. */
const LEFT_OUT = new Set([
  'torch',
  'nn',
  'optim',
  'F',
  'dist',
  'dtensor',
  'autograd',
  'prototype',
  'length',
  'name',
  'constructor',
  'arguments',
  'caller',
]);

const api = await import(pathToFileURL(join(root, 'dist/index.js')).href);
const names = publicNames();
const data = existsSync(DATA) ? JSON.parse(readFileSync(DATA, 'utf8')) : { names: {}, notes: {} };
const at = process.argv.indexOf('--resolve');
if (at > 0) {
  lookUp(process.argv[at + 1] ?? 'python3');
  writeFileSync(DATA, `${JSON.stringify(data, null, 1)}\n`);
}
const problems = [
  ...names.flatMap(({ key }) =>
    key in data.names ? [] : [`"${key}" is not in kernel/build/api-names.json`],
  ),
  ...Object.keys(data.names).flatMap((key) =>
    names.some((name) => name.key === key) ? [] : [`"${key}" is not public`],
  ),
];
const page = draw();
if (process.argv.includes('--check')) {
  if (!existsSync(PAGE) || readFileSync(PAGE, 'utf8') !== page)
    problems.push('lessons/api-table.md is not current: node kernel/build/api-table.mjs');
  for (const problem of problems) console.log(problem);
  console.log(`${names.length} names, ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
} else {
  for (const problem of problems) console.log(problem);
  writeFileSync(PAGE, page);
}

function publicNames() {
  const holders = {
    '': api,
    Tensor: api.Tensor,
    torch: api.torch,
    F: api.F,
    nn: api.nn,
    'nn.init': api.nn.init,
    'nn.utils': api.nn.utils,
    Module: api.Module,
    optim: api.optim,
    'optim.lrScheduler': api.optim.lrScheduler,
    autograd: api.autograd,
    dist: api.dist,
    DeviceMesh: api.DeviceMesh,
    DTensor: api.DTensor,
    dtensor: api.dtensor,
    FSDPModule: api.FSDPModule,
  };
  return TABLES.flatMap(([title, prefix]) => {
    const holder = holders[prefix];
    const inherited = prefix === 'DTensor' ? api.Tensor.prototype : undefined;
    const own =
      typeof holder === 'function'
        ? [
            ...Object.getOwnPropertyNames(holder.prototype),
            ...inheritedBy(prefix, holder),
            ...Object.getOwnPropertyNames(holder),
          ]
        : Object.keys(holder);
    return [...new Set(own)]
      .filter(
        (name) => /^[A-Za-z]\w*$/.test(name) && !LEFT_OUT.has(name) && !(inherited && name in inherited),
      )
      .sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))
      .map((name) => ({ title, name, key: prefix === '' ? name : `${prefix}.${name}` }));
  });
}

/** fullyShard gives a module the methods of FSDPModule's parent. */
function inheritedBy(prefix, holder) {
  return prefix === 'FSDPModule' ? Object.getOwnPropertyNames(Object.getPrototypeOf(holder.prototype)) : [];
}

/** Writes where PyTorch has each unknown name; null where it has none. */
function lookUp(python) {
  const wanted = names
    .filter(({ key }) => !(key in data.names))
    .map(({ key, name, title }) => ({ key, name, modules: TABLES.find(([t]) => t === title)[2] }));
  const program = `
import importlib, json, re, sys, warnings
warnings.filterwarnings('ignore')
def find(path):
    parts = path.split('.')
    for n in range(len(parts), 0, -1):
        try:
            value = importlib.import_module('.'.join(parts[:n]))
        except Exception:
            continue
        try:
            for part in parts[n:]:
                value = getattr(value, part)
            return value
        except AttributeError:
            return None
    return None
EXACT = {
    'AutogradFunction': 'torch.autograd.Function',
    'FunctionContext': 'torch.autograd.function.FunctionCtx',
    'dist.functional': 'torch.distributed._functional_collectives',
    'dist.getStore': 'torch.distributed.distributed_c10d._get_default_store',
    'F.varlenAttention': 'torch.nn.attention.varlen.varlen_attn',
    'DeviceMesh.slice': 'torch.distributed.device_mesh.DeviceMesh.__getitem__',
    'Tensor.get': 'torch.Tensor.__getitem__',
    'Tensor.set': 'torch.Tensor.__setitem__',
    'torch.invert': 'torch.bitwise_not',
    'DefaultAllGather': 'torch.distributed.fsdp._fully_shard._fsdp_collectives.DefaultAllGather',
    'DefaultReduceScatter': 'torch.distributed.fsdp._fully_shard._fsdp_collectives.DefaultReduceScatter',
    'ModuleTracker': 'torch.utils.module_tracker.ModuleTracker',
    'nn.IncompatibleKeys': 'torch.nn.modules.module._IncompatibleKeys',
}
out = {}
for item in json.load(sys.stdin):
    name = item['name']
    snake = re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', name).lower()
    digits = re.sub(r'([a-z])(\\d)', r'\\1_\\2', snake)
    upper = name[0].upper() + name[1:]
    tries = [name, snake, snake.replace('_', ''), digits, upper, '__' + snake + '__', '_' + snake, '_' + name, snake + '_tensor']
    if snake.endswith('_'):
        tries.append(snake[:-1].replace('_', '') + '_')
    if snake.startswith('is_'):
        tries.append('is' + snake[3:])
    found = None
    for module in item['modules']:
        holder = find(module)
        if holder is None:
            continue
        for word in tries:
            if hasattr(holder, word):
                found = module + '.' + word
                break
        if found:
            break
    out[item['key']] = EXACT.get(item['key'], found)
print(json.dumps(out))
`;
  const { stdout, stderr, status } = spawnSync(python, ['-c', program], {
    input: JSON.stringify(wanted),
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(stderr);
  Object.assign(data.names, JSON.parse(stdout));
  for (const key of Object.keys(data.names))
    if (!names.some((name) => name.key === key)) delete data.names[key];
  data.names = Object.fromEntries(Object.entries(data.names).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function draw() {
  const out = [
    '# The API beside PyTorch’s',
    '',
    'Written by `node kernel/build/api-table.mjs` from what the package exports. Names were looked up in PyTorch 2.13.',
    '',
    '## What differs everywhere',
    '',
    '- Names are in camelCase: `torch.manual_seed` is `torch.manualSeed`. Classes keep theirs.',
    '- Keyword arguments are one object at the end: `dist.all_reduce(t, op=ReduceOp.MAX)` is `dist.allReduce(t, { op: ReduceOp.MAX })`.',
    '- A module is called by `model.call(x)`; operators are methods: `a + b` is `a.add(b)`, `a @ b` is `a.matmul(b)`, `a[0]` is `a.select(0, 0)` or `a.at(0)`.',
    '- `with` blocks take a function: `torch.noGrad(() => ...)`.',
    '- int64 values that do not fit a double are bigints; all others are numbers.',
    '- Ranks are threads of one process on the CPU; there is no `cuda` device. Times are virtual where they are asked for.',
    '- Errors are `ShardbookError`s with a code, what was wrong, and what helps.',
    '',
  ];
  for (const [title, prefix] of TABLES) {
    const rows = names.filter((name) => name.title === title);
    const known = rows.filter(({ key }) => data.names[key] != null).length;
    out.push(
      `## ${title}`,
      '',
      `${rows.length} names, ${known} of them PyTorch's.`,
      '',
      '| Shardbook | PyTorch | Difference |',
      '| --- | --- | --- |',
    );
    for (const { name, key } of rows) {
      const theirs = data.names[key];
      const note = data.notes[key] ?? (theirs == null ? 'ours' : '');
      out.push(`| \`${prefix === '' ? name : key}\` | ${theirs == null ? '' : `\`${theirs}\``} | ${note} |`);
    }
    out.push('');
  }
  return `${out.join('\n').trimEnd()}\n`;
}
