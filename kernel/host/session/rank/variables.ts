/** What a panel or a debugger shows of this rank's variables: never throws, never runs long. */
import type { VariableView } from '../types.js';
import { text } from './display.js';

const MOST_VARIABLES = 500;
const WIDTH = 70;

type Values = Record<PropertyKey, unknown>;

/** The variables of a namespace, in the order of their declaration. */
export function describeVariables(scope: object): VariableView[] {
  return Object.keys(scope)
    .slice(0, MOST_VARIABLES)
    .map((name) => describeProperty(scope as Values, name));
}

/** What is inside of the value at `path`: elements, entries, properties. */
export function describeChildren(scope: object, path: readonly string[]): VariableView[] {
  let value: unknown = scope;
  for (const name of path) {
    if (typeof value !== 'object' && typeof value !== 'function') return [];
    if (value === null) return [];
    value = entriesOf(value).get(name) ?? (value as Values)[name];
  }
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return [];
  const entries = entriesOf(value);
  if (entries.size > 0)
    return [...entries].slice(0, MOST_VARIABLES).map(([name, item]) => describe(name, item));
  return Object.keys(value)
    .slice(0, MOST_VARIABLES)
    .map((name) => describeProperty(value as Values, name));
}

/** Maps and sets show what they hold. */
function entriesOf(value: object): Map<string, unknown> {
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [shortText(key), item]));
  if (value instanceof Set) return new Map([...value].map((item, i) => [String(i), item]));
  return new Map();
}

function describeProperty(scope: Values, name: string): VariableView {
  try {
    return describe(name, scope[name]);
  } catch {
    return { name, type: 'uninitialized', value: '', nested: false };
  }
}

function describe(name: string, value: unknown): VariableView {
  try {
    return { name, type: typeName(value), value: shortText(value), nested: isNested(value) };
  } catch {
    return { name, type: typeName(value), value: '(cannot be shown)', nested: false };
  }
}

function shortText(value: unknown): string {
  const shown = text(value).split('\n');
  const first = shown[0]!.length > WIDTH ? `${shown[0]!.slice(0, WIDTH - 3)}...` : shown[0]!;
  return shown.length > 1 ? `${first} ...` : first;
}

function isNested(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (value instanceof Map || value instanceof Set) return value.size > 0;
  return Object.keys(value).length > 0;
}

function typeName(value: unknown): string {
  if (value === null || typeof value !== 'object') return value === null ? 'null' : typeof value;
  return (
    (Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null)?.constructor?.name ??
    'object'
  );
}
