/** Tables for terminals and tests. */

/** Columns padded to their widest entry, two spaces apart; no space at line ends. */
export function columns(rows: readonly (readonly string[])[], indent = ''): string {
  const widths: number[] = [];
  for (const cells of rows)
    cells.forEach((text, i) => {
      widths[i] = Math.max(widths[i] ?? 0, text.length);
    });
  return rows
    .map((cells) => indent + cells.map((text, i) => text.padEnd(widths[i]!)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

/** The `simple` format of Python's tabulate, which PyTorch's visualize_sharding prints. */
export function tabulate(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headers.map((header, i) => Math.max(header.length + 2, ...rows.map((r) => r[i]!.length)));
  const pad = (cells: readonly string[]): string =>
    cells
      .map((text, i) => text.padEnd(widths[i]!))
      .join('  ')
      .trimEnd();
  return [pad(headers), widths.map((w) => '-'.repeat(w)).join('  '), ...rows.map(pad)].join('\n');
}

/** `524,288 B`, `1.5 MiB`: bytes as a reader wants them, exact below a kibibyte. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || Number.isInteger(value) ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}
