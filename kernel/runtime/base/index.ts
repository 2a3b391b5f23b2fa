export * from './errors.js';
export * from './formats.js';
