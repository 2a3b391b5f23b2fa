/** How ranks find each other: an address gives a store, a rank and the size of the world. */
import { ShardbookError } from '../../base/index.js';
import { environment } from '../../platform/index.js';
import type { Store } from './store.js';
import { FileStore, TCPStore } from './stores.js';

export type Meeting = [store: Store, rank: number, worldSize: number];
export type RendezvousHandler = (url: URL, options: { timeoutMs?: number }) => Iterable<Meeting>;

const handlers = new Map<string, RendezvousHandler>();

/** Adds a kind of address. */
export function registerRendezvousHandler(scheme: string, handler: RendezvousHandler): void {
  if (handlers.has(scheme))
    throw refused(`register a rendezvous handler for ${scheme}://`, 'there is one already');
  handlers.set(scheme, handler);
}

export interface RendezvousOptions {
  rank?: number;
  worldSize?: number;
  timeoutMs?: number;
}

/** The meetings at an address (`env://`, `tcp://host:port?rank=..&world_size=..`, `file:///name?..`); the first is the one to use. */
export function rendezvous(
  address: string,
  rank?: number | RendezvousOptions,
  worldSize?: number,
): Iterable<Meeting> {
  const options: RendezvousOptions =
    typeof rank === 'object'
      ? rank
      : { ...(rank === undefined ? {} : { rank }), ...(worldSize === undefined ? {} : { worldSize }) };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//.exec(address)?.[1];
  const handler = scheme === undefined ? undefined : handlers.get(scheme);
  if (handler === undefined) {
    throw refused(
      `meet at "${address}"`,
      `wanted an address that begins with ${[...handlers.keys()].map((s) => `${s}://`).join(', ')}`,
    );
  }
  const url = new URL(address);
  for (const [name, value] of [
    ['rank', options.rank],
    ['world_size', options.worldSize],
  ] as const) {
    if (value === undefined) continue;
    if (url.searchParams.has(name))
      throw refused(`meet at "${address}"`, `${name} is given in the address and beside it`);
    url.searchParams.set(name, String(value));
  }
  return handler(url, options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs });
}

function number(url: URL, name: string): number {
  const text = url.searchParams.get(name);
  if (text === null || !/^\d+$/.test(text)) throw refused(`meet at "${url.href}"`, `${name} is missing`);
  return Number(text);
}

function variable(name: string): string {
  const value = environment(name);
  if (value !== undefined) return value;
  throw refused('meet at env://', `the environment variable ${name} is not set`);
}

handlers.set('tcp', function* (url, options) {
  const [rank, size] = [number(url, 'rank'), number(url, 'world_size')];
  if (url.port === '') throw refused(`meet at "${url.href}"`, 'a port is missing');
  yield [
    new TCPStore(url.hostname, Number(url.port), size, { isMaster: rank === 0, ...options }),
    rank,
    size,
  ];
});
handlers.set('file', function* (url) {
  const [rank, size] = [number(url, 'rank'), number(url, 'world_size')];
  yield [new FileStore(decodeURIComponent(url.pathname), size), rank, size];
});
handlers.set('env', function* (url, options) {
  const rank = Number(url.searchParams.get('rank') ?? variable('RANK'));
  const size = Number(url.searchParams.get('world_size') ?? variable('WORLD_SIZE'));
  const [host, port] = [variable('MASTER_ADDR'), Number(variable('MASTER_PORT'))];
  yield [new TCPStore(host, port, size, { isMaster: rank === 0, ...options }), rank, size];
});

function refused(what: string, why: string): ShardbookError {
  return new ShardbookError({ code: 'SB_RENDEZVOUS', message: `Cannot ${what}: ${why}` });
}
