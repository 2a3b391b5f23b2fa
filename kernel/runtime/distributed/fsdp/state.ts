/** One `fullyShard` call: the hooks of its modules, which drive its parameter groups. */
import { giveUpWith } from '../../base/index.js';
import { isModule, type Module, type RemovableHandle } from '../../nn/index.js';
import type { DType } from '../../tensor/index.js';
import { isGradEnabled, queueCallback, type Tensor } from '../../tensor/index.js';
import { dist } from '../group/index.js';
import { checkAgreement } from './agree.js';
import { fsdpError } from './errors.js';
import { emitFsdp, hasListeners } from './events.js';
import { CommContext, type FSDPParamGroup, type TrainingState } from './param-group.js';
import type { MixedPrecisionPolicy } from './policy.js';
import { gradTensors, mapTensors } from './tree.js';

/** What all states of one root share in an iteration. */
class Iteration {
  readonly states: FSDPState[] = [];
  /** The state whose forward is the outermost one that runs. */
  root: FSDPState | null = null;
  callbackQueued = false;
  isLastBackward = true;
}

const states = new WeakMap<Module, FSDPState>();

/** The state of a module that `fullyShard` was called on. */
export function fsdpStateOf(module: unknown): FSDPState | undefined {
  return isModule(module) ? states.get(module) : undefined;
}

type Kwargs = Readonly<Record<string, unknown>>;

export class FSDPState {
  readonly groups: FSDPParamGroup[] = [];
  /** null until the first forward tells. */
  isRoot: boolean | null = null;
  iteration = new Iteration();
  comm = new CommContext();
  training: TrainingState = 'idle';
  forwardPrefetch: FSDPState[] = [];
  backwardPrefetch: FSDPState[] = [];
  /** Of a list of modules: those that have not run in this pass. */
  readonly toRun = new Set<Module>();
  readonly handles: RemovableHandle[] = [];

  constructor(
    readonly modules: readonly Module[],
    readonly policy: MixedPrecisionPolicy,
    /** Whether the root decides for itself to stay whole after forward. */
    public autoReshard: boolean,
  ) {
    for (const module of modules) states.set(module, this);
    giveUpWith(this, (state, stopped) => state.#giveUp(stopped));
    for (const module of modules) this.#hook(module);
  }

  #hook(module: Module): void {
    const many = this.modules.length > 1;
    this.handles.push(
      module.registerForwardPreHook(
        (_m, args, kwargs) => {
          if (many && this.toRun.size === 0) for (const m of this.modules) this.toRun.add(m);
          return this.beforeForward(args, kwargs);
        },
        { prepend: true, withKwargs: true },
      ),
      module.registerForwardHook(
        (_m, _args, output) => {
          if (!many) return this.afterForward(output);
          // The group is done when its last module is; the others only cast.
          if (this.toRun.delete(module) && this.toRun.size === 0) return this.afterForward(output);
          return this.#castOutput(output);
        },
        { alwaysCall: many },
      ),
    );
  }

  // ---------------------------------------------------------------- root

