/**
 * Automatic mutants of a reference solution: one small mistake each, of the kinds that learners make. Found in the syntax tree, so
 * that a mutant always parses. What no check kills is a hole in the checks, or equivalent, which the author writes down.
 */
import ts from 'typescript';

export interface Mutant {
  readonly kind: string;
  readonly line: number;
  /** `kind: before -> after`, as an author names it when explaining why it survives. */
  readonly label: string;
  readonly text: string;
}

interface Edit {
  readonly kind: string;
  readonly node: ts.Node;
  readonly after: string;
}

/** Method and function names that are mistaken for each other. */
const SWAPS: Readonly<Record<string, readonly string[]>> = {
  allReduce: ['broadcast', 'reduce'],
  reduceScatter: ['allToAll'],
  reduceScatterSingle: ['allToAllSingle'],
  allToAll: ['allGather'],
  send: ['isend'],
  isend: ['send'],
  add_: ['copy_'],
  copy_: ['add_'],
  add: ['sub'],
  sub: ['add'],
  mul: ['div'],
  sum: ['mean'],
  mean: ['sum'],
  max: ['min'],
  min: ['max'],
  ceil: ['floor'],
  floor: ['ceil'],
};
const CONSTANTS: Readonly<Record<string, string>> = {
  SUM: 'AVG',
  AVG: 'SUM',
  MAX: 'MIN',
  MIN: 'MAX',
  bfloat16: 'float32',
};
const DROPPED_CALLS = new Set(['clone', 'detach', 'contiguous', 'div', 'div_']);
const RANK_NAMES = new Set(['rank', 'me', 'left', 'right', 'src', 'dst', 'peer', 'root']);
const WORLD_NAMES = new Set(['worldSize', 'world', 'size']);
const DIM_CALLS = new Set([
  'narrow',
  'cat',
  'concat',
  'chunk',
  'split',
  'sum',
  'mean',
  'select',
  'stack',
  'unbind',
  'indexSelect',
  'Shard',
  'transpose',
  'size',
]);
const OPERATORS: Readonly<Record<number, readonly string[]>> = {
  [ts.SyntaxKind.PlusToken]: ['-'],
  [ts.SyntaxKind.MinusToken]: ['+'],
  [ts.SyntaxKind.LessThanToken]: ['<='],
  [ts.SyntaxKind.LessThanEqualsToken]: ['<'],
  [ts.SyntaxKind.GreaterThanToken]: ['>='],
  [ts.SyntaxKind.GreaterThanEqualsToken]: ['>'],
  [ts.SyntaxKind.EqualsEqualsEqualsToken]: ['!=='],
  [ts.SyntaxKind.ExclamationEqualsEqualsToken]: ['==='],
  [ts.SyntaxKind.AmpersandAmpersandToken]: ['||'],
  [ts.SyntaxKind.BarBarToken]: ['&&'],
};

/** All mutants of `source`, in the order of their places. */
export function makeMutants(source: string): Mutant[] {
  const file = ts.createSourceFile('reference.ts', source, ts.ScriptTarget.ES2022, true);
  const edits: Edit[] = [];
  const visit = (node: ts.Node): void => {
    // Types and imports say nothing about what is computed.
    if (
      ts.isTypeNode(node) ||
      ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node) ||
      ts.isImportDeclaration(node)
    )
      return;
    edits.push(...editsOf(node, file));
    ts.forEachChild(node, visit);
  };
  visit(file);
  const seen = new Set([source]);
  return edits.flatMap(({ kind, node, after }) => {
    const start = node.getStart(file);
    const text = source.slice(0, start) + after + source.slice(node.getEnd());
    if (seen.has(text)) return [];
    seen.add(text);
    const line = file.getLineAndCharacterOfPosition(start).line + 1;
    const short = (code: string): string => code.replace(/\s+/g, ' ').slice(0, 60);
    const place = short(
      node.parent === undefined || ts.isStatement(node) ? node.getText(file) : contextOf(node, file),
    );
    return [{ kind, line, label: `${kind}: ${place} -> ${short(after) || 'nothing'}`, text }];
  });
}

