/** `fullyShard`: checks, what is managed by which call, forward methods besides `forward`. */
import { joinKwargs, Module, ModuleDict, ModuleList, splitKwargs, stateOf } from '../../nn/index.js';
import { isOptimized } from '../../optim/index.js';
import type { Tensor } from '../../tensor/index.js';
import { ShardPlacement } from '../dtensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { fsdpError } from './errors.js';
import { checkMesh, defaultMesh, type MeshInfo, meshInfoOf, postForwardInfo } from './mesh-info.js';
import type { FSDPModule } from './module.js';
import { shardedStates } from './module.js';
import { becomeFsdp } from './module-class.js';
import { FSDPParam, fsdpParamOf, type ParamPlace } from './param.js';
import { FSDPParamGroup } from './param-group.js';
import { type DataParallelMeshDims, MixedPrecisionPolicy, OffloadPolicy } from './policy.js';
import { FSDPState, fsdpStateOf } from './state.js';

/** What a shard placement function may return to put a parameter on a mesh of its own. */
export class ShardPlacementResult {
  constructor(
    readonly placement: ShardPlacement | null,
    readonly meshInfo: MeshInfo,
  ) {}
}

export interface FullyShardOptions {
  /** One axis: shard over it. Two: replicate over the first, shard over the second (HSDP). Default: all ranks in one axis. */
  mesh?: DeviceMesh;
  /**
   * After forward: true frees the whole parameters and gathers them again for backward, false keeps them, a number keeps shards among so many
   * consecutive ranks. Default: true, but false for the root.
   */
  reshardAfterForward?: boolean | number | null;
  /** Which dimension of a parameter is cut, `Shard(d)`; null: the first. */
  shardPlacementFn?: ((parameter: Tensor) => ShardPlacement | ShardPlacementResult | null | undefined) | null;
  mpPolicy?: MixedPrecisionPolicy;
  offloadPolicy?: OffloadPolicy;
  /** Parameters that stay as they are: neither sharded nor reduced. */
  ignoredParams?: Iterable<Tensor>;
  /** Names the data-parallel axes of a mesh that has others, on which the parameters are DTensors already. */
  dpMeshDims?: DataParallelMeshDims | null;
  /** PyTorch accepts parameters that an optimizer has, which then steps tensors that nobody uses; we only do when told so. */
  allowOptimizedParams?: boolean;
}

/**
 * Shards the parameters of a module over the ranks of a mesh, in place, and returns the module. Call it on the inner modules first
 * and on the root last; parameters belong to the innermost call.
 *
 * ```ts
 * for (const layer of model.layers) fullyShard(layer, { mesh });
 * fullyShard(model, { mesh });
 * const optimizer = new optim.AdamW(model.parameters()); // after sharding
 * ```
 */