  #lazyInit(): void {
    if (this.isRoot !== null) return;
    if (this.modules.length > 1) {
      throw fsdpError(
        'ROOT',
        `Cannot run the forward of ${this.modules.length} modules that were sharded as one group: none of them is a root`,
        'call fullyShard on the module that contains them as well, and run its forward',
      );
    }
    const rootModule = this.modules[0]!;
    const found: FSDPState[] = [];
    for (const [path, module] of rootModule.namedModules()) {
      const state = states.get(module);
      if (state === undefined || found.includes(state)) continue;
      if (state !== this && state.isRoot !== null) {
        throw fsdpError(
          'ROOT',
          `Cannot run ${rootModule._getName()} as FSDP root: its submodule "${path}" ran forward on its own before and took itself for the root`,
          'run the forward of the outermost module first; gather a part by hand with part.unshard()',
        );
      }
      found.push(state);
    }
    this.#nameAll(rootModule, found);
    this.#refuseSharedParams(found);
    this.isRoot = true;
    for (const state of found) if (state !== this) state.isRoot = false;
    this.iteration.states.push(...found);
    if (this.autoReshard) for (const group of this.groups) group.postForward = null;
    for (const state of found) {
      state.iteration = this.iteration;
      state.comm = this.comm;
      for (const [i, group] of state.groups.entries()) {
        group.comm = this.comm;
        group.index = i;
        group.count = state.groups.length;
      }
    }
    this.comm.maxReductions = Math.max(1, ...found.flatMap((s) => s.groups.map((g) => g.maxInputBuffers)));
    try {
      for (const state of found) for (const group of state.groups) group.lazyInit();
      checkAgreement(found.flatMap((state) => state.groups));
    } catch (error) {
      // What is wrong can be put right: the next forward looks again.
      for (const state of found) state.isRoot = null;
      this.iteration.states.length = 0;
      throw error;
    }
  }

  #refuseSharedParams(found: readonly FSDPState[]): void {
    const seen = new Map<number, string>();
    for (const state of found) {
      for (const group of state.groups) {
        for (const p of group.params) {
          const other = seen.get(p.uid);
          if (other !== undefined) {
            throw fsdpError(
              'SHARED',
              `Cannot run FSDP: parameter "${p.fqn}" is the same as "${other}" of another group`,
              'shard the modules that share a parameter as one group: fullyShard([moduleA, moduleB])',
            );
          }
          seen.set(p.uid, p.fqn);
        }
      }
    }
  }

  #nameAll(root: Module, found: readonly FSDPState[]): void {
    const groups = found.flatMap((state) => state.groups);
    const bySharded = new Map<Tensor, string>(root.namedParameters().map(([name, p]) => [p, name]));
    for (const group of groups) {
      for (const p of group.params) p.fqn = bySharded.get(p.sharded) ?? p.fqn;
    }
    const paths = new Map(root.namedModules().map(([path, module]) => [module, path]));
    const order = [...paths.keys()];
    for (const group of groups) {
      group.fqn = [...group.modules]
        .filter((m) => paths.has(m))
        .sort((a, b) => order.indexOf(a) - order.indexOf(b))
        .map((m) => paths.get(m))
        .join(', ');
    }
  }

  // ---------------------------------------------------------------- forward

  beforeForward(givenArgs: readonly unknown[], givenKwargs: Kwargs): [readonly unknown[], Kwargs] {
    // Inside a recompute whose output's gradient is there: the backward hooks own the parameters' state.
    if (this.training === 'preBackward') {
      for (const group of this.groups) {
        group.unshard();
        group.waitForUnshard();
      }
      return this.#castInputs(givenArgs, givenKwargs);
    }
    const first = this.training !== 'forward';
    if (first) this.#lazyInit();
    this.training = 'forward';
    if (first && this.iteration.root === null) {
      this.iteration.root = this;
      this.comm.stepBegins = true;
    }
    let [args, kwargs] = this.#castInputs(givenArgs, givenKwargs);
    for (const group of this.groups) [args, kwargs] = group.beforeForward(args, kwargs);
    if (first)
      for (const state of this.forwardPrefetch) for (const group of state.groups) group.prefetch('forward');
    return [args, kwargs];
  }

  afterForward(given: unknown): unknown {
    if (this.training === 'preBackward') return this.#castOutput(given);
    for (const group of this.groups) group.afterForward();
    this.#watchOutput(given);
    this.training = 'idle';
    if (this.iteration.root === this) {
      this.#completePartialGroups(given);
      this.iteration.root = null;
    }
    return this.#castOutput(given);
  }

  /** Lists of modules of which this forward ran only some. */
  #completePartialGroups(output: unknown): void {
    for (const state of [...this.iteration.states].reverse()) {
      if (state === this || state.toRun.size === 0) continue;
      for (const group of state.groups) group.afterForward();
      state.#watchOutput(output);
      state.training = 'idle';
      state.toRun.clear();
    }
  }

  #castInputs(args: readonly unknown[], kwargs: Kwargs): [readonly unknown[], Kwargs] {
    const { castForwardInputs, paramDtype } = this.policy;
    if (!castForwardInputs || paramDtype === null) return [args, kwargs];
    return mapTensors<[readonly unknown[], Kwargs]>([args, kwargs], (t) => castFloating(t, paramDtype));
  }

  #castOutput(output: unknown): unknown {
    const { outputDtype } = this.policy;
    return outputDtype === null ? output : mapTensors(output, (t) => castFloating(t, outputDtype));
  }

  // ---------------------------------------------------------------- backward

  #watchOutput(output: unknown): void {
    if (!isGradEnabled()) return;
    for (const tensor of gradTensors(output)) tensor.onGradient(() => this.beforeBackward());
  }

  beforeBackward(): void {
    this.training = 'preBackward';
    if (!this.iteration.callbackQueued) {
      this.iteration.callbackQueued = true;
      queueCallback(() => this.#afterBackwardPass());
    }
    const own = this.backwardPrefetch.length === 0;
    for (const group of this.groups) group.beforeBackward(own);
    for (const state of this.backwardPrefetch)
      for (const group of [...state.groups].reverse()) group.prefetch('backward');
  }

  /** When all gradients are there: groups whose inputs needed none end here. */
  #afterBackwardPass(): void {
    const { iteration, comm } = this;
    iteration.root = null;
    for (const state of iteration.states) {
      state.toRun.clear();
      for (const group of [...state.groups].reverse()) {
        if (group.training !== 'postBackward') group.afterBackward();
        group.training = 'idle';
      }
      state.training = 'idle';
    }
    // The sums are wanted now even where the user says that more backward passes follow.
    comm.finishReductions();
    if (iteration.isLastBackward) {
      for (const state of iteration.states) for (const group of state.groups) group.finishBackward();
      comm.postForwardOrder.length = 0;
    }
    iteration.callbackQueued = false;
    if (hasListeners()) {
      emitFsdp({ kind: 'finalCallback', phase: 'begin', rank: dist.getRank(), module: '', params: () => [] });
    }
  }

  /** After an error in forward or backward: gives the iteration up, so that the next one starts afresh. */
  resetIteration(): void {
    if (this.isRoot === false) {
      throw fsdpError(
        'ROOT',
        'Cannot reset the iteration: the module is not the FSDP root',
        'call resetIterState() on the module whose forward runs first',
      );
    }
    this.#beginAnew();
  }

  /** A forward or backward pass that was under way is given up; gradients of those that were over are kept. */
  #giveUp(stopped: boolean): void {
    if (this.iteration.root !== null || this.iteration.callbackQueued) this.#beginAnew();
    if (!stopped) return;
    // Ranks are stopped at different places: only where all are back to shards do they agree on what is gathered next.
    this.comm.postForwardOrder.length = 0;
    for (const group of this.groups) group.letGo();
  }

  #beginAnew(): void {
    const { iteration, comm } = this;
    comm.reductions.length = 0;
    comm.postForwardOrder.length = 0;
    for (const state of iteration.states.length === 0 ? [this] : iteration.states) {
      state.toRun.clear();
      state.training = 'idle';
      for (const group of state.groups) group.resetIteration();
    }
    iteration.root = null;
    iteration.callbackQueued = false;
  }
}

function castFloating(tensor: Tensor, dtype: DType): Tensor {
  return tensor.dtype.isFloatingPoint && tensor.dtype !== dtype ? tensor.to(dtype) : tensor;
}
