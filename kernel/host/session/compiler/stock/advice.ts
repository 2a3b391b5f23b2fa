/** What helps with a mistake that comes from Python or from PyTorch's names: most learners know them, not ours. */

import ts from 'typescript';
import { nearestName } from '../../../../runtime/base/index.js';

/** A mistake, and where to look for what was meant. */
export interface Mistake {
  code: number;
  message: string;
  /** The text with the mistake, and its place in there. */
  text: string;
  start: number;
  length: number;
  /** Names in scope. */
  names(): Iterable<string>;
  /** Members of what a name in scope stands for, such as `torch` or `nn`. */
  membersOf(name: string): readonly string[];
  /** Members of the object whose member or element the mistake is about. */
  members(): readonly string[];
  /** The type of that object, or of the expression: such as `Tensor`. */
  type(): string;
}

/** Python at the start of a line: a line that does not parse is explained by the first that fits. */
const PYTHON_LINES: readonly [line: RegExp, help: string][] = [
  [
    /^\s*(from\s+[\w.]+\s+import\s|import\s+[\w.]+(\s+as\s+\w+)?\s*(,[\w.,\s]*)?;?\s*$)/,
    "torch, nn, F, optim and dist are there already; anything else: import { name } from 'package'",
  ],
  [
    /^\s*with\s.*:/,
    'there is no "with": torch.noGrad(() => { ... }) takes a function, and so do the other contexts',
  ],
  [/^\s*def\s/, 'a function is written function name(a, b) { ... }'],
  [/^\s*class\s.*:\s*$/, 'a class is written class Net extends nn.Module { ... }'],
  [/^\s*for\s+[\w\s,()]+\sin\s.*:/, 'a loop is written for (const x of list) { ... }'],
  [
    /^\s*(if|elif|else|while|try|except|finally)\b.*:\s*(#.*)?$/,
    'a condition stands in parentheses and a block in braces: if (a) { ... } else { ... }',
  ],
  [
    /^\s*(if|elif|while)\s+[^(\s].*:/,
    'a condition stands in parentheses and a block in braces: if (a) { ... } else { ... }',
  ],
  [/^\s*![a-z]/, 'a cell runs TypeScript, not shell commands: use a terminal for them'],
  [/\blambda\b[^:]*:/, 'a function without a name is written (x) => x + 1'],
  [/\b[fF](["'])/, `a text with values is written \`loss \${loss}\``],
  [/^\s*#/, 'a comment begins with //'],
  [/\s#\s/, 'a comment begins with //'],
  [/[\w)\]]\s*@\s*[\w(]/, 'the product of matrices is a method: x.matmul(w)'],
  [/\bnot\s+\w/, '"not x" is written !x'],
  [/\s(and|or)\s/, '"and" is written &&, "or" is written ||'],
  [/\[[^\]]*:[^\]]*\]/, 'x[1:3] is written x.get(torch.slice(1, 3))'],
  [/\*\*\w/, 'an object is spread by ...options'],
];

/** Python's names. */
const PYTHON_NAMES: Readonly<Record<string, string>> = {
  print: 'console.log(x) prints; the last expression of a cell is shown without it',
  len: 'a list has .length; x.size(0) is the first size of a tensor',
  range: 'for (let i = 0; i < n; i++) { ... } counts; torch.arange(n) is a tensor',
  enumerate: 'for (const [i, x] of list.entries()) { ... } counts while it walks',
  zip: 'as.map((a, i) => [a, bs[i]]) pairs two lists',
  isinstance: 'x instanceof Tensor asks for the class',
  type: 'typeof x and x.constructor.name tell what a value is',
  str: 'String(x) makes a text',
  int: 'Math.trunc(x) makes a whole number',
  float: 'Number(x) makes a number',
  list: '[...x] makes a list',
  dict: '{ key: value } is an object',
  True: 'true is written small',
  False: 'false is written small',
  None: 'None is written null, or left out',
  self: 'an object calls itself this',
  np: 'there is no numpy: torch has arrays, and x.tolist() gives lists',
  numpy: 'there is no numpy: torch has arrays, and x.tolist() gives lists',
  plt: "plot([{ y: values }], { title: { text: 'Loss' } }) draws a figure",
  os: 'process.env has the environment',
  time: 'performance.now() gives milliseconds; "%%time" at the top of a cell times it',
  DDP: 'it is called DistributedDataParallel',
  FSDP: 'fullyShard(module) shards a module',
};

const NO_GPU = 'there is no GPU: every rank computes on the CPU, so leave the device out';

/** PyTorch's members that are elsewhere here. */
const PYTORCH_MEMBERS: Readonly<Record<string, string>> = {
  cuda: NO_GPU,
  distributed: 'it is a name of its own: dist.allReduce(x)',
  nn: 'it is a name of its own: new nn.Linear(3, 4)',
  optim: 'it is a name of its own: new optim.AdamW(model.parameters())',
  amp: 'torch.autocast and optim.GradScaler are what it has',
  func: 'nn.functionalCall is what there is of it',
  functional: 'it is a name of its own: F.relu(x)',
  numpy: 'x.tolist() gives lists, x.item() a number',
  at: 'x.get(0) takes an index, x.get(torch.slice(1, 3)) a slice',
  slice: 'x.get(torch.slice(1, 3)) takes a slice',
  length: 'x.size(0) is the first size, x.numel() counts the elements',
  compile: 'there is no compiler: the module runs as it is',
  html: 'display(HTML(text)) shows HTML',
  latex: 'display(Latex(formula)) shows a formula',
  markdown: 'display(Markdown(text)) shows Markdown',
  plotly: 'plot(traces, layout) shows a figure',
};

/** Where a bare name may have come from: `Linear` is `nn.Linear`, `all_reduce` is `dist.allReduce`. */
const HOMES = ['torch', 'nn', 'F', 'optim', 'dist'] as const;

const TENSORS = new Set(['Tensor', 'DTensor', 'Parameter']);

/** One line of help, for the mistakes whose cause can be told from what was typed. */
export function advise(mistake: Mistake): string | undefined {
  const { code, message, text, start, length } = mistake;
  const word = text.slice(start, start + length);
  const line = lineAt(text, start);
  if (code < 2000 || code === 2300) return PYTHON_LINES.find(([pattern]) => pattern.test(line))?.[1];
  switch (code) {
    case 2304:
    case 2552:
      return unknownName(mistake, word, line);
    case 2339:
    case 2551:
      return unknownMember(mistake, word);
    case 2307:
      return unknownModule(word.slice(1, -1));
    case 7053:
      return TENSORS.has(mistake.type())
        ? 'x[0] is written x.get(0), x[1:3] is x.get(torch.slice(1, 3)), x[0] = y is x.set([0], y)'
        : undefined;
    case 2365:
      if (/'Promise</.test(message)) return 'await before a promise gives its value';
      return /'(D?Tensor|Parameter)'/.test(message) ? operatorHelp(text, start) : undefined;
    case 2362:
    case 2363:
      return TENSORS.has(mistake.type()) ? operatorHelp(text, start, code === 2363) : undefined;
    case 2322:
    case 2345:
    case 2769:
      return /'string' is not assignable to type 'DType'|\bdtype: string\b/.test(message)
        ? 'a dtype is a value, not a text: torch.float32'
        : undefined;
    default:
      return undefined;
  }
}

function unknownName(mistake: Mistake, word: string, line: string): string | undefined {
  const { text, start, length } = mistake;
  const after = text.slice(start + length);
  const before = text.slice(0, start).trimEnd();
  const assigned = /^\s*=(?![=>])/.test(after);
  if (assigned && /[(,]$/.test(before)) {
    const value = /^\s*=\s*([^,()\n]+)/.exec(after)?.[1]?.trim() ?? '...';
    return `arguments by name are one object here: { ${word}: ${value} }`;
  }
  if (assigned && line.trimStart().startsWith(word)) return `a new name is declared: const ${word} = ...`;
  if (/^\s*!/.test(line)) return PYTHON_LINES.find(([pattern]) => pattern.test(line))?.[1];
  if (Object.hasOwn(PYTHON_NAMES, word)) return PYTHON_NAMES[word];
  const wanted = camelCase(word);
  const names = [...mistake.names()];
  if (wanted !== word && names.includes(wanted)) return `it is called ${wanted}`;
  const homes = HOMES.filter((home) => names.includes(home));
  for (const same of [(a: string) => a, (a: string) => a.toLowerCase()])
    for (const home of homes) {
      const member = mistake.membersOf(home).find((each) => same(each) === same(wanted));
      if (member) return `it is called ${home}.${member}`;
    }
  return undefined;
}

function unknownMember(mistake: Mistake, word: string): string | undefined {
  const owner = /(\w+)\s*\??\.\s*$/.exec(mistake.text.slice(0, mistake.start))?.[1];
  const type = mistake.type();
  const ours = owner === 'torch' || owner === 'display' || TENSORS.has(type);
  if (ours && Object.hasOwn(PYTORCH_MEMBERS, word)) return PYTORCH_MEMBERS[word];
  if (/Did you mean/.test(mistake.message)) return undefined;
  if (/Promise</.test(mistake.message)) return 'await before a promise gives its value';
  const members = mistake.members();
  const near = nearestName(camelCase(word), members);
  if (near) return `did you mean ${near}?`;
  const home = HOMES.find((each) => each !== owner && mistake.membersOf(each).includes(camelCase(word)));
  return owner === 'torch' && home ? `it is called ${home}.${camelCase(word)}` : undefined;
}

function unknownModule(name: string): string {
  if (/^torch\b/.test(name)) return 'torch, nn, F, optim and dist are there already: no import is needed';
  if (/^\.{0,2}\//.test(name)) return 'paths count from the folder of the notebook';
  const parts = name.split('/');
  const packageName = name.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
  return `"npm install ${packageName}" in the folder of the notebook, or above it, makes it known`;
}

const METHODS: Readonly<Record<string, string>> = {
  '+': 'add',
  '-': 'sub',
  '*': 'mul',
  '/': 'div',
  '**': 'pow',
  '%': 'remainder',
  '<': 'lt',
  '>': 'gt',
  '<=': 'le',
  '>=': 'ge',
};

/** The operator behind a place, or in front of it, as a method. */
function operatorHelp(text: string, start: number, inFront = false): string {
  const place = start - lineStart(text, start);
  const line = lineAt(text, start);
  const operators = (inFront ? line.slice(0, place) : line.slice(place)).match(/\*\*|[<>]=?|[-+*/%]/g);
  const method = METHODS[operators?.at(inFront ? -1 : 0) ?? ''] ?? 'add';
  return `arithmetic on tensors is by methods: x.${method}(y)`;
}

function camelCase(name: string): string {
  return name.replace(/(?<=[a-z0-9])_([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase());
}

function lineStart(text: string, place: number): number {
  return text.lastIndexOf('\n', place - 1) + 1;
}

function lineAt(text: string, place: number): string {
  const end = text.indexOf('\n', place);
  return text.slice(lineStart(text, place), end < 0 ? text.length : end);
}

/** What `advise` asks of a program, answered by its type checker. */
export function checkerAnswers(
  program: () => ts.Program,
  path: string,
  start: number,
  length: number,
): Pick<Mistake, 'names' | 'membersOf' | 'members' | 'type'> {
  const look = () => ({ checker: program().getTypeChecker(), file: program().getSourceFile(path)! });
  const namesOf = (type: ts.Type) => type.getApparentProperties().map(({ name }) => name);
  const object = (): ts.Type | undefined => {
    const { checker, file } = look();
    let node = nodeOf(file, start, length);
    if (node && ts.isElementAccessExpression(node)) node = node.expression;
    else if (node && ts.isPropertyAccessExpression(node.parent) && node.parent.name === node)
      node = node.parent.expression;
    return node ? checker.getTypeAtLocation(node) : undefined;
  };
  return {
    names: () => {
      const { checker, file } = look();
      return checker
        .getSymbolsInScope(file.endOfFileToken, ts.SymbolFlags.Value | ts.SymbolFlags.Alias)
        .map(({ name }) => name);
    },
    membersOf: (name) => {
      const { checker, file } = look();
      const symbol = checker.resolveName(name, file.endOfFileToken, ts.SymbolFlags.Value, false);
      return symbol ? namesOf(checker.getTypeOfSymbolAtLocation(symbol, file)) : [];
    },
    members: () => {
      const type = object();
      return type ? namesOf(type) : [];
    },
    type: () => object()?.symbol?.name ?? '',
  };
}

/** The node that a diagnostic is about. */
function nodeOf(file: ts.SourceFile, start: number, length: number): ts.Node | undefined {
  let found: ts.Node | undefined;
  const visit = (node: ts.Node): void => {
    if (start < node.getStart(file) || start + length > node.end) return;
    found = node;
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** A message without the types of whole namespaces: `torch` says more than four hundred members, or than a path. */
export function readable(message: string, text: string, start: number): string {
  const owner = /([\w$]+)\s*\??\.\s*$/.exec(text.slice(0, start))?.[1];
  const named = message
    .replace(
      / on type '(\{ .{80,} \}|typeof import\("[^"]*"\))'/,
      owner ? ` on '${owner}'` : ' on this object',
    )
    .replace(/typeof import\("[^"]*\/([^"/]+)"\)/g, 'typeof $1');
  return named.replace(/import\("[^"]*"\)\./g, '');
}
