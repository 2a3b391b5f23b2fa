/** Formulas of a text, and whether they parse. */
import katex from 'katex';
import { type Passage, withoutCode } from './prose.js';

export interface Formula {
  readonly source: string;
  readonly display: boolean;
  readonly line: number;
  /** Position in the passage, and length with its dollars. */
  readonly index: number;
  readonly length: number;
}

const FORMULA = /\$\$([\s\S]+?)\$\$|(?<![\\$\w])\$(?![\s$])((?:\\\$|[^$\n])+?)(?<![\s\\])\$(?![\w$])/g;

/** `$$...$$` and `$...$`, but for those in code. */
export function formulasOf({ text, line }: Passage): Formula[] {
  return [...withoutCode(text).matchAll(FORMULA)].map((match) => ({
    source: match[1] ?? match[2]!,
    display: match[1] !== undefined,
    line: line + text.slice(0, match.index).split('\n').length - 1,
    index: match.index,
    length: match[0].length,
  }));
}

/** What is wrong with a formula. */
export function formulaProblem(source: string): string | undefined {
  try {
    katex.renderToString(source, { throwOnError: true, output: 'mathml', strict: false });
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/^KaTeX parse error: /, '');
  }
}

/** The formula as MathML, which browsers draw without a script or a font from elsewhere. */
export function formulaHtml({ source, display }: Formula): string {
  return katex.renderToString(source, {
    throwOnError: false,
    output: 'mathml',
    displayMode: display,
    strict: false,
  });
}
