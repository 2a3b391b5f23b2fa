export { registerRendezvousHandler, rendezvous } from './rendezvous.js';
export { MemoryStore, Store } from './store.js';
export { FileStore, HashStore, PrefixStore, shareStores, TCPStore } from './stores.js';
