/** What a lint rule says of a place in a file. */
export interface LintProblem {
  readonly file: string;
  readonly line: number;
  /** Short name of the rule, for searching. */
  readonly rule: string;
  readonly message: string;
}
