/** What the grader starts beside the ranks of a submission: the check of its types, or the compiler of submissions. */
const [mode, ...rest] = process.argv.slice(2);
if (mode === '--types') {
  const { printTypeErrors } = await import('./grader-types.js');
  printTypeErrors(rest[0]!, rest.slice(1));
} else {
  const { serveCompiler } = await import('./grader-compile.js');
  serveCompiler();
}

export {};
