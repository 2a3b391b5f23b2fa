export { makeFolder } from './make.js';
