/** PyTorch as a peer, where a python has it: `SHARDBOOK_TORCH_PYTHON` names one, else `python3` is tried. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../host/world/index.js';

export function torchPeer(...args: string[]): Record<string, number> | undefined {
  return torchScript('torch_peer.py', ...args) as Record<string, number> | undefined;
}

/** The last line that a script of the peers folder prints, which is JSON. */
export function torchScript(name: string, ...args: string[]): unknown {
  const python = process.env['SHARDBOOK_TORCH_PYTHON'] ?? 'python3';
  if (spawnSync(python, ['-c', 'import torch']).status !== 0) return undefined;
  const script = join(packageRoot(), 'kernel', 'bench', 'peers', name);
  const { status, stdout } = spawnSync(python, [script, ...args], { encoding: 'utf8', timeout: 600_000 });
  const line = stdout.trim().split('\n').at(-1) ?? '';
  return status === 0 || line.startsWith('{') ? JSON.parse(line) : undefined;
}

export const TORCH_ABSENT = 'PyTorch is not installed (set SHARDBOOK_TORCH_PYTHON to a python that has it)';
