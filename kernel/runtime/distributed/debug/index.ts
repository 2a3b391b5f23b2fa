export { CommDebugMode } from './comm-debug-mode.js';
