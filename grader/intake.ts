/**
 * From a file to a module that a rank process can load. Nothing of the submission is run here: TypeScript only parses it
 * and takes the types off, and the packages that it imports are written out as addresses.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { ShardbookError } from 'shardbook';
import ts from 'typescript';
import { CheckFailure } from './verdict.js';

export interface Submission {
  /** File name, for messages. */
  readonly name: string;
  readonly text: string;
  readonly sha256: string;
}

export interface CompiledSubmission {
  readonly code: string;
}

const LARGEST_SUBMISSION = 256 * 1024;
/** Characters that make source read otherwise than it runs. */
const DECEPTIVE = /[\u202a-\u202e\u2066-\u2069]/;

/** Reads a submission; a file that is not there or not a file is the caller's mistake, not the learner's. */
export function readSubmission(file: string): Submission {
  if (!existsSync(file) || !statSync(file).isFile()) {
    throw new ShardbookError({
      code: 'SB_SUBMISSION_MISSING',
      message: `Cannot grade "${file}": there is no such file`,
      help: 'Name the TypeScript file with --submission FILE',
    });
  }
  const bytes = readFileSync(file);
  const name = basename(file).replace(/[^\w.-]/g, '_');
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (bytes.length > LARGEST_SUBMISSION) {
    throw refused(`The file has ${bytes.length} bytes, at most ${LARGEST_SUBMISSION} are taken`);
  }
  try {
    return { name, sha256, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    throw refused('The file is not UTF-8 text');
  }
}

/** Takes the types off and resolves imports. `addresses` maps each package that may be imported to its URL. */
export function compileSubmission(
  submission: Submission,
  addresses: ReadonlyMap<string, string>,
): CompiledSubmission {
  const { text, name } = submission;
  const deceptive = DECEPTIVE.exec(text);
  if (deceptive !== null) {
    throw refused(
      'The file holds characters that change the direction of text',
      lineAt(text, deceptive.index),
    );
  }
  const result = ts.transpileModule(text, {
    fileName: name,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      inlineSourceMap: true,
    },
    transformers: { after: [resolveImports(text, addresses)] },
  });
  const diagnostic = result.diagnostics?.find(({ category }) => category === ts.DiagnosticCategory.Error);
  if (diagnostic !== undefined) {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
    throw refused(`The file does not parse: ${message}`, lineAt(text, diagnostic.start ?? 0));
  }
  return { code: result.outputText };
}

function resolveImports(
  text: string,
  addresses: ReadonlyMap<string, string>,
): ts.TransformerFactory<ts.SourceFile> {
  const address = (specifier: ts.StringLiteral): ts.StringLiteral => {
    const url = addresses.get(specifier.text);
    if (url !== undefined) return ts.factory.createStringLiteral(url);
    const allowed = [...addresses.keys()].map((name) => `"${name}"`).join(', ');
    const line = specifier.pos >= 0 ? lineAt(text, specifier.getStart()) : undefined;
    throw refused(`"${specifier.text}" cannot be imported here, only ${allowed}`, line);
  };
  return (context) => (file) => {
    const visit = (node: ts.Node): ts.Node => {
      if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
        return ts.factory.updateImportDeclaration(
          node,
          node.modifiers,
          node.importClause,
          address(node.moduleSpecifier),
          node.attributes,
        );
      }
      if (
        ts.isExportDeclaration(node) &&
        node.moduleSpecifier !== undefined &&
        ts.isStringLiteral(node.moduleSpecifier)
      ) {
        return ts.factory.updateExportDeclaration(
          node,
          node.modifiers,
          node.isTypeOnly,
          node.exportClause,
          address(node.moduleSpecifier),
          node.attributes,
        );
      }
      if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
        const [argument] = node.arguments;
        if (argument !== undefined && ts.isStringLiteral(argument)) {
          return ts.factory.updateCallExpression(node, node.expression, undefined, [address(argument)]);
        }
      }
      return ts.visitEachChild(node, visit, context);
    };
    return ts.visitEachChild(file, visit, context);
  };
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

function refused(message: string, line?: number): CheckFailure {
  return new CheckFailure('compile-error', { message, ...(line === undefined ? {} : { line }) });
}
