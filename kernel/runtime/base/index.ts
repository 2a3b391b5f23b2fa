export * from './errors.js';
export * from './formats.js';
export * from './html.js';
export * from './scope.js';
export * from './twister.js';
