/** How a ledger is read: as text, as a figure, and as the error of a device that is full. */
import { bytesText, ShardbookError } from '../base/index.js';
import { type Figure, stackFigure } from './figures.js';
import type { Books, LedgerAccount, LedgerEntry, LedgerPoint } from './ledger-book.js';
import { table } from './units.js';

/** Whose memory it is, and what its device holds. */
interface Owner {
  readonly rank: number;
  readonly capacity: number | undefined;
}

export function ledgerText({ rank, capacity }: Owner, { device, host }: Books): string {
  const limit = capacity === undefined ? '' : ` of ${bytesText(capacity)}`;
  const lines = [`Memory of rank ${rank}: ${figures(device, limit)}`, categoryTable(device)];
  if (host.peak.bytes > 0)
    lines.push(`Host memory of rank ${rank}: ${figures(host, '')}`, categoryTable(host));
  return lines.join('\n');
}

/** Bytes by category over time. */
export function ledgerFigure(
  { rank, capacity }: Owner,
  { device, host }: Books,
  points: readonly LedgerPoint[],
): Figure {
  return stackFigure(
    [...device.byCategory.keys()].map((name) => ({
      name,
      values: points.map((point) => point.categories[name] ?? 0),
    })),
    points.map((point) => point.at),
    `Memory of rank ${rank}`,
    capacity === undefined ? undefined : { name: 'capacity', value: capacity },
    [...host.byCategory.keys()].map((name) => ({
      name: `host: ${name}`,
      values: points.map((point) => point.host[name] ?? 0),
    })),
  );
}

const SHOWN_MAX = 12;

/** The operation `at` asks for more than the device has; `alive` is what is there, largest first. */
export function outOfMemory(
  at: string,
  rank: number,
  capacity: number,
  { bytes, categories }: LedgerAccount,
  alive: readonly LedgerEntry[],
): ShardbookError {
  const byCategory = Object.entries(categories).sort((a, b) => b[1] - a[1]);
  const shown = alive.slice(0, SHOWN_MAX);
  const rest = alive.slice(shown.length).reduce((sum, entry) => sum + entry.bytes, 0);
  return new ShardbookError({
    code: 'SB_OUT_OF_MEMORY',
    message: `Cannot go on with "${at}" on rank ${rank}: it needs ${bytesText(bytes)} in all, the device has ${bytesText(capacity)}`,
    notes: [
      `alive by category: ${byCategory.map(([category, n]) => `${category} ${bytesText(n)}`).join(', ')}`,
      ...shown.map((entry) => `${bytesText(entry.bytes)}  ${entry.category}  ${entry.label}`),
      ...(rest > 0 ? [`${bytesText(rest)}  in ${alive.length - shown.length} more`] : []),
    ],
    help: adviceOn(byCategory[0]?.[0]),
  });
}

/** The figures alone. */
export function plainAccount({ bytes, categories, peak }: LedgerAccount): LedgerAccount {
  return { bytes, categories, peak };
}

function figures({ bytes, peak }: LedgerAccount, capacity: string): string {
  return `${bytesText(bytes)} now, peak ${bytesText(peak.bytes)}${capacity} at ${peak.at}`;
}

function categoryTable({ categories, peak }: LedgerAccount): string {
  const names = [...new Set([...Object.keys(peak.categories), ...Object.keys(categories)])];
  const rows = names
    .sort((a, b) => (peak.categories[b] ?? 0) - (peak.categories[a] ?? 0))
    .map((name) => [name, bytesText(categories[name] ?? 0), bytesText(peak.categories[name] ?? 0)]);
  return table([['category', 'now', 'at peak'], ...rows]);
}

function adviceOn(category: string | undefined): string {
  switch (category) {
    case 'Activation':
      return 'checkpoint layers, or take smaller micro-batches';
    case 'Optstate':
    case 'Parameter':
    case 'Gradient':
      return 'shard the state over more ranks (fullyShard)';
    case 'All Gather':
    case 'Unsharded Param':
      return 'shard smaller modules, or gather fewer ahead';
    default:
      return 'take smaller batches, or a device with more memory';
  }
}
