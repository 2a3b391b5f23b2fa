import type { Module } from './module.js';
import { stateOf } from './state.js';

/** A module as PyTorch prints it: its own settings, then its children, indented by two spaces. */
export function describeModule(module: Module): string {
  const extra = module.extraRepr();
  const extraLines = extra === '' ? [] : extra.split('\n');
  const childLines: string[] = [];
  for (const [name, child] of stateOf(module).modules) {
    childLines.push(`(${name}): ${indent(child === null ? 'None' : child.toString())}`);
  }
  const lines = [...extraLines, ...childLines];
  const name = module._getName();
  if (lines.length === 0) return `${name}()`;
  if (extraLines.length === 1 && childLines.length === 0) return `${name}(${extraLines[0]})`;
  return `${name}(\n  ${lines.join('\n  ')}\n)`;
}

/** Children of a list, equal neighbours folded into one entry: `(0-3): 4 x Block(...)`. */
export function describeList(name: string, children: Iterable<Module>): string {
  const texts = [...children].map((child) => child.toString());
  if (texts.length === 0) return `${name}()`;
  const lines: string[] = [];
  for (let start = 0; start < texts.length; ) {
    let end = start;
    while (texts[end + 1] === texts[start]) end++;
    const text = indent(texts[start]!);
    lines.push(start === end ? `(${start}): ${text}` : `(${start}-${end}): ${end - start + 1} x ${text}`);
    start = end + 1;
  }
  return `${name}(\n  ${lines.join('\n  ')}\n)`;
}

/** Python's spelling of a setting, as module descriptions show it. */
export function py(value: unknown): string {
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (value === null || value === undefined) return 'None';
  if (Array.isArray(value))
    return value.length === 1 ? `(${py(value[0])},)` : `(${value.map(py).join(', ')})`;
  if (typeof value === 'number') return pyNumber(value);
  if (typeof value === 'string') return `'${value}'`;
  return String(value);
}

/** A number that is a float in PyTorch even when it is whole. */
export function pyFloat(value: number): string {
  return Number.isInteger(value) && Math.abs(value) < 1e16 ? `${value}.0` : pyNumber(value);
}

function pyNumber(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1e-4) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}

function indent(text: string): string {
  return text.split('\n').join('\n  ');
}