function editsOf(node: ts.Node, file: ts.SourceFile): Edit[] {
  const edits: Edit[] = [];
  const add = (kind: string, target: ts.Node, after: string): void =>
    void edits.push({ kind, node: target, after });
  if (ts.isNumericLiteral(node) && !ts.isPropertyAssignment(node.parent)) {
    const value = Number(node.text);
    if (Number.isInteger(value)) {
      add('off by one', node, String(value + 1));
      if (value > 0) add('off by one', node, String(value - 1));
    }
  }
  if (ts.isBinaryExpression(node)) {
    const { left, right, operatorToken } = node;
    for (const after of OPERATORS[operatorToken.kind] ?? [])
      add(isComparison(after) ? 'off by one' : 'wrong operator', operatorToken, after);
    if (operatorToken.kind === ts.SyntaxKind.SlashToken)
      add('dropped division', node, `(${left.getText(file)})`);
    if (operatorToken.kind === ts.SyntaxKind.PercentToken)
      add('dropped modulo', node, `(${left.getText(file)})`);
    if (operatorToken.kind === ts.SyntaxKind.AsteriskToken)
      add('dropped factor', node, `(${right.getText(file)})`);
  }
  if (ts.isCallExpression(node)) edits.push(...callEdits(node, file));
  if (ts.isNewExpression(node) && DIM_CALLS.has(node.expression.getText(file)))
    edits.push(...dimEdits(node.arguments ?? []));
  if (ts.isPropertyAccessExpression(node) && Object.hasOwn(CONSTANTS, node.name.text))
    add('wrong constant', node.name, CONSTANTS[node.name.text]!);
  if (ts.isIdentifier(node) && isRead(node)) {
    if (RANK_NAMES.has(node.text)) add('stale rank', node, '0');
    if (WORLD_NAMES.has(node.text)) add('fixed world', node, '2');
  }
  if (ts.isExpressionStatement(node)) {
    const text = node.getText(file);
    add(/zeroGrad/i.test(text) ? 'missing zero-grad' : 'left out', node, ';');
  }
  if (node.kind === ts.SyntaxKind.TrueKeyword) add('flag turned', node, 'false');
  if (node.kind === ts.SyntaxKind.FalseKeyword) add('flag turned', node, 'true');
  if (ts.isIfStatement(node)) add('condition dropped', node.expression, 'true');
  return edits;
}

function callEdits(node: ts.CallExpression, file: ts.SourceFile): Edit[] {
  const { expression } = node;
  const edits: Edit[] = [];
  const name = ts.isPropertyAccessExpression(expression) ? expression.name : expression;
  const text = name.getText(file);
  for (const after of Object.hasOwn(SWAPS, text) ? SWAPS[text]! : [])
    edits.push({ kind: 'swapped call', node: name, after });
  if (ts.isPropertyAccessExpression(expression) && DROPPED_CALLS.has(text))
    edits.push({
      kind: text.startsWith('div') ? 'dropped division' : 'dropped call',
      node,
      after: expression.expression.getText(file),
    });
  if (DIM_CALLS.has(text)) edits.push(...dimEdits(node.arguments));
  return edits;
}

/** A literal 0 or 1 as an argument of what takes a dimension. */
function dimEdits(args: readonly ts.Expression[]): Edit[] {
  return args
    .filter((arg) => ts.isNumericLiteral(arg) && (arg.text === '0' || arg.text === '1'))
    .map((arg) => ({
      kind: 'wrong dim',
      node: arg,
      after: (arg as ts.NumericLiteral).text === '0' ? '1' : '0',
    }));
}

/** Whether the name is a value that is read here, not declared, assigned or a key. */
function isRead(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (
    ts.isBindingElement(parent) ||
    ts.isParameter(parent) ||
    ts.isFunctionDeclaration(parent) ||
    ts.isShorthandPropertyAssignment(parent)
  )
    return false;
  if (ts.isVariableDeclaration(parent)) return parent.initializer === node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  if (ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.EqualsToken)
    return parent.right === node;
  return ts.isExpression(parent) && !ts.isPostfixUnaryExpression(parent);
}

function isComparison(operator: string): boolean {
  return /[<>]/.test(operator);
}

/** The expression around a small node, so that its label says where it is. */
function contextOf(node: ts.Node, file: ts.SourceFile): string {
  let outer = node;
  while (
    outer.parent !== undefined &&
    !ts.isStatement(outer.parent) &&
    outer.parent.getText(file).length <= 60
  )
    outer = outer.parent;
  const text = outer.getText(file);
  const from = node.getStart(file) - outer.getStart(file);
  return `${text.slice(0, from)}[${node.getText(file)}]${text.slice(from + node.getWidth(file))}`;
}
