/** Compiles submissions for the grader, in a process that it can end: parses, takes the types off, resolves imports. Nothing is run. */
import { dirname, join as joinPath, normalize } from 'node:path/posix';
import ts from 'typescript';
import { type CompileAnswer, type CompileRequest, SOURCES } from '../../../../grader/wire.js';

/** Characters that make source read otherwise than it runs. */
const DECEPTIVE = /[\u202a-\u202e\u2066-\u2069]/;

class Refusal extends Error {
  constructor(
    message: string,
    readonly line?: number,
  ) {
    super(message);
  }
}

export function serveCompiler(): void {
  process.on('message', (request: CompileRequest) => process.send!(answer(request)));
}

function answer(request: CompileRequest): CompileAnswer {
  const { id } = request;
  let current = request.files[0]!.name;
  try {
    const files = request.files.map((file) => {
      current = file.name;
      return { name: moduleName(file.name, request), code: compile(file.name, file.text, request) };
    });
    return { id, files };
  } catch (error) {
    const tooDeep = error instanceof RangeError;
    const message =
      error instanceof Refusal
        ? error.message
        : `The file cannot be compiled: ${tooDeep ? 'it is nested too deeply' : (error as Error).message}`;
    const line = error instanceof Refusal ? error.line : undefined;
    return { id, refused: { file: current, message, ...(line === undefined ? {} : { line }) } };
  }
}

/** All lie in one folder under names of their own: what a file or a folder of a submission is called says nothing there. */
function moduleName(name: string, request: CompileRequest): string {
  const number = request.files.findIndex((file) => file.name === name);
  return number === 0 ? 'submission.mjs' : `part-${number}.mjs`;
}

function compile(name: string, text: string, request: CompileRequest): string {
  const deceptive = DECEPTIVE.exec(text);
  if (deceptive !== null)
    throw new Refusal(
      'The file holds characters that change the direction of text',
      lineAt(text, deceptive.index),
    );
  const isEntry = name === request.files[0]!.name;
  const complete = isEntry && request.preloaded !== undefined ? completeCell(text, request) : text;
  const result = ts.transpileModule(complete, {
    fileName: name,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      inlineSourceMap: true,
      sourceRoot: joinPath(SOURCES, dirname(name), '/'),
    },
    transformers: { after: [resolveImports(name, text, request)] },
  });
  const diagnostic = result.diagnostics?.find(({ category }) => category === ts.DiagnosticCategory.Error);
  if (diagnostic !== undefined) {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
    throw new Refusal(`The file does not parse: ${message}`, lineAt(text, diagnostic.start ?? 0));
  }
  return result.outputText;
}

/** A cell has names without importing them and exports nothing. What is added stands on the first and last line. */
function completeCell(text: string, request: CompileRequest): string {
  const source = ts.createSourceFile('cell.ts', text, ts.ScriptTarget.ES2022, true);
  const declared = new Set<string>();
  const used = new Set<string>();
  const exported = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) used.add(node.text);
    ts.forEachChild(node, visit);
  };
  for (const statement of source.statements) {
    visit(statement);
    const modifiers = ts.canHaveModifiers(statement) ? (ts.getModifiers(statement) ?? []) : [];
    const isExported = modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
    for (const name of namesOf(statement)) {
      declared.add(name);
      if (isExported) exported.add(name);
    }
    if (
      ts.isExportDeclaration(statement) &&
      statement.exportClause &&
      ts.isNamedExports(statement.exportClause)
    )
      for (const { name } of statement.exportClause.elements) exported.add(name.text);
  }
  const { names, from } = request.preloaded!;
  const imported = names.filter((name) => used.has(name) && !declared.has(name));
  const missing = request.exports.filter((name) => declared.has(name) && !exported.has(name));
  const head = imported.length === 0 ? '' : `import { ${imported.join(', ')} } from '${from}'; `;
  const tail = missing.length === 0 ? '' : `\nexport { ${missing.join(', ')} };`;
  return head + text + tail;
}

function namesOf(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.flatMap(({ name }) => bound(name));
  if (ts.isImportDeclaration(statement)) {
    const clause = statement.importClause;
    const named = clause?.namedBindings;
    const several =
      named === undefined
        ? []
        : ts.isNamespaceImport(named)
          ? [named.name.text]
          : named.elements.map(({ name }) => name.text);
    return [...(clause?.name === undefined ? [] : [clause.name.text]), ...several];
  }
  const named = statement as ts.Statement & { name?: ts.Node };
  return named.name !== undefined && ts.isIdentifier(named.name) ? [named.name.text] : [];
}

function bound(name: ts.BindingName): string[] {
  if (ts.isIdentifier(name)) return [name.text];
  return name.elements.flatMap((element) => (ts.isOmittedExpression(element) ? [] : bound(element.name)));
}

function resolveImports(
  name: string,
  text: string,
  request: CompileRequest,
): ts.TransformerFactory<ts.SourceFile> {
  const address = (specifier: ts.StringLiteral): ts.StringLiteral => {
    const url = Object.hasOwn(request.addresses, specifier.text)
      ? request.addresses[specifier.text]
      : ownFile(name, specifier.text, request);
    if (url !== undefined) return ts.factory.createStringLiteral(url);
    const allowed = Object.keys(request.addresses)
      .map((other) => `"${other}"`)
      .join(', ');
    const line = specifier.pos >= 0 ? lineAt(text, specifier.getStart()) : undefined;
    throw new Refusal(`"${specifier.text}" cannot be imported here, only ${allowed}`, line);
  };
  return (context) => (file) => {
    const visit = (node: ts.Node): ts.Node => {
      if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
        const { modifiers, importClause, attributes } = node;
        return ts.factory.updateImportDeclaration(
          node,
          modifiers,
          importClause,
          address(node.moduleSpecifier),
          attributes,
        );
      }
      if (
        ts.isExportDeclaration(node) &&
        node.moduleSpecifier !== undefined &&
        ts.isStringLiteral(node.moduleSpecifier)
      ) {
        const { modifiers, isTypeOnly, exportClause, attributes } = node;
        return ts.factory.updateExportDeclaration(
          node,
          modifiers,
          isTypeOnly,
          exportClause,
          address(node.moduleSpecifier),
          attributes,
        );
      }
      if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
        const [argument] = node.arguments;
        if (argument !== undefined && ts.isStringLiteral(argument))
          return ts.factory.updateCallExpression(node, node.expression, undefined, [address(argument)]);
        if (request.closed === true)
          throw new Refusal(
            'import() of a computed name is not possible here',
            node.pos >= 0 ? lineAt(text, node.getStart()) : undefined,
          );
      }
      return ts.visitEachChild(node, visit, context);
    };
    return ts.visitEachChild(file, visit, context);
  };
}

/** Another file of the submission, as `./other.js`, `./other.ts` or `./other`. */
function ownFile(from: string, specifier: string, request: CompileRequest): string | undefined {
  if (!specifier.startsWith('./') && !specifier.startsWith('../')) return undefined;
  const target = normalize(joinPath(dirname(from), specifier)).replace(/\.(js|mjs|ts)$/, '');
  const file = request.files.find(({ name }) => name === `${target}.ts`);
  return file === undefined ? undefined : `./${moduleName(file.name, request)}`;
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}
