/** What a cell says against what its twin in PyTorch says. */
import { compareOutput } from '../compare.js';
import type { Twin } from '../types.js';

/** A number that stands alone: not the 32 of "f32", not the 0 of "cuda0". */
const NUMBER = /(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w])|(?<![\w.])-?(?:nan|inf)\b/g;
const LABEL = /^\[rank (\d+(?:,\d+)*)\] ?(.*)$/;

/** Undefined when the twin agrees; otherwise lines that show where it does not. */
export function compareTwin(
  twin: Twin,
  expected: string,
  printed: readonly (readonly string[])[],
): readonly string[] | undefined {
  if (twin.compare === 'none') return undefined;
  if (twin.compare === 'lines') return compareOutput(expected, foldPrints(printed), twin.tolerance)?.diff;
  const ours = unfoldOutput(expected, printed.length);
  for (const [rank, text] of ours.entries()) {
    const want = numbersOf(text);
    const got = numbersOf(printed[rank]!.join(''));
    const differs = want.findIndex((value, index) => !agrees(value, got[index], twin.tolerance));
    if (differs < 0 && want.length === got.length) continue;
    const at = differs < 0 ? want.length : differs;
    return [
      `  rank ${rank}, number ${at + 1} of ${want.length}`,
      `- ${want[at] ?? 'nothing'} (the cell: ${shortened(want)})`,
      `+ ${got[at] ?? 'nothing'} (PyTorch: ${shortened(got)})`,
    ];
  }
  return undefined;
}

/** The output of a cell as each rank put it out: labels are taken off, what has none is everybody's. */
export function unfoldOutput(output: string, worldSize: number): string[] {
  const texts = Array.from({ length: worldSize }, () => '');
  let ranks: number[] | undefined;
  let indent = 0;
  for (const line of output.split('\n')) {
    const label = LABEL.exec(line);
    if (label !== null) {
      ranks = label[1]!.split(',').map(Number);
      indent = line.length - label[2]!.length;
    } else if (ranks !== undefined && !line.startsWith(' '.repeat(indent))) ranks = undefined;
    const text = label !== null ? label[2]! : ranks === undefined ? line : line.slice(indent);
    for (const rank of ranks ?? texts.keys()) if (rank < worldSize) texts[rank] += `${text}\n`;
  }
  return texts;
}

/** What the ranks printed, print by print: said once where all say the same, with their numbers otherwise. */
export function foldPrints(printed: readonly (readonly string[])[]): string {
  const longest = Math.max(0, ...printed.map((prints) => prints.length));
  let out = '';
  for (let i = 0; i < longest; i++) {
    const groups = new Map<string, number[]>();
    for (const [rank, prints] of printed.entries()) {
      const text = prints[i];
      if (text !== undefined) groups.set(text, [...(groups.get(text) ?? []), rank]);
    }
    for (const [text, ranks] of groups) {
      const label = ranks.length === printed.length ? '' : `[rank ${ranks.join(',')}] `;
      out += `${label}${text.trimEnd().replace(/\n/g, `\n${' '.repeat(label.length)}`)}\n`;
    }
  }
  return out;
}

function numbersOf(text: string): string[] {
  return text.match(NUMBER) ?? [];
}

function agrees(want: string, got: string | undefined, tolerance: number): boolean {
  if (got === undefined) return false;
  if (want === got) return true;
  const [a, b] = [Number(want), Number(got)];
  return Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a));
}

function shortened(numbers: readonly string[]): string {
  const shown = numbers.slice(0, 12).join(' ');
  return numbers.length > 12 ? `${shown} ...` : shown;
}
