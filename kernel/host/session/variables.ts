/** The variables of all ranks side by side: what agrees is said once. */
import type { VariableView } from './types.js';

/** A variable and the values that ranks have for it. */
export interface SharedVariable {
  name: string;
  variants: { variable: VariableView; ranks: number[] }[];
}

/** In the order in which ranks first name them. */
export function mergeVariables(
  perRank: readonly { rank: number; variables: readonly VariableView[] }[],
): SharedVariable[] {
  const merged = new Map<string, Map<string, { variable: VariableView; ranks: number[] }>>();
  for (const { rank, variables } of perRank) {
    for (const variable of variables) {
      const variants = merged.get(variable.name) ?? new Map();
      merged.set(variable.name, variants);
      const key = `${variable.type} ${variable.value}`;
      const variant = variants.get(key) ?? { variable, ranks: [] };
      variants.set(key, variant);
      variant.ranks.push(rank);
    }
  }
  return [...merged].map(([name, variants]) => ({ name, variants: [...variants.values()] }));
}

/** `%who`: one line where ranks agree, one for each value where they don't. */
export function variableTable(shared: readonly SharedVariable[], worldSize: number): string[] {
  const rows = shared.flatMap(({ name, variants }) =>
    variants.map(({ variable, ranks }) => [
      name,
      ranks.length === worldSize ? '' : `[rank ${ranks.join(',')}]`,
      variable.type,
      variable.value,
    ]),
  );
  return rows.length === 0 ? [] : alignColumns(rows);
}

function alignColumns(rows: readonly string[][]): string[] {
  const columns = (rows[0] ?? []).map((_, i) => i).filter((i) => rows.some((row) => row[i] !== ''));
  const width = (i: number): number => Math.max(...rows.map((row) => row[i]!.length));
  return rows.map((row) =>
    columns
      .map((i) => row[i]!.padEnd(width(i)))
      .join('  ')
      .trimEnd(),
  );
}
