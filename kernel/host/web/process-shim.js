// Some packages read `process` at run time; nothing in the browser should depend on it.
export const process = { env: {}, argv: [], platform: 'browser', cwd: () => '/', browser: true };
