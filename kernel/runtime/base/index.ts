export * from './errors.js';
export * from './formats.js';
export * from './html.js';
export * from './layout.js';
export * from './scope.js';
export * from './twister.js';
export * from './units.js';