export function fullyShard<M extends Module>(module: M, options?: FullyShardOptions): M & FSDPModule;
export function fullyShard<M extends Module>(
  modules: readonly M[],
  options?: FullyShardOptions,
): (M & FSDPModule)[];
export function fullyShard(given: Module | readonly Module[], options: FullyShardOptions = {}): unknown {
  const list = Array.isArray(given) ? outermost(given as readonly Module[]) : [given as Module];
  for (const module of list) checkModule(module);
  const dims = options.dpMeshDims ?? null;
  const mesh = options.mesh ?? defaultMesh();
  checkMesh(mesh, dims);
  const info = meshInfoOf(mesh, dims);
  const auto = options.reshardAfterForward === undefined || options.reshardAfterForward === null;
  const reshard = auto ? true : options.reshardAfterForward;
  if (dims !== null && typeof reshard === 'number') {
    throw fsdpError(
      'RESHARD',
      'Cannot shard a module: a group size for reshardAfterForward does not go with dpMeshDims',
    );
  }
  const postForward = info.shard === null ? null : postForwardInfo(reshard, info);
  const policy = options.mpPolicy ?? new MixedPrecisionPolicy();
  const offload = options.offloadPolicy ?? new OffloadPolicy();
  const ignored = new Set<Tensor>(options.ignoredParams ?? []);
  const params = managedParams(managedModules(list, ignored), ignored);
  refuseSharded(list, params);
  if (!options.allowOptimizedParams) refuseOptimized(params);

  const byMesh = new Map<MeshInfo, { tensor: Tensor; dim: number | null }[]>();
  for (const tensor of params) {
    const [where, dim] = placementOf(options.shardPlacementFn, tensor, info);
    byMesh.set(where, [...(byMesh.get(where) ?? []), { tensor, dim }]);
  }
  const places = placesOf(params, list);
  const groups = [...byMesh].map(([meshInfo, entries]) => {
    const post = meshInfo === info ? postForward : postForwardInfo(reshard, meshInfo);
    const made = entries.map(({ tensor, dim }) => {
      const at = places.get(tensor)!;
      const owner = list.map((module) => module._getName()).join(', ');
      return new FSDPParam(tensor, at, {
        meshInfo,
        postForward: post,
        shardDim: dim,
        policy,
        offload,
        owner,
      });
    });
    return new FSDPParamGroup(list, made, meshInfo, post, policy);
  });
  const state = new FSDPState(list, policy, auto);
  state.groups.push(...groups);
  for (const group of groups)
    for (const p of group.params) p.places[0]!.module.registerLoadStateDictPostHook(() => p.resetSharded());
  for (const module of list) becomeFsdp(module);
  return given;
}

function checkModule(module: unknown): asserts module is Module {
  if (!(typeof module === 'function' && module instanceof Module)) {
    throw fsdpError(
      'MODULE',
      `Cannot shard a ${module === null ? 'null' : typeof module}: wanted a module or a list of modules`,
    );
  }
  const container =
    module instanceof ModuleList ? ModuleList : module instanceof ModuleDict ? ModuleDict : null;
  if (container !== null && module.forward === container.prototype.forward) {
    throw fsdpError(
      'MODULE',
      `Cannot shard a ${module._getName()}: it has no forward whose hooks could gather parameters`,
      'shard each of its modules, or pass them as a list: fullyShard([...modules])',
    );
  }
  if (fsdpStateOf(module) !== undefined) {
    throw fsdpError(
      'ALREADY_SHARDED',
      `Cannot shard ${module._getName()}: fullyShard was called on it before`,
      'call it once for each module',
    );
  }
}

/** Of a list, the modules that are not inside another of it. */
function outermost(modules: readonly Module[]): Module[] {
  if (modules.length === 0) throw fsdpError('MODULE', 'Cannot shard a list of modules: it is empty');
  for (const module of modules) checkModule(module);
  const inside = new Set(modules.flatMap((m) => m.modules().filter((inner) => inner !== m)));
  return [...new Set(modules)].filter((m) => !inside.has(m));
}

/** The modules whose parameters this call owns: not those below another `fullyShard`. Children before their parents, as PyTorch. */
function managedModules(roots: readonly Module[], ignored: ReadonlySet<Tensor>): Module[] {
  const found: Module[] = [];
  const visited = new Set<Module>();
  const visit = (module: Module): void => {
    if (!roots.includes(module) && fsdpStateOf(module) !== undefined) return;
    visited.add(module);
    for (const child of module.children()) if (!visited.has(child)) visit(child);
    found.push(module);
  };
  for (const root of roots) visit(root);
  return ignored.size === 0 ? found : found.filter((module) => !onlyIgnored(module, ignored));
}

/** Whether nothing of a module is FSDP's business: no buffers, and no parameter that is not ignored. */
function onlyIgnored(module: Module, ignored: ReadonlySet<Tensor>): boolean {
  return (
    module.buffers(false).length === 0 &&
    module.parameters(false).every((p) => ignored.has(p)) &&
    module.children().every((child) => onlyIgnored(child, ignored))
  );
}

