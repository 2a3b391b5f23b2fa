import { distEntry, type WorldOptions } from '../world/index.js';

/** How the worlds of conformance programs are started. */
export function worldOptions(size: number): WorldOptions {
  return { size, entry: distEntry('conform-worker.js') };
}
