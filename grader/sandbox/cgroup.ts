/**
 * Limits of memory and processes by control groups, where this user may make them: version 2 (a delegated group, or root in a
 * container) or version 1 (root). One group holds all ranks of a submission, so that they end together.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '../alive.js';

const ROOT = '/sys/fs/cgroup';
let made = 0;

export interface CgroupLimits {
  readonly memoryMb: number;
  readonly processes: number;
}

interface Hierarchy {
  readonly version: 1 | 2;
  /** Folders in which a group is made: one for version 2, one per controller for version 1. */
  readonly parents: readonly string[];
}

export class Cgroup {
  private constructor(
    private readonly version: 1 | 2,
    private readonly folders: readonly string[],
  ) {}

  static make(limits: CgroupLimits): Cgroup | undefined {
    const where = hierarchy();
    if (where === undefined) return undefined;
    const name = `shardbook-${process.pid}-${++made}`;
    const folders: string[] = [];
    try {
      for (const parent of where.parents) {
        const folder = join(parent, name);
        mkdirSync(folder);
        folders.push(folder);
        limit(folder, where.version, limits);
      }
      return new Cgroup(where.version, folders);
    } catch {
      for (const folder of folders) removeFolder(folder);
      return undefined;
    }
  }

  /** Files to which a process writes 0 to join. */
  get joinFiles(): string[] {
    return this.folders.map((folder) => join(folder, 'cgroup.procs'));
  }

  /** Whether the kernel ended a process of the group for want of memory. */
  get outOfMemory(): boolean {
    const files = this.folders.flatMap((folder) =>
      ['memory.events', 'memory.oom_control'].map((name) => join(folder, name)),
    );
    return files.some((file) => /^oom_kill [1-9]/m.test(read(file)));
  }

  /** Ends what is left in it, and removes it. */
  async remove(): Promise<void> {
    if (this.version === 2) write(join(this.folders[0]!, 'cgroup.kill'), '1');
    for (let i = 0; i < 50; i++) {
      for (const pid of this.members()) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It is gone.
        }
      }
      if (this.folders.every(removeFolder)) return;
      await new Promise((resolve) => setTimeout(resolve, 2 + i));
    }
  }

  /** As `remove`, when the grader itself ends: nobody waits for long. What is not gone by then the next grader removes. */
  removeNow(): void {
    if (this.version === 2) write(join(this.folders[0]!, 'cgroup.kill'), '1');
    const nothing = new Int32Array(new SharedArrayBuffer(4));
    for (let i = 0; i < 40 && !this.folders.every(removeFolder); i++) Atomics.wait(nothing, 0, 0, 5);
  }

  private members(): number[] {
    return this.folders.flatMap((folder) =>
      existsSync(folder) ? read(join(folder, 'cgroup.procs')).split('\n').filter(Boolean).map(Number) : [],
    );
  }
}

let found: Hierarchy | null | undefined;

/** Where groups can be made, tried once. */
function hierarchy(): Hierarchy | undefined {
  if (found === undefined) {
    found = process.platform === 'linux' ? (versionTwo() ?? versionOne() ?? null) : null;
    for (const parent of found?.parents ?? []) sweep(parent);
  }
  return found ?? undefined;
}

/** Groups of graders that were ended before the kernel let go of them: empty by now, so that they can be removed. */
function sweep(parent: string): void {
  for (const name of readdirSync(parent)) {
    const [, pid] = /^shardbook-(?:try-)?(\d+)(?:-|$)/.exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) removeFolder(join(parent, name));
  }
}

function versionTwo(): Hierarchy | undefined {
  const own = ownGroups().get('');
  if (own === undefined) return undefined;
  const mount = existsSync(join(ROOT, 'cgroup.controllers')) ? ROOT : join(ROOT, 'unified');
  const folder = join(mount, own);
  if (usable({ version: 2, parents: [folder] })) return { version: 2, parents: [folder] };
  // A group with processes in it hands no controllers on. When the grader is alone in its own, it moves one down.
  const alone = read(join(folder, 'cgroup.procs')).trim() === String(process.pid);
  if (!alone || !/\bmemory\b/.test(read(join(folder, 'cgroup.controllers')))) return undefined;
  const leaf = join(folder, 'shardbook-grader');
  try {
    mkdirSync(leaf, { recursive: true });
    writeFileSync(join(leaf, 'cgroup.procs'), String(process.pid));
    writeFileSync(join(folder, 'cgroup.subtree_control'), '+memory +pids');
  } catch {
    return undefined;
  }
  return usable({ version: 2, parents: [folder] }) ? { version: 2, parents: [folder] } : undefined;
}

function versionOne(): Hierarchy | undefined {
  const groups = ownGroups();
  const parents = ['pids', 'memory']
    .filter((controller) => groups.has(controller))
    .map((controller) => join(ROOT, controller, groups.get(controller)!))
    .filter((folder) => existsSync(folder) && usable({ version: 1, parents: [folder] }));
  return parents.length > 0 ? { version: 1, parents } : undefined;
}

function usable({ version, parents }: Hierarchy): boolean {
  const folder = join(parents[0]!, `shardbook-try-${process.pid}`);
  try {
    mkdirSync(folder);
    limit(folder, version, { memoryMb: 1024, processes: 1000 });
    return true;
  } catch {
    return false;
  } finally {
    removeFolder(folder);
  }
}

function limit(folder: string, version: 1 | 2, { memoryMb, processes }: CgroupLimits): void {
  const bytes = String(memoryMb * 2 ** 20);
  if (version === 2) {
    writeFileSync(join(folder, 'memory.max'), bytes);
    write(join(folder, 'memory.swap.max'), '0');
    writeFileSync(join(folder, 'pids.max'), String(processes));
    return;
  }
  if (existsSync(join(folder, 'pids.max'))) writeFileSync(join(folder, 'pids.max'), String(processes));
  else {
    writeFileSync(join(folder, 'memory.limit_in_bytes'), bytes);
    write(join(folder, 'memory.memsw.limit_in_bytes'), bytes);
  }
}

/** Controller to path; the one of version 2 has no name. */
function ownGroups(): Map<string, string> {
  const groups = new Map<string, string>();
  for (const line of read('/proc/self/cgroup').trim().split('\n')) {
    const [, controllers = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    for (const controller of controllers.split(',')) groups.set(controller, path);
  }
  return groups;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch {
    // A limit that this kernel does not have.
  }
}

function removeFolder(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return !existsSync(folder);
  }
}
