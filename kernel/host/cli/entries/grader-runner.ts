/** What the grader starts beside itself: a rank of a submission, the check of its types, or the compiler of submissions. */
const [mode, ...rest] = process.argv.slice(2);
if (mode === '--types') {
  const { printTypeErrors } = await import('./grader-types.js');
  printTypeErrors(rest[0]!, rest.slice(1));
} else if (mode === '--compile') {
  const { serveCompiler } = await import('./grader-compile.js');
  serveCompiler();
} else {
  const { compiled, serve } = await import('./grader-script.js');
  await serve((url) => import(url) as Promise<Record<string, unknown>>, compiled);
}

export {};
