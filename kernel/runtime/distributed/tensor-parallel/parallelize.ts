import type { Module } from '../../nn/index.js';
import { currentMesh, type DeviceMesh } from '../mesh/index.js';
import { matches } from './fnmatch.js';
import { kindOf, ParallelStyle, styleError } from './style.js';

/** A style, or styles by the path of the submodule; `*`, `?` and `[0-9]` stand in one part of a path each. */
export type ParallelizePlan = ParallelStyle | { readonly [path: string]: ParallelizePlan | null | undefined };

export interface ParallelizeOptions {
  /**
   * The group rank whose parameters are the whole that Colwise and Rowwise cut (default 0); null: every rank cuts its own, and
   * nothing is sent.
   */
  srcDataRank?: number | null;
}

/**
 * Makes a module tensor-parallel over a mesh of one axis, in place: `parallelizeModule(model, mesh.get('tp'), { 'blocks.*.up': new
 * ColwiseParallel(), 'blocks.*.down': new RowwiseParallel() })`. A path that fits nothing is warned about and skipped.
 */
export function parallelizeModule<M extends Module>(
  module: M,
  deviceMesh?: DeviceMesh | null,
  plan?: ParallelizePlan | null,
  options: ParallelizeOptions = {},
): M {
  const mesh = deviceMesh ?? currentMesh();
  if (mesh === null) {
    throw styleError(
      'SB_BAD_ARGUMENT',
      'Cannot parallelize a module without a mesh: none is given and none is current',
      "pass one, as initDeviceMesh([4], { meshDimNames: ['tp'] }) makes it, or call inside mesh.run(() => ...)",
    );
  }
  const { srcDataRank = 0 } = options;
  if (plan === null || plan === undefined) {
    console.warn('parallelizeModule: no plan is given, so the module stays as it is');
    return module;
  }
  if (plan instanceof ParallelStyle) {
    plan.srcDataRank = srcDataRank;
    return plan.apply(module, mesh) as M;
  }
  if (typeof plan !== 'object' || Array.isArray(plan)) {
    throw styleError(
      'SB_TP_PLAN',
      `Cannot parallelize a module: the plan is ${kindOf(plan)}, wanted a ParallelStyle or { path: ParallelStyle }`,
    );
  }
  for (const [path, style] of Object.entries(plan)) applyAt(module, mesh, path, style, srcDataRank);
  return module;
}

function applyAt(
  module: Module,
  mesh: DeviceMesh,
  path: string,
  style: ParallelizePlan | null | undefined,
  srcDataRank: number | null,
): void {
  // As in PyTorch, the module itself is parallelized from rank 0 whatever srcDataRank is.
  if (path === '') {
    parallelizeModule(module, mesh, style);
    return;
  }
  const [part, ...rest] = path.split('.');
  const children = module.namedChildren().filter(([name]) => matches(name, part!));
  if (children.length === 0) {
    console.warn(
      `parallelizeModule: path "${path}" is skipped: no submodule of ${kindOf(module)} fits "${part}"`,
    );
    return;
  }
  for (const [, child] of children)
    parallelizeModule(child, mesh, rest.length > 0 ? { [rest.join('.')]: style } : style, { srcDataRank });
}
