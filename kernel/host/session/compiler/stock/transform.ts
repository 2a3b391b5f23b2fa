/**
 * From a checked cell to what a rank runs. Names of earlier cells become properties of `exports`, whose prototype chain is
 * the rank's namespace; the cell's own names are published there as accessors, so that later cells and this cell's
 * functions share one variable; the value of the last expression is left under a name of its own.
 */
import ts from 'typescript';

export interface CellLimits {
  /** Where the cell starts and ends in the text of its module. */
  start: number;
  end: number;
  /** Names that the line before the cell brings. */
  earlier: { has(name: string): boolean };
  /** Names that the cell declares or imports. */
  declared: Iterable<string>;
  resultName: string | undefined;
}

const EXPORTS = 'exports';
/** Names of the parameter (and its property) that stand for `import()` and `import.meta`. */
const IMPORT_MODULE = 'importModule';

export function cellTransformer(
  checker: ts.TypeChecker,
  cell: CellLimits,
): ts.TransformerFactory<ts.SourceFile> {
  return (context) => (file) => {
    const { factory } = context;
    const visit = visitor(context, checker, file, cell);
    const own = file.statements.filter((s) => s.getStart(file) >= cell.start && s.end <= cell.end);
    const statements = own.map((statement, i) => {
      const visited = ts.visitNode(statement, visit) as ts.Statement;
      if (i < own.length - 1 || cell.resultName === undefined || !ts.isExpressionStatement(visited))
        return visited;
      const result = factory.createPropertyAccessExpression(
        factory.createIdentifier(EXPORTS),
        cell.resultName,
      );
      const assignment = factory.createAssignment(result, visited.expression);
      return ts.setTextRange(factory.createExpressionStatement(assignment), statement);
    });
    const published = publishedNames(checker, file, own, cell.declared).map((name) => publish(factory, name));
    return factory.updateSourceFile(file, [...published, ...statements]);
  };
}

/** `import()` and `import.meta` mean the same in the learner's files as in cells. */
export function sideFileTransformer(): ts.TransformerFactory<ts.SourceFile> {
  return (context) => (file) => {
    const visit = (node: ts.Node): ts.Node =>
      moduleSyntax(context.factory, node, visit) ?? ts.visitEachChild(node, visit, context);
    return ts.visitEachChild(file, visit, context);
  };
}

function visitor(
  context: ts.TransformationContext,
  checker: ts.TypeChecker,
  file: ts.SourceFile,
  cell: CellLimits,
): ts.Visitor {
  const { factory } = context;
  const isEarlier = (symbol: ts.Symbol | undefined): boolean =>
    symbol?.declarations?.some((d) => d.getSourceFile() === file && d.end <= cell.start) ?? false;
  const property = (name: string): ts.Expression =>
    factory.createPropertyAccessExpression(factory.createIdentifier(EXPORTS), name);
  const means = (node: ts.Identifier): boolean =>
    cell.earlier.has(node.text) && isEarlier(checker.getSymbolAtLocation(node));

  const visit = (node: ts.Node): ts.Node => {
    if (ts.isIdentifier(node)) return means(node) ? ts.setTextRange(property(node.text), node) : node;
    if (ts.isShorthandPropertyAssignment(node)) return shorthand(node);
    if (ts.isExpressionWithTypeArguments(node)) {
      if (ts.isHeritageClause(node.parent) && node.parent.token === ts.SyntaxKind.ImplementsKeyword)
        return node;
      const expression = ts.visitNode(node.expression, visit) as ts.Expression;
      return factory.updateExpressionWithTypeArguments(node, expression, node.typeArguments);
    }
    if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node))
      return node;
    if (ts.isImportDeclaration(node)) return node;
    const call = calledEarlier(node);
    if (call) return call;
    return moduleSyntax(factory, node, visit) ?? ts.visitEachChild(node, visit, context);
  };

  /** `{ x }` of an earlier cell's x is `{ x: exports.x }`; `{ x = 1 } = ...` likewise. */
  const shorthand = (node: ts.ShorthandPropertyAssignment): ts.Node => {
    const { text } = node.name;
    const otherwise = node.objectAssignmentInitializer
      ? (ts.visitNode(node.objectAssignmentInitializer, visit) as ts.Expression)
      : undefined;
    if (!cell.earlier.has(text) || !isEarlier(checker.getShorthandAssignmentValueSymbol(node)))
      return factory.updateShorthandPropertyAssignment(node, node.name, otherwise);
    const value = otherwise ? factory.createAssignment(property(text), otherwise) : property(text);
    return ts.setTextRange(factory.createPropertyAssignment(text, value), node);
  };

  /** `f()` of an earlier cell is called without `exports` as its `this`. */
  const calledEarlier = (node: ts.Node): ts.Node | undefined => {
    // A stack names the place where the name starts: no mapping may come between it and the opening bracket.
    const bare = (name: ts.Identifier): ts.Expression => {
      const sequence = factory.createComma(factory.createNumericLiteral(0), property(name.text));
      const callee = ts.setTextRange(factory.createParenthesizedExpression(sequence), name);
      return ts.setEmitFlags(callee, ts.EmitFlags.NoTrailingSourceMap | ts.EmitFlags.NoNestedSourceMaps);
    };
    if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && means(node.expression)) {
      const args = node.arguments.map((argument) => ts.visitNode(argument, visit) as ts.Expression);
      return ts.setTextRange(
        node.flags & ts.NodeFlags.OptionalChain
          ? factory.createCallChain(bare(node.expression), node.questionDotToken, undefined, args)
          : factory.createCallExpression(bare(node.expression), undefined, args),
        node,
      );
    }
    if (ts.isTaggedTemplateExpression(node) && ts.isIdentifier(node.tag) && means(node.tag)) {
      const template = ts.visitNode(node.template, visit) as ts.TemplateLiteral;
      return factory.updateTaggedTemplateExpression(node, bare(node.tag), undefined, template);
    }
    return undefined;
  };
  return visit;
}

