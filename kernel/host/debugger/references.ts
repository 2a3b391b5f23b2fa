/** The numbers that a debugger's front end has for frames and for what is inside of variables. */
import { mergeVariables, type VariableView } from '../session/index.js';
import type { Frame } from './paused.js';

export type Reference =
  | { kind: 'frame' | 'locals' | 'globals'; rank: number; frame: Frame }
  | { kind: 'object'; rank: number; objectId: string }
  /** A variable between cells, of ranks that agree on it. */
  | { kind: 'path'; ranks: readonly number[]; path: readonly string[] }
  /** A variable that ranks disagree on. */
  | { kind: 'variants'; variants: { variable: VariableView; ranks: number[] }[]; path: readonly string[] };

/** What has been looked into long ago is forgotten. */
const MOST = 20_000;

export class References {
  readonly #references = new Map<number, Reference>();
  #last = 0;

  add(reference: Reference): number {
    this.#references.set(++this.#last, reference);
    if (this.#references.size > MOST) this.#references.delete(this.#references.keys().next().value!);
    return this.#last;
  }

  get<K extends Reference['kind']>(id: number): Extract<Reference, { kind: K }> | undefined {
    return this.#references.get(id) as Extract<Reference, { kind: K }> | undefined;
  }

  clear(): void {
    this.#references.clear();
  }
}

/** The variables of several ranks as one list: those that agree once, the others with a value for each group of ranks. */
export function sharedVariables<T>(
  perRank: readonly { rank: number; variables: readonly VariableView[] }[],
  path: readonly string[],
  ranks: number,
  show: (name: string, variable: VariableView, inside: Reference) => T,
): T[] {
  return mergeVariables(perRank).map(({ name, variants }) => {
    const [first] = variants;
    const own = [...path, name];
    if (variants.length === 1 && first!.ranks.length === ranks)
      return show(name, first!.variable, { kind: 'path', ranks: first!.ranks, path: own });
    const types = new Set(variants.map(({ variable }) => variable.type));
    const value = variants
      .map((variant) => `[rank ${variant.ranks.join(',')}] ${variant.variable.value}`)
      .join(' | ');
    const variable = { name, type: [...types].join(' | '), value, nested: true };
    return show(name, variable, { kind: 'variants', variants, path: own });
  });
}
