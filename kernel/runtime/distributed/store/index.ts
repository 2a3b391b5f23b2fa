export { HashStore, PrefixStore, Store } from './store.js';
