/** The store that the ranks of one run share, on the grader's side: small, counted, and gone with the run. */
import type { WireStoreCall } from './wire.js';

export interface StoreRecord {
  readonly rank: number;
  readonly op: string;
  readonly keys: readonly string[];
  /** Bytes of the values that were handed over, as counted here. */
  readonly bytes: number;
}

export type StoreAnswer =
  | { readonly value: string | number | boolean | string[] | null }
  | { readonly error: string; readonly code: string };

const LARGEST = 2 ** 20;
const MOST_KEYS = 1000;

export class ExchangeStore {
  readonly records: StoreRecord[] = [];
  private readonly entries = new Map<string, string | string[]>();
  private size = 0;

  /** Whether the call is one at all; what a rank sends can be anything. */
  static valid({ op, keys, values, amount }: WireStoreCall): boolean {
    const texts = (list: unknown): boolean =>
      Array.isArray(list) && list.length <= MOST_KEYS && list.every((item) => typeof item === 'string');
    return (
      typeof op === 'string' &&
      texts(keys) &&
      (values === undefined || texts(values)) &&
      (amount === undefined || Number.isFinite(amount))
    );
  }

  has(keys: readonly string[]): boolean {
    return keys.every((key) => this.entries.has(key));
  }

  run(rank: number, call: WireStoreCall): StoreAnswer {
    const { op, keys, values = [] } = call;
    const bytes = values.reduce((sum, value) => sum + Buffer.byteLength(value), 0);
    this.records.push({ rank, op, keys, bytes });
    const added = bytes + keys.reduce((sum, key) => sum + Buffer.byteLength(key), 0);
    if (this.size + added > LARGEST && bytes > 0)
      return refusal('SB_STORE_FULL', `Cannot write to the store: it would hold more than ${LARGEST} bytes`);
    const [key = ''] = keys;
    const entry = this.entries.get(key);
    const isQueue = op === 'push' || op === 'length' || op === 'shift';
    const wrongKind = typeof entry === 'string' ? isQueue : entry !== undefined && READS_TEXT.has(op);
    if (wrongKind) {
      const [is, wanted] = isQueue ? ['a value', 'a queue'] : ['a queue', 'a value'];
      return refusal(
        'SB_STORE_KIND',
        `Cannot run "${op}" on key "${key}" of the store: it is ${is}, wanted ${wanted}`,
      );
    }
    this.size += added;
    return { value: this.apply(call, key, entry) };
  }

  private apply(
    { op, keys, values = [], amount = 0 }: WireStoreCall,
    key: string,
    entry: string | string[] | undefined,
  ): string | number | boolean | string[] | null {
    const { entries } = this;
    switch (op) {
      case 'set':
        for (const [i, each] of keys.entries()) entries.set(each, values[i] ?? '');
        return null;
      case 'add': {
        const sum = Number(entry ?? 0) + amount;
        entries.set(key, String(sum));
        return sum;
      }
      case 'append':
        entries.set(key, `${(entry as string | undefined) ?? ''}${values[0] ?? ''}`);
        return null;
      case 'compareSet': {
        const [expected = '', desired = ''] = values;
        if (entry === expected || (entry === undefined && expected === '')) entries.set(key, desired);
        return (entries.get(key) as string | undefined) ?? expected;
      }
      case 'check':
        return this.has(keys);
      case 'delete':
        return entries.delete(key);
      case 'push':
        entries.set(key, [...((entry as string[] | undefined) ?? []), values[0] ?? '']);
        return null;
      case 'length':
        return entry?.length ?? 0;
      case 'shift': {
        const [first, ...rest] = (entry as string[] | undefined) ?? [];
        if (rest.length > 0) entries.set(key, rest);
        else entries.delete(key);
        return first ?? null;
      }
      case 'keys':
        return [...entries.keys()];
      default:
        return (entry as string | undefined) ?? null;
    }
  }
}

const READS_TEXT = new Set(['add', 'append', 'compareSet', 'read']);

function refusal(code: string, error: string): StoreAnswer {
  return { error, code };
}
