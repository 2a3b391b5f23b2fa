import path from 'node:path';

/** The folder that holds `node` types, for the first of `requires` that finds them: ours in development, a dependency's once installed. */
export function nodeTypes(...requires: NodeJS.Require[]): string[] {
  for (const require of requires) {
    try {
      return [path.dirname(path.dirname(require.resolve('@types/node/package.json')))];
    } catch {
      // The next one may have it.
    }
  }
  return [];
}
