/** PyTorch as a peer, where a python has it: `SHARDBOOK_TORCH_PYTHON` names one, else `python3` is tried. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../host/world/index.js';

export function torchPeer(...args: string[]): Record<string, number> | undefined {
  const python = process.env['SHARDBOOK_TORCH_PYTHON'] ?? 'python3';
  if (spawnSync(python, ['-c', 'import torch']).status !== 0) return undefined;
  const script = join(packageRoot(), 'kernel', 'bench', 'peers', 'torch_peer.py');
  const { status, stdout } = spawnSync(python, [script, ...args], { encoding: 'utf8', timeout: 600_000 });
  const line = stdout.trim().split('\n').at(-1) ?? '';
  return status === 0 || line.startsWith('{') ? (JSON.parse(line) as Record<string, number>) : undefined;
}

export const TORCH_ABSENT = 'PyTorch is not installed (set SHARDBOOK_TORCH_PYTHON to a python that has it)';
