/** What a session finds around it: the built types, and which compiler is wished. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ShardbookError } from '../../runtime/index.js';
import { packageRoot } from '../world/index.js';
import type { CompilerEngine } from './compiler/index.js';

/** The declarations of what cells see; throws where they have not been built. */
export function builtTypes(): { preloadTypes: string; runtimeTypes: string } {
  const types = path.join(packageRoot(), 'dist/types/kernel');
  const preloadTypes = path.join(types, 'preload.d.ts');
  if (existsSync(preloadTypes)) return { preloadTypes, runtimeTypes: path.join(types, 'runtime/index.d.ts') };
  throw new ShardbookError({
    code: 'SB_NOT_BUILT',
    message: `Cannot compile cells: the types of what they see are not at "${preloadTypes}", which the build writes`,
    help: 'run "npm run build"',
  });
}

export function engineOfEnvironment(): CompilerEngine {
  const wanted = process.env['SHARDBOOK_COMPILER'] ?? 'typescript';
  if (wanted === 'typescript' || wanted === 'tslab') return wanted;
  throw new ShardbookError({
    code: 'SB_COMPILER',
    message: `Cannot start a session: SHARDBOOK_COMPILER is "${wanted}"`,
    help: 'use "typescript" or "tslab"',
  });
}
