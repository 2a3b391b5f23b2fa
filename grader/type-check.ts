/** Asks a separate process for a submission's type errors: a type can be made to take any time and memory to check. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { RankPlace } from './rank-process.js';
import type { TypeNote } from './report.js';

const SECONDS = 20;
const MEGABYTES = 512;
const MOST_NOTES = 10;
/** Where the build puts the declarations of the published entry. */
const DECLARATIONS = 'dist/types/kernel/runtime/index.d.ts';

/** Type errors of `file` (the submission as it was handed in); empty when they cannot be had. */
export function typeNotes(place: RankPlace, file: string): Promise<TypeNote[]> {
  const declarations = join(place.packageRoot, DECLARATIONS);
  if (!existsSync(declarations)) return Promise.resolve([]);
  return new Promise((resolve) => {
    const args = [
      `--max-old-space-size=${MEGABYTES}`,
      '--no-warnings',
      place.runner,
      '--types',
      file,
      declarations,
    ];
    const options = {
      cwd: place.folder,
      env: {},
      timeout: SECONDS * 1000,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 20,
    } as const;
    execFile(process.execPath, args, options, (error, stdout) =>
      resolve(error === null ? readNotes(stdout) : []),
    );
  });
}

function readNotes(stdout: string): TypeNote[] {
  try {
    const notes = JSON.parse(stdout) as TypeNote[];
    return notes
      .slice(0, MOST_NOTES)
      .map(({ line, message }) => ({ line: Number(line), message: String(message) }));
  } catch {
    return [];
  }
}
