/** The names that earlier cells and the preload put in scope, and the line in front of a cell that says so to TypeScript. */
import type { CellSource, NameKind } from './source.js';

/** Module name by which cells import what every cell sees. */
export const PRELOAD_SPECIFIER = 'shardbook:preload';

export interface EarlierName {
  kind: NameKind;
  /** The declaration that brings the name, on one line. */
  line: string;
}

export type Scope = ReadonlyMap<string, EarlierName>;

export function preloadScope(names: readonly [string, NameKind][]): Scope {
  return new Map(
    names.map(([name, kind]) => [name, { kind, line: `import { ${name} } from '${PRELOAD_SPECIFIER}';` }]),
  );
}

/** The scope after a cell; `module` is the file (without extension) that holds the declarations of the cell. */
export function extendScope(scope: Scope, cell: CellSource, module: string): Scope {
  if (cell.names.size === 0) return scope;
  const next = new Map(scope);
  for (const [name, kind] of cell.names) {
    const line =
      cell.imports.get(name) ??
      // Imported names can't be assigned; a variable can, and its type still holds.
      (kind === 'let'
        ? `declare let ${name}: typeof import('${module}').${name};`
        : `import { ${name} } from '${module}';`);
    next.set(name, { kind, line });
  }
  return next;
}

/** The names of `scope` that `cell` can mean; without `all` only those that it mentions. */
function visibleNames(scope: Scope, cell: CellSource, all: boolean): Map<string, EarlierName> {
  const visible = new Map<string, EarlierName>();
  if (all) {
    for (const [name, earlier] of scope) if (!cell.names.has(name)) visible.set(name, earlier);
    return visible;
  }
  for (const name of cell.mentioned) {
    const earlier = cell.names.has(name) ? undefined : scope.get(name);
    if (earlier) visible.set(name, earlier);
  }
  return visible;
}

export interface CellModule {
  text: string;
  /** Where the cell starts and ends in `text`. */
  start: number;
  end: number;
  visible: ReadonlyMap<string, EarlierName>;
}

/** The cell between one line of what it may use and one of what it declares, so that lines only move by one. */
export function cellModule(scope: Scope, cell: CellSource, all = false): CellModule {
  const visible = visibleNames(scope, cell, all);
  const before = `${[...visible.values()].map(({ line }) => line).join(' ')} export {};\n`;
  const declared = [...cell.names].filter(([, kind]) => kind !== 'import').map(([name]) => name);
  const start = before.length;
  const end = start + cell.text.length;
  return { text: `${before}${cell.text}\nexport { ${declared.join(', ')} };\n`, start, end, visible };
}
