/** What a module can do once `fullyShard` was called on it. */
import type { Module } from '../../nn/index.js';
import type { Tensor } from '../../tensor/index.js';
import { dist, type ProcessGroup } from '../group/index.js';
import {
  type AllGatherComm,
  DefaultAllGather,
  DefaultReduceScatter,
  type ReduceScatterComm,
} from './comm.js';
import { fsdpError } from './errors.js';
import { postForwardInfo } from './mesh-info.js';
import type { FSDPParamGroup } from './param-group.js';
import { type FSDPState, fsdpStateOf } from './state.js';

/** Waits for an `unshard({ asyncOp: true })`; the module's own forward waits as well. */
export class UnshardHandle {
  #groups: readonly FSDPParamGroup[];
  constructor(groups: readonly FSDPParamGroup[]) {
    this.#groups = groups;
  }
  wait(): void {
    for (const group of this.#groups) group.waitForUnshard();
    this.#groups = [];
  }
}

/** `true`, or `{ recurse: false }` after the flag: only the module itself, not the sharded modules inside. */
type Recurse = boolean | { recurse?: boolean };

const recurses = (option: Recurse | undefined): boolean =>
  typeof option === 'boolean' ? option : (option?.recurse ?? true);

/** The methods of a sharded module. Classes of sharded modules have them besides their own: `FSDPLinear` is a `Linear`. */
export class FSDPModuleMethods {
  /** Gathers the whole parameters of this module's group (not of sharded modules inside) and registers them. */
  unshard(options: boolean | { asyncOp?: boolean } = false): UnshardHandle | null {
    const asyncOp = typeof options === 'boolean' ? options : (options.asyncOp ?? false);
    const { groups } = own(this);
    for (const group of groups) {
      group.lazyInit();
      group.unshard();
    }
    const handle = new UnshardHandle(groups);
    if (asyncOp) return handle;
    handle.wait();
    return null;
  }

  /** Frees the whole parameters of this module's group and registers the sharded ones. */
  reshard(): void {
    for (const group of own(this).groups) group.reshard();
  }

  /** Gives up an iteration that an error ended: sharded parameters, nothing under way, no half gradients. Root only. */
  resetIterState(): void {
    own(this).resetIteration();
  }

  /** Whether the next backward pass is the last before the optimizer; false keeps the prefetch order. */
  setIsLastBackward(isLastBackward: boolean): void {
    own(this).iteration.isLastBackward = isLastBackward;
  }

  /** Whether backward reduces gradients; false accumulates whole gradients without communication. */
  setRequiresGradientSync(requiresGradientSync: boolean, options?: Recurse): void {
    for (const group of groupsOf(this, options)) {
      group.reduceGrads = requiresGradientSync;
      group.allReduceGrads = requiresGradientSync;
    }
  }

  /** For HSDP: whether replicas add up their gradients; false accumulates the reduce-scattered ones. */
  setRequiresAllReduce(requiresAllReduce: boolean, options?: Recurse): void {
    for (const group of groupsOf(this, options)) group.allReduceGrads = requiresAllReduce;
  }

  /** Whether parameters are freed after forward and gathered again in backward. */
  setReshardAfterForward(reshardAfterForward: boolean, options?: Recurse): void {
    if (typeof reshardAfterForward !== 'boolean') {
      throw fsdpError(
        'RESHARD',
        `Cannot set reshardAfterForward: given ${typeof reshardAfterForward}, wanted a boolean`,
        'a group size can be given only to fullyShard itself',
      );
    }
    for (const state of statesOf(this, options)) {
      state.autoReshard = false;
      for (const group of state.groups)
        group.postForward = postForwardInfo(reshardAfterForward, group.meshInfo);
    }
  }

  /** Whether parameters are freed after backward; false saves the next forward's all-gather while accumulating. */
  setReshardAfterBackward(reshardAfterBackward: boolean, options?: Recurse): void {
    for (const group of groupsOf(this, options)) group.reshardAfterBackward = reshardAfterBackward;
  }

  /** Sharded modules whose all-gather this module's forward starts. */
  setModulesToForwardPrefetch(modules: readonly Module[]): void {
    own(this).forwardPrefetch = shardedStates(modules, 'prefetch');
  }

