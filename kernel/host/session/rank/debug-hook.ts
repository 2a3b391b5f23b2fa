/** What a debugger that stands in this thread reaches the rank's variables by, in the words of what it evaluates here. */
import { represent } from './display.js';
import { describeVariables } from './variables.js';

type Namespace = Record<PropertyKey, unknown>;

/** Replaces the hook of an earlier namespace. */
export function installDebugHook(namespace: Namespace): void {
  Object.defineProperty(globalThis, Symbol.for('shardbook.debug'), {
    configurable: true,
    value: {
      namespace,
      describe: describeVariables,
      represent,
      snapshot: () => snapshot(namespace),
      assign,
      lend: (names: readonly string[]) => lend(namespace, names),
    },
  });
}

/** Sets a property, or the entry of a map that is shown under that name. */
function assign(holder: object, name: string, value: unknown): void {
  if (holder instanceof Set) throw new TypeError('Cannot set an item of a set: it has no names');
  if (!(holder instanceof Map)) {
    (holder as Namespace)[name] = value;
    return;
  }
  const keys: unknown[] = [...holder.keys()];
  const shown = describeVariables(keys).findIndex((key) => key.value === name);
  holder.set(shown < 0 ? name : keys[shown], value);
}

/** The values of a namespace, which has getters, some of names that have no value yet. */
function snapshot(namespace: Namespace): Namespace {
  const values: Namespace = {};
  for (const name of Object.keys(namespace)) {
    try {
      values[name] = namespace[name];
    } catch {
      values[name] = undefined;
    }
  }
  return values;
}

/**
 * Makes names of the namespace global names, for an expression in a frame: what the frame itself has goes before them.
 * Returns how to take them back; the thread stands still in between.
 */
function lend(namespace: Namespace, names: readonly string[]): () => void {
  const lent: [name: string, before: PropertyDescriptor | undefined][] = [];
  for (const name of names) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    if (!(name in namespace) || before?.configurable === false) continue;
    lent.push([name, before]);
    Object.defineProperty(globalThis, name, {
      configurable: true,
      get: () => namespace[name],
      set: (value) => {
        namespace[name] = value;
      },
    });
  }
  return () => {
    for (const [name, before] of lent) {
      if (before === undefined) delete (globalThis as unknown as Namespace)[name];
      else Object.defineProperty(globalThis, name, before);
    }
  };
}
