/** Folders for the while: gone when the grader ends, however it does. */
import { mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive } from './alive.js';

const OF_A_PROCESS = /^shardbook-(?:kit|grade|checks|mutants|types)-(\d+)-/;
const own = new Set<string>();
let isSwept = false;

process.on('exit', () => {
  for (const folder of own) remove(folder);
});

/** A new folder, by its real path: the permission model compares paths, and the place for them may be a link. */
export function temporaryFolder(label: 'kit' | 'grade' | 'checks' | 'mutants' | 'types'): string {
  sweep();
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `shardbook-${label}-${process.pid}-`)));
  own.add(folder);
  return folder;
}

export function removeTemporary(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  own.delete(folder);
}

/** Folders of graders that were killed; once in a process. */
function sweep(): void {
  if (isSwept) return;
  isSwept = true;
  for (const name of readdirSync(tmpdir())) {
    const [, pid] = OF_A_PROCESS.exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) remove(join(tmpdir(), name));
  }
}

function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    // It is another user's, another grader sweeps it at this moment, or something is still being written there.
  }
}
