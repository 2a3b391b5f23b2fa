/** Asks a process in the cage for a submission's type errors: a type can be made to take any time and memory to check. */
import { existsSync, lstatSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TypeNote } from './report.js';
import { type Cage, runCaged } from './sandbox/index.js';

const SECONDS = 20;
const MEGABYTES = 700;
const MOST_NOTES = 10;
/** Where the build puts the declarations of the published entry. */
const DECLARATIONS = 'kernel/runtime/index.d.ts';

export interface TypeCheck {
  readonly notes: readonly TypeNote[];
  /** Why there is no answer. */
  readonly failure: string | undefined;
}

/** Type errors of the submission's files (as they were handed in, in the cage's folder). */
export async function checkTypes(
  cage: Cage,
  packageRoot: string,
  files: readonly string[],
  seconds = SECONDS,
): Promise<TypeCheck> {
  const types = join(packageRoot, 'dist/types');
  const compiler = findTypescript(packageRoot);
  if (compiler === undefined || !existsSync(join(types, DECLARATIONS)))
    return { notes: [], failure: 'the declarations are not built' };
  const { inside } = cage;
  const isProcess = cage.isolation === 'process';
  const place = isProcess ? types : '/types';
  const result = await runCaged(
    cage,
    {
      args: [
        isProcess ? join(packageRoot, 'dist/grader-runner.js') : `${inside.kit}/dist/grader-runner.js`,
        '--types',
        join(place, DECLARATIONS),
        ...files.map((file) => `${inside.folder}/${file}`),
      ],
      folder: cage.folder,
      memoryMb: MEGABYTES,
      readable: isProcess
        ? [
            [types, types],
            // Some package managers put a link there.
            ...[...new Set([reachOf(compiler), realpathSync(compiler)])].map((path) => [path, path] as const),
            [join(packageRoot, 'dist'), join(packageRoot, 'dist')],
            [join(packageRoot, 'package.json'), join(packageRoot, 'package.json')],
          ]
        : [
            [types, '/types'],
            [compiler, '/node_modules/typescript'],
          ],
    },
    seconds,
  );
  const notes = readNotes(result.output, `${inside.folder}/`);
  if (notes !== undefined) return { notes, failure: undefined };
  return {
    notes: [],
    failure: result.timedOut
      ? `checking the types took longer than ${seconds} s`
      : result.signal !== undefined
        ? 'checking the types took too much memory'
        : 'the types could not be checked',
  };
}

/** What must be readable to get to the compiler by its name: the folder of packages where that is a link itself. */
function reachOf(compiler: string): string {
  const packages = dirname(compiler);
  return lstatSync(packages).isSymbolicLink() ? packages : compiler;
}

function findTypescript(packageRoot: string): string | undefined {
  for (let folder = packageRoot; ; folder = join(folder, '..')) {
    const candidate = join(folder, 'node_modules/typescript');
    if (existsSync(candidate)) return candidate;
    if (folder === join(folder, '..')) return undefined;
  }
}

/** Undefined when what came is no answer; the process is the submission's as far as anybody knows. */
function readNotes(text: string, folder: string): TypeNote[] | undefined {
  try {
    const notes = JSON.parse(text) as TypeNote[];
    return notes.slice(0, MOST_NOTES).map(({ file, line, message }) => ({
      file: String(file).replace(folder, '').slice(0, 100),
      line: Number.isSafeInteger(line) && line > 0 ? line : 1,
      message: String(message).slice(0, 500),
    }));
  } catch {
    return undefined;
  }
}
