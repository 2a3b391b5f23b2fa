/** What a ledger writes down: bytes by category, the moment with the most of them, and how they went over time. */
import type { MemoryCategory } from '../tensor/index.js';

/** Memory that is alive. */
export interface LedgerEntry {
  label: string;
  category: MemoryCategory;
  bytes: number;
}

/** The moment with the most bytes, and what they were. */
export interface LedgerPeak {
  bytes: number;
  /** The operation or event that reached it. */
  at: string;
  categories: Record<string, number>;
  /** What was alive, largest first. */
  alive: LedgerEntry[];
}

export interface LedgerPoint {
  at: string;
  bytes: number;
  categories: Record<string, number>;
  /** Host memory, by category. */
  host: Record<string, number>;
}

/** Memory of one kind: what is alive, and the moment at which most was. */
export interface LedgerAccount {
  readonly bytes: number;
  /** Bytes by category, without empty ones. */
  readonly categories: Record<string, number>;
  readonly peak: LedgerPeak;
}

/** One kind of memory. */
export class Book implements LedgerAccount {
  bytes = 0;
  readonly byCategory = new Map<MemoryCategory, number>();
  #peak: LedgerPeak = { bytes: 0, at: 'start', categories: {}, alive: [] };
  #peakIsNow = false;

  constructor(private readonly alive: () => LedgerEntry[]) {}

  get categories(): Record<string, number> {
    return Object.fromEntries([...this.byCategory].filter(([, bytes]) => bytes > 0));
  }

  get peak(): LedgerPeak {
    if (this.#peakIsNow) this.#snapshot();
    return this.#peak;
  }

  /** Without writing down what was alive. */
  get peakBytes(): number {
    return this.#peak.bytes;
  }

  resetPeak(): void {
    this.#peak = { bytes: this.bytes, at: 'now', categories: this.categories, alive: [] };
    this.#peakIsNow = true;
  }

  count(category: MemoryCategory, bytes: number): void {
    this.byCategory.set(category, (this.byCategory.get(category) ?? 0) + bytes);
    this.bytes += bytes;
  }

  after(at: string): void {
    if (this.bytes <= this.#peak.bytes) return;
    this.#peak = { bytes: this.bytes, at, categories: {}, alive: [] };
    this.#peakIsNow = true;
  }

  /** The peak is written down when it is over: as long as memory only grows, nobody has to look. */
  beforeLess(): void {
    if (this.#peakIsNow && this.bytes === this.#peak.bytes) this.#snapshot();
    this.#peakIsNow = false;
  }

  #snapshot(): void {
    this.#peak = { ...this.#peak, categories: this.categories, alive: this.alive() };
  }
}

/** Where memory is. */
export type Place = 'device' | 'host';

/** One book for each kind of memory. */
export type Books = Readonly<Record<Place, Book>>;

const POINTS_MAX = 8192;

/** Both books over time; thinned out when it gets long, the peak stays. */
export class Timeline {
  #points: LedgerPoint[] = [];
  #stride = 1;
  #events = 0;

  get points(): readonly LedgerPoint[] {
    return this.#points;
  }

  note(at: string, { device, host }: Books): void {
    this.#events++;
    const last = this.#points[this.#points.length - 1];
    if (this.#events % this.#stride !== 0 && device.bytes !== device.peakBytes) return;
    if (last?.bytes === device.bytes && last.at === at) return;
    this.#points.push({ at, bytes: device.bytes, categories: device.categories, host: host.categories });
    if (this.#points.length < POINTS_MAX) return;
    const top = device.peakBytes;
    this.#points = this.#points.filter((point, i) => i % 2 === 0 || point.bytes === top);
    this.#stride *= 2;
  }
}