function managedParams(modules: readonly Module[], ignored: ReadonlySet<Tensor>): Tensor[] {
  const found = new Set<Tensor>();
  for (const module of modules) {
    for (const [name, p] of module.namedParameters('', false)) {
      if (ignored.has(p)) continue;
      if (p.shape.length === 0) {
        throw fsdpError(
          'PARAMETER',
          `Cannot shard parameter "${name}" ${p.describe()}: it has no dimension to cut`,
          'give it one: shape [1] instead of []',
        );
      }
      found.add(p);
    }
  }
  return [...found];
}

/** The parameters belong to the innermost call, so inner modules come first. */
function refuseSharded(modules: readonly Module[], params: readonly Tensor[]): void {
  for (const tensor of params) {
    const known = fsdpParamOf(tensor);
    if (known === undefined) continue;
    const names = modules.map((module) => module._getName()).join(', ');
    throw fsdpError(
      'ALREADY_SHARDED',
      `Cannot shard ${names}: its parameter "${known.fqn}" belongs to the fullyShard call on ${known.owner} already`,
      'call fullyShard on inner modules first, and on the module that contains them last',
    );
  }
}

function refuseOptimized(params: readonly Tensor[]): void {
  const known = params.filter((p) => isOptimized(p));
  if (known.length === 0) return;
  throw fsdpError(
    'OPTIMIZER_FIRST',
    `Cannot shard a module: an optimizer was made with ${known.length} of its ${params.length} parameters, and would go on stepping tensors that the module no longer has`,
    'make the optimizer after fullyShard, from the parameters that the module has then',
  );
}

function placementOf(
  choose: FullyShardOptions['shardPlacementFn'],
  tensor: Tensor,
  own: MeshInfo,
): [MeshInfo, number | null] {
  const chosen = choose?.(tensor) ?? null;
  if (chosen === null) return [own, null];
  if (chosen instanceof ShardPlacementResult) return [chosen.meshInfo, chosen.placement?.dim ?? null];
  if (chosen instanceof ShardPlacement) return [own, chosen.dim];
  throw fsdpError(
    'PLACEMENT',
    `Cannot shard a parameter: shardPlacementFn returned ${String(chosen)}, wanted Shard(d), a ShardPlacementResult or null`,
  );
}

/** Every place where each parameter is registered, shared modules and shared parameters included. */
function placesOf(params: readonly Tensor[], roots: readonly Module[]): Map<Tensor, ParamPlace[]> {
  const wanted = new Set(params);
  const places = new Map<Tensor, ParamPlace[]>();
  for (const root of roots) {
    for (const [, module] of root.namedModules('', false)) {
      for (const [name, p] of stateOf(module).parameters) {
        if (p === null || !wanted.has(p)) continue;
        const at = places.get(p) ?? [];
        if (!at.some((known) => known.module === module && known.name === name)) at.push({ module, name });
        places.set(p, at);
      }
    }
  }
  return places;
}

/** Makes another method of a sharded module gather and free parameters as its `forward` does. */
export function registerFsdpForwardMethod(module: Module, methodName: string): void {
  const state = fsdpStateOf(module);
  // As PyTorch: nothing to do for a module that is not sharded, so that models need not know.
  if (state === undefined) return;
  const method: unknown = Reflect.get(module, methodName);
  if (typeof method !== 'function') {
    throw fsdpError('METHOD', `Cannot register "${methodName}" of ${module._getName()}: it is no method`);
  }
  const wrapped = (...given: unknown[]): unknown => {
    const [args, kwargs] = state.beforeForward(...splitKwargs(given));
    const output: unknown = method.apply(module, joinKwargs(args, kwargs));
    return state.afterForward(output);
  };
  Object.defineProperty(module, methodName, {
    value: wrapped,
    writable: true,
    enumerable: false,
    configurable: true,
  });
}

/** Lets several roots (pipeline stages on one rank) share one line of reductions. */
export function shareCommCtx(modules: readonly Module[]): void {
  const [first, ...rest] = shardedStates(modules, 'share the communication of');
  if (first === undefined) return;
  for (const state of rest) {
    state.comm = first.comm;
    for (const group of state.groups) group.comm = first.comm;
  }
}