  /** Sharded modules whose all-gather this module's backward starts, instead of the one that ran before it. */
  setModulesToBackwardPrefetch(modules: readonly Module[]): void {
    own(this).backwardPrefetch = shardedStates(modules, 'prefetch');
  }

  /** Replaces the all-gather of this module's group. */
  setCustomAllGather(comm: AllGatherComm): void {
    onlyGroup(this, 'setCustomAllGather', (group) => {
      group.gatherComm = comm;
    });
  }

  /** Replaces the reduce-scatter of this module's group. */
  setCustomReduceScatter(comm: ReduceScatterComm): void {
    onlyGroup(this, 'setCustomReduceScatter', (group) => {
      group.reduceComm = comm;
    });
  }

  /** Sees, and may change in place, the reduced gradients of the group before they are divided and handed out. */
  setAllReduceHook(hook: (reduceOutput: Tensor) => void): void {
    onlyGroup(this, 'setAllReduceHook', (group) => {
      group.allReduceHook = hook;
    });
  }

  /**
   * What the next iteration's first all-gather waits for in simulated time, instead of everything computed before it: the name of
   * a mark (`Simulation.mark`) set after the optimizer's step. To be given anew in each iteration; null takes it back. Real time
   * has nothing to wait for: a step is over when it returns.
   */
  setPostOptimEvent(event: string | null): void {
    if (event !== null && typeof event !== 'string') {
      throw fsdpError(
        'EVENT',
        `Cannot wait for the optimizer: given a ${typeof event}, wanted the name of a mark of simulated time or null`,
        "sim.mark('stepped') after optimizer.step(), then setPostOptimEvent('stepped')",
      );
    }
    own(this).comm.postOptimEvent = event;
  }

  /** Divides gradients by this instead of the number of data-parallel ranks. */
  setGradientDivideFactor(factor: number): void {
    if (!(Number.isFinite(factor) && factor > 0)) {
      throw fsdpError(
        'DIVIDE',
        `Cannot set the gradient divide factor to ${factor}: wanted a number above 0`,
      );
    }
    for (const group of own(this).groups) group.divideFactor = factor;
  }

  /** The old name of `setGradientDivideFactor`. */
  setReduceScatterDivideFactor(factor: number): void {
    (this as FSDPModuleMethods).setGradientDivideFactor(factor);
  }

  /** Uses only sums in collectives, and divides before or after. */
  setForceSumReductionForComms(enable: boolean): void {
    for (const group of own(this).groups) group.forceSum = enable;
  }

  /** Whether parameters without a gradient take part in the reduction as zeros: for ranks that use different parameters. */
  setReduceScatterUnusedParams(reduceScatterUnusedParams: boolean, options?: Recurse): void {
    for (const group of groupsOf(this, options)) group.reduceUnused = reduceScatterUnusedParams;
  }

  /** How many reductions may be under way before the next one waits. Set it before the first forward. */
  setReduceScatterMaxInputBuffers(maxInputBuffers: number, options?: Recurse): void {
    if (!Number.isInteger(maxInputBuffers) || maxInputBuffers < 1) {
      throw fsdpError(
        'BUFFERS',
        `Cannot keep ${String(maxInputBuffers)} reduce-scatter buffers: wanted a whole number from 1`,
      );
    }
    for (const state of statesOf(this, options)) {
      for (const group of state.groups) group.maxInputBuffers = maxInputBuffers;
      state.comm.maxReductions = Math.max(1, ...state.groups.map((group) => group.maxInputBuffers));
    }
  }

  /** Gives reduce-scatters a process group of their own, so that they do not queue behind all-gathers. All ranks call it. */
  setSeparateReduceScatterGroup(enable = true, options?: Recurse): void {
    const made = new Map<string, ProcessGroup>();
    for (const group of groupsOf(this, options)) {
      const info = group.meshInfo;
      if (!enable || info.shard === null) {
        info.reduceScatterGroup = null;
        continue;
      }
      const key = info.shard.group.ranks.join();
      const known = made.get(key) ?? info.reduceScatterGroup;
      const own =
        known ??
        (dist.newGroup([...info.shard.group.ranks], {
          useLocalSynchronization: true,
          groupDesc: 'fsdp reduce-scatter',
        }) as ProcessGroup);
      made.set(key, own);
      info.reduceScatterGroup = own;
    }
  }

