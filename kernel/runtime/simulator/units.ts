/** Figures as people read them. */

/** "1.25 ms". */
export function seconds(value: number): string {
  if (value === 0) return '0 s';
  const [scale, unit] =
    value >= 1 ? [1, 's'] : value >= 1e-3 ? [1e3, 'ms'] : value >= 1e-6 ? [1e6, 'us'] : [1e9, 'ns'];
  return `${Number((value * scale).toPrecision(4))} ${unit}`;
}

/** Lines with columns that line up; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, c) => Math.max(...rows.map((row) => row[c]?.length ?? 0)));
  return rows
    .map((row) =>
      row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join('  '),
    )
    .join('\n');
}
