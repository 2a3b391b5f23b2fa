/** Figures as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** "1.5 MiB"; below 1 KiB exact. */
export function bytesText(value: number): string {
  let unit = 0;
  let x = value;
  while (Math.abs(x) >= 1024 && unit < UNITS.length - 1) {
    x /= 1024;
    unit++;
  }
  return `${Number(x.toPrecision(4))} ${UNITS[unit]}`;
}