  /** Whether backward needs this module's parameters at all; an embedding's does not. */
  setUnshardInBackward(unshardInBackward: boolean): void {
    for (const group of own(this).groups) group.unshardInBackward = unshardInBackward;
  }

  /**
   * Asks for flat buffers in memory of the process group's own (PyTorch: `ProcessGroup.allocate_tensor`). The transport allocates no
   * tensors, as gloo does not, so buffers stay where they are and nothing else changes; excludes custom collectives, as there.
   */
  setAllocateMemoryFromProcessGroupForComm(enable: boolean): void {
    buffersIn(this, 'setAllocateMemoryFromProcessGroupForComm', enable ? 'process group' : 'own');
  }

  /**
   * Asks for flat buffers in symmetric memory, which spares NCCL copies between devices. Ranks here share their memory anyway,
   * and a collective reads it where it lies, so nothing changes; excludes custom collectives and the process group's memory, as there.
   */
  setSymmMemForComm(backend = 'NCCL'): void {
    if (backend !== 'NCCL') {
      throw fsdpError('BUFFERS', `Cannot use symmetric memory of "${String(backend)}": wanted "NCCL"`);
    }
    buffersIn(this, 'setSymmMemForComm', 'symmetric');
  }
}

/** A module that `fullyShard` was called on. `module instanceof FSDPModule` tells. */
export type FSDPModule = FSDPModuleMethods;

interface FSDPModuleConstructor {
  readonly prototype: FSDPModuleMethods;
  [Symbol.hasInstance](value: unknown): value is Module & FSDPModuleMethods;
}

export const FSDPModule: FSDPModuleConstructor = class FSDPModule extends FSDPModuleMethods {
  static override [Symbol.hasInstance](value: unknown): boolean {
    return fsdpStateOf(value) !== undefined;
  }
} as unknown as FSDPModuleConstructor;

function buffersIn(self: unknown, method: string, where: FSDPParamGroup['buffers']): void {
  onlyGroup(self, method, (group) => {
    const custom =
      !(group.gatherComm instanceof DefaultAllGather) || !(group.reduceComm instanceof DefaultReduceScatter);
    if (custom || (group.buffers !== 'own' && where !== 'own' && group.buffers !== where)) {
      throw fsdpError(
        'BUFFERS',
        `Cannot use ${method}: ${custom ? 'the module has custom collectives' : `buffers were asked to be in ${group.buffers} memory before`}`,
        'a custom collective allocates its buffers itself; choose one of the two',
      );
    }
    group.buffers = where;
  });
}

function own(self: unknown): FSDPState {
  const state = fsdpStateOf(self);
  if (state !== undefined) return state;
  throw fsdpError('NOT_SHARDED', 'Cannot use an FSDP method: fullyShard was not called on the module');
}

function statesOf(self: unknown, option: Recurse | undefined): FSDPState[] {
  const state = own(self);
  if (!recurses(option)) return [state];
  const found = (self as Module).modules().flatMap((module) => fsdpStateOf(module) ?? []);
  return [...new Set(found)];
}

function groupsOf(self: unknown, option: Recurse | undefined): FSDPParamGroup[] {
  return statesOf(self, option).flatMap((state) => state.groups);
}

function onlyGroup(self: unknown, method: string, set: (group: FSDPParamGroup) => void): void {
  const { groups } = own(self);
  if (groups.length > 1) {
    throw fsdpError(
      'SEVERAL_MESHES',
      `Cannot use ${method}: the module's parameters are on ${groups.length} meshes, so it is not clear which group is meant`,
    );
  }
  for (const group of groups) set(group);
}

export function shardedStates(modules: readonly unknown[], what: string): FSDPState[] {
  return modules.map((module, i) => {
    const state = fsdpStateOf(module);
    if (state !== undefined) return state;
    throw fsdpError(
      'NOT_SHARDED',
      `Cannot ${what} module ${i} of the list: fullyShard was not called on it`,
      'call fullyShard on it first',
    );
  });
}
