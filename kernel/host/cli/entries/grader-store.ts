/** The store of a world under the grader: every question goes to the grader, which keeps the keys and counts what is written. */
import type { WireStoreCall } from '../../../../grader/wire.js';
import { dist } from '../../../runtime/index.js';
import type { Link } from './grader-rank.js';

type Told = string | number | boolean | string[] | null;

export class GraderStore extends dist.Store {
  /** A wait with this timeout is the program's own: that nobody can end it is a deadlock. */
  readonly #patience: number;

  constructor(private readonly link: Link) {
    super();
    this.#patience = this.timeout;
  }

  set(key: string, value: string): void {
    this.ask({ op: 'set', keys: [key], values: [String(value)] });
  }

  add(key: string, amount: number): number {
    return this.ask({ op: 'add', keys: [key], amount: Number(amount) }) as number;
  }

  append(key: string, value: string): void {
    this.ask({ op: 'append', keys: [key], values: [String(value)] });
  }

  check(keys: readonly string[]): boolean {
    return this.ask({ op: 'check', keys: [...keys] }) as boolean;
  }

  compareSet(key: string, expected: string, desired: string): string {
    return this.ask({ op: 'compareSet', keys: [key], values: [expected, desired] }) as string;
  }

  deleteKey(key: string): boolean {
    return this.ask({ op: 'delete', keys: [key] }) as boolean;
  }

  multiSet(keys: readonly string[], values: readonly string[]): void {
    this.ask({ op: 'set', keys: [...keys], values: values.map(String) });
  }

  queuePush(key: string, value: string): void {
    this.ask({ op: 'push', keys: [key], values: [String(value)] });
  }

  queueLen(key: string): number {
    return this.ask({ op: 'length', keys: [key] }) as number;
  }

  numKeys(): number {
    return this.listKeys().length;
  }

  listKeys(): string[] {
    return this.ask({ op: 'keys', keys: [] }) as string[];
  }

  clone(): GraderStore {
    const copy = new GraderStore(this.link);
    copy.setTimeout(this.timeout);
    return copy;
  }

  wait(keys: readonly string[], timeoutMs = this.timeout): void {
    const own = timeoutMs === this.#patience ? {} : { timeoutMs };
    this.ask({ op: 'wait', keys: [...keys], ...own });
  }

  protected read(key: string): string | undefined {
    return (this.ask({ op: 'read', keys: [key] }) as string | null) ?? undefined;
  }

  protected shift(key: string): string | undefined {
    return (this.ask({ op: 'shift', keys: [key] }) as string | null) ?? undefined;
  }

  private ask(call: WireStoreCall): Told {
    const handle = this.link.begin((about) => ({ type: 'store', ...about, call }));
    return this.link.complete(handle).header.value ?? null;
  }
}
