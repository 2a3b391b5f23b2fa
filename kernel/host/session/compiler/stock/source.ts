/** What a cell's text says before any type is known: its names, its imports, where its result is. */
import ts from 'typescript';
import type { CellDiagnostic } from '../types.js';

/** `let` can be assigned again and so is shared as a variable; the others are shared by their name. */
export type NameKind = 'let' | 'const' | 'function' | 'class' | 'enum' | 'namespace' | 'type' | 'import';

export interface CellSource {
  /** The cell as a module body: same length, same lines, without `export` keywords. */
  text: string;
  /** Every name that the top level declares, by kind. */
  names: ReadonlyMap<string, NameKind>;
  /** For names of imports: the import declaration that gives it, on one line. */
  imports: ReadonlyMap<string, string>;
  /** All identifiers that occur anywhere: only these can mean names of earlier cells. */
  mentioned: ReadonlySet<string>;
  /** The last statement is an expression, whose value is the cell's result. */
  hasResult: boolean;
  refusals: CellDiagnostic[];
}

export function readCell(code: string): CellSource {
  const file = ts.createSourceFile('cell.ts', code, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const names = new Map<string, NameKind>();
  const imports = new Map<string, string>();
  const refusals: CellDiagnostic[] = [];
  let text = code;
  const blank = (start: number, end: number): void => {
    text = text.slice(0, start) + text.slice(start, end).replace(/[^\r\n]/g, ' ') + text.slice(end);
  };
  for (const statement of file.statements) {
    if (ts.isExportDeclaration(statement) || ts.isExportAssignment(statement)) {
      const refusal = exportAsStatement(file, statement, blank);
      if (refusal) refusals.push(refusal);
      continue;
    }
    if (ts.isImportDeclaration(statement)) {
      importedNames(statement).forEach(([name, line]) => {
        names.set(name, 'import');
        imports.set(name, line);
      });
      continue;
    }
    for (const modifier of modifiersOf(statement)) {
      if (
        modifier.kind === ts.SyntaxKind.ExportKeyword ||
        (modifier.kind === ts.SyntaxKind.DefaultKeyword && 'name' in statement && statement.name)
      )
        blank(modifier.getStart(file), modifier.end);
    }
    for (const [name, kind] of declaredNames(statement)) {
      // A class or function may carry an interface or namespace of the same name: the value decides.
      if (!names.has(name) || kind !== 'type') names.set(name, kind);
    }
  }
  const last = file.statements.at(-1);
  return {
    text,
    names,
    imports,
    mentioned: (file as ts.SourceFile & { identifiers: Map<string, string> }).identifiers
      ? new Set((file as ts.SourceFile & { identifiers: Map<string, string> }).identifiers.keys())
      : new Set(),
    hasResult: last !== undefined && (ts.isExpressionStatement(last) || isDefaultValue(last)),
    refusals,
  };
}

function isDefaultValue(statement: ts.Statement): boolean {
  return ts.isExportAssignment(statement) && !statement.isExportEquals;
}

/** `export { a }` says nothing in a cell; `export default 1 + 1` is an expression; re-exports have nobody to go to. */
function exportAsStatement(
  file: ts.SourceFile,
  statement: ts.ExportDeclaration | ts.ExportAssignment,
  blank: (start: number, end: number) => void,
): CellDiagnostic | undefined {
  const start = statement.getStart(file);
  if (ts.isExportAssignment(statement) && !statement.isExportEquals) {
    blank(start, statement.expression.getStart(file));
    return undefined;
  }
  if (ts.isExportDeclaration(statement) && !statement.moduleSpecifier) {
    blank(start, statement.end);
    return undefined;
  }
  const { line, character } = file.getLineAndCharacterOfPosition(start);
  return {
    line: line + 1,
    column: character + 1,
    length: statement.end - start,
    code: 1233,
    message: 'A cell cannot export from another module: import the names, every later cell sees them',
    forgivable: false,
  };
}

function modifiersOf(statement: ts.Statement): readonly ts.ModifierLike[] {
  return (statement as { modifiers?: readonly ts.ModifierLike[] }).modifiers ?? [];
}

function importedNames(statement: ts.ImportDeclaration): [name: string, line: string][] {
  const clause = statement.importClause;
  if (!clause) return [];
  const from = `from ${JSON.stringify((statement.moduleSpecifier as ts.StringLiteral).text)};`;
  const type = clause.isTypeOnly ? 'type ' : '';
  const found: [string, string][] = [];
  if (clause.name) found.push([clause.name.text, `import ${type}${clause.name.text} ${from}`]);
  const { namedBindings: bindings } = clause;
  if (bindings && ts.isNamespaceImport(bindings))
    found.push([bindings.name.text, `import ${type}* as ${bindings.name.text} ${from}`]);
  else if (bindings)
    for (const { name, propertyName, isTypeOnly } of bindings.elements) {
      const spelled = propertyName ? `${propertyName.getText()} as ${name.text}` : name.text;
      found.push([name.text, `import ${type}{ ${isTypeOnly ? 'type ' : ''}${spelled} } ${from}`]);
    }
  return found;
}

/** The names that a statement at the top level declares, whether a cell's or a declaration file's. */
export function declaredNames(statement: ts.Statement): [name: string, kind: NameKind][] {
  if (ts.isVariableStatement(statement)) {
    const constant = (statement.declarationList.flags & ts.NodeFlags.BlockScoped) !== ts.NodeFlags.Let;
    const kind = constant && statement.declarationList.flags & ts.NodeFlags.BlockScoped ? 'const' : 'let';
    return statement.declarationList.declarations.flatMap(({ name }) =>
      boundNames(name).map((each): [string, NameKind] => [each, kind]),
    );
  }
  const { name } = statement as { name?: ts.Node };
  if (!name || !ts.isIdentifier(name)) return [];
  if (ts.isFunctionDeclaration(statement)) return [[name.text, 'function']];
  if (ts.isClassDeclaration(statement)) return [[name.text, 'class']];
  if (ts.isEnumDeclaration(statement)) return [[name.text, 'enum']];
  if (ts.isModuleDeclaration(statement) && !(statement.flags & ts.NodeFlags.GlobalAugmentation))
    return [[name.text, 'namespace']];
  if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement))
    return [[name.text, 'type']];
  return [];
}

function boundNames(name: ts.BindingName): string[] {
  if (ts.isIdentifier(name)) return [name.text];
  return name.elements.flatMap((element) => (ts.isBindingElement(element) ? boundNames(element.name) : []));
}
