export {
  type Meeting,
  type RendezvousHandler,
  type RendezvousOptions,
  registerRendezvousHandler,
  rendezvous,
} from './rendezvous.js';
export { type KeyWaiter, MemoryStore, Store, type StoreHooks } from './store.js';
export { FileStore, HashStore, PrefixStore, shareStores, TCPStore, type TCPStoreOptions } from './stores.js';
