/** Makes Shardbook known to Jupyter on this machine. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { ShardbookError } from '../../runtime/index.js';
import { makeFolder } from '../folders/index.js';

/** Which of Jupyter's folders: this user's, a prefix's, or that of the Python installation in use. */
export type SpecPlace = { kind: 'user' } | { kind: 'prefix'; folder: string } | { kind: 'sys-prefix' };

export interface SpecOptions {
  place: SpecPlace;
  name: string;
  /** The command's script, run by this Node. */
  cli: string;
  world?: number;
}

/** Writes the kernelspec; returns its folder. */
export function installSpec(options: SpecOptions): string {
  const folder = specFolder(options.place, options.name);
  const world = options.world === undefined ? [] : ['--world', String(options.world)];
  const spec = {
    argv: [
      process.execPath,
      options.cli,
      'kernel',
      'run',
      '--connection-file',
      '{connection_file}',
      ...world,
    ],
    display_name:
      options.world === undefined
        ? 'TypeScript (Shardbook)'
        : `TypeScript (Shardbook, ${options.world} ranks)`,
    language: 'typescript',
    interrupt_mode: 'message',
    metadata: { debugger: true },
  };
  try {
    makeFolder(folder);
    writeFileSync(path.join(folder, 'kernel.json'), `${JSON.stringify(spec, null, 2)}\n`);
    writeFileSync(path.join(folder, 'logo-svg.svg'), LOGO);
  } catch (cause) {
    throw new ShardbookError({
      code: 'SB_KERNELSPEC',
      message: `Cannot write the kernelspec to "${folder}": ${cause instanceof Error ? cause.message : String(cause)}`,
      help: 'use "--user", or "--prefix DIR" with a folder you may write to',
      cause,
    });
  }
  return folder;
}

/** Removes the kernelspec; returns its folder. */
export function uninstallSpec(place: SpecPlace, name: string): string {
  const folder = specFolder(place, name);
  const file = path.join(folder, 'kernel.json');
  if (!existsSync(file)) {
    throw new ShardbookError({
      code: 'SB_KERNELSPEC',
      message: `Cannot uninstall "${name}": there is no kernelspec in "${folder}"`,
      help: 'give the same "--user", "--prefix" or "--name" as for install',
    });
  }
  const { argv } = JSON.parse(readFileSync(file, 'utf8')) as { argv?: string[] };
  if (!argv?.includes('kernel') || !argv.includes('run')) {
    throw new ShardbookError({
      code: 'SB_KERNELSPEC',
      message: `Cannot uninstall "${name}": the kernelspec in "${folder}" is not Shardbook's`,
      help: `remove it with "jupyter kernelspec remove ${name}", or give the "--name" of Shardbook's`,
    });
  }
  rmSync(folder, { recursive: true });
  return folder;
}

function specFolder(place: SpecPlace, name: string): string {
  if (!/^[a-z0-9._-]+$/i.test(name)) {
    throw new ShardbookError({
      code: 'SB_KERNELSPEC',
      message: `Cannot name a kernelspec "${name}": wanted letters, digits, ".", "_" and "-"`,
    });
  }
  return path.join(dataFolder(place), 'kernels', name.toLowerCase());
}

function dataFolder(place: SpecPlace): string {
  if (place.kind === 'prefix') return path.join(path.resolve(place.folder), 'share/jupyter');
  if (place.kind === 'sys-prefix') return path.join(pythonPrefix(), 'share/jupyter');
  const { JUPYTER_DATA_DIR: own, XDG_DATA_HOME: xdg, APPDATA: appData } = process.env;
  if (own) return own;
  if (process.platform === 'darwin') return path.join(homedir(), 'Library/Jupyter');
  if (process.platform === 'win32') return path.join(appData ?? homedir(), 'jupyter');
  return path.join(xdg ? xdg : path.join(homedir(), '.local/share'), 'jupyter');
}

function pythonPrefix(): string {
  const { stdout, status } = spawnSync('python3', ['-c', 'import sys; print(sys.prefix)'], {
    encoding: 'utf8',
  });
  if (status === 0) return stdout.trim();
  throw new ShardbookError({
    code: 'SB_KERNELSPEC',
    message: 'Cannot find the prefix of Python: python3 does not run',
    help: 'use "--user" or "--prefix DIR"',
  });
}

/** Four shards of a square. */
const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">
<rect x="6" y="6" width="24" height="24" rx="4" fill="#2f6f8f"/><rect x="34" y="6" width="24" height="24" rx="4" fill="#e0a030"/>
<rect x="6" y="34" width="24" height="24" rx="4" fill="#5a9a68"/><rect x="34" y="34" width="24" height="24" rx="4" fill="#b5533c"/></svg>
`;