function moduleSyntax(factory: ts.NodeFactory, node: ts.Node, visit: ts.Visitor): ts.Node | undefined {
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const args = node.arguments.map((argument) => ts.visitNode(argument, visit) as ts.Expression);
    const call = factory.createCallExpression(factory.createIdentifier(IMPORT_MODULE), undefined, args);
    return ts.setTextRange(call, node);
  }
  if (ts.isMetaProperty(node) && node.keywordToken === ts.SyntaxKind.ImportKeyword)
    return ts.setTextRange(
      factory.createPropertyAccessExpression(factory.createIdentifier(IMPORT_MODULE), 'meta'),
      node,
    );
  return undefined;
}

interface Published {
  name: string;
  /** The identifier whose meaning the accessor has: names of imports are rewritten by TypeScript afterwards. */
  node: ts.Identifier;
  assignable: boolean;
}

/** Names with a value: types, `declare`d names and imports of types have none. */
function publishedNames(
  checker: ts.TypeChecker,
  file: ts.SourceFile,
  statements: readonly ts.Statement[],
  declared: Iterable<string>,
): Published[] {
  const found: Published[] = [];
  const locals = (file as ts.SourceFile & { locals?: ts.SymbolTable }).locals;
  for (const name of declared) {
    const symbol = locals?.get(ts.escapeLeadingUnderscores(name));
    const values = symbol?.declarations?.filter((d) => isRuntimeDeclaration(d, statements));
    if (!symbol || !values || values.length === 0) continue;
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    const unknown = target.declarations === undefined;
    if (!(target.flags & ts.SymbolFlags.Value) && !unknown) continue;
    const node = values
      .map((d) => ts.getNameOfDeclaration(d))
      .find((n) => n !== undefined && ts.isIdentifier(n));
    if (!node) continue;
    found.push({
      name,
      node: node as ts.Identifier,
      assignable: values.some((d) => !(ts.getCombinedNodeFlags(d) & ts.NodeFlags.Constant) && isVariable(d)),
    });
  }
  return found;
}

function isVariable(declaration: ts.Declaration): boolean {
  return ts.isVariableDeclaration(declaration) || ts.isBindingElement(declaration);
}

function isRuntimeDeclaration(declaration: ts.Declaration, statements: readonly ts.Statement[]): boolean {
  if (ts.isInterfaceDeclaration(declaration) || ts.isTypeAliasDeclaration(declaration)) return false;
  let statement: ts.Node = declaration;
  while (!ts.isSourceFile(statement.parent)) statement = statement.parent;
  if (!statements.includes(statement as ts.Statement)) return false;
  if (ts.isImportDeclaration(statement)) {
    const specifier = ts.isImportSpecifier(declaration) && declaration.isTypeOnly;
    return !statement.importClause?.isTypeOnly && !specifier;
  }
  return !(ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Ambient);
}

/** `Object.defineProperty(exports, "n", { ..., get: () => n, set: (value) => { n = value; } })` */
function publish(factory: ts.NodeFactory, { name, node, assignable }: Published): ts.Statement {
  const reference = (): ts.Identifier => ts.setOriginalNode(factory.createIdentifier(name), node);
  const arrow = (parameters: ts.ParameterDeclaration[], body: ts.ConciseBody): ts.Expression =>
    factory.createArrowFunction(undefined, undefined, parameters, undefined, undefined, body);
  const value = factory.createParameterDeclaration(undefined, undefined, 'value');
  const assign = factory.createAssignment(reference(), factory.createIdentifier('value'));
  return factory.createExpressionStatement(
    factory.createCallExpression(
      factory.createPropertyAccessExpression(factory.createIdentifier('Object'), 'defineProperty'),
      undefined,
      [
        factory.createIdentifier(EXPORTS),
        factory.createStringLiteral(name),
        factory.createObjectLiteralExpression([
          factory.createPropertyAssignment('configurable', factory.createTrue()),
          factory.createPropertyAssignment('enumerable', factory.createTrue()),
          factory.createPropertyAssignment('get', arrow([], reference())),
          ...(assignable
            ? [
                factory.createPropertyAssignment(
                  'set',
                  arrow([value], factory.createBlock([factory.createExpressionStatement(assign)])),
                ),
              ]
            : []),
        ]),
      ],
    ),
  );
}
