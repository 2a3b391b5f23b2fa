/** Loss scaling for float16 training. */
import { ShardbookError } from '../base/index.js';
import { noGrad, Tensor, torch } from '../tensor/index.js';
import { bindArgs, checkOption } from './args.js';
import type { Optimizer } from './optimizer.js';

export interface GradScalerOptions {
  initScale?: number;
  growthFactor?: number;
  backoffFactor?: number;
  growthInterval?: number;
  enabled?: boolean;
}

type Stage = 'ready' | 'unscaled' | 'stepped';

interface PerOptimizer {
  stage: Stage;
  foundInf: boolean;
}

/** A tensor, or lists of tensors, that `scale` multiplies. */
export type Scalable = Tensor | readonly Scalable[];

/**
 * Multiplies the loss so that small float16 gradients do not vanish; skips steps whose gradients overflow and adapts the
 * scale. Order: `scale(loss).backward()`, optionally `unscale_(optimizer)`, `step(optimizer)`, `update()`.
 */
export class GradScaler {
  readonly #enabled: boolean;
  #initScale: number;
  #growthFactor: number;
  #backoffFactor: number;
  #growthInterval: number;
  #growthTracker = 0;
  #scale: Tensor | undefined;
  #optimizers = new Map<Optimizer, PerOptimizer>();

  /** `device` is accepted for PyTorch's sake (`new GradScaler('cpu', options)`). */
  constructor(device: string | GradScalerOptions = 'cpu', options: GradScalerOptions = {}) {
    const o = bindArgs(
      'GradScaler',
      { initScale: 65536, growthFactor: 2, backoffFactor: 0.5, growthInterval: 2000, enabled: true },
      [typeof device === 'string' ? options : device],
    );
    checkOption(o.growthFactor > 1, 'GradScaler', 'growthFactor', o.growthFactor, 'above 1');
    checkOption(o.backoffFactor < 1, 'GradScaler', 'backoffFactor', o.backoffFactor, 'below 1');
    this.#enabled = o.enabled;
    this.#initScale = o.initScale;
    this.#growthFactor = o.growthFactor;
    this.#backoffFactor = o.backoffFactor;
    this.#growthInterval = o.growthInterval;
  }

  /** Multiplies a loss, or every tensor of nested lists, by the scale. */
  scale(outputs: Tensor): Tensor;
  scale(outputs: readonly Scalable[]): Scalable[];
  scale(outputs: Scalable): Scalable;
  scale(outputs: Scalable): Scalable {
    if (!this.#enabled) return outputs;
    this.#scale ??= torch.tensor(this.#initScale, { dtype: torch.float32 });
    return outputs instanceof Tensor ? outputs.mul(this.#scale) : outputs.map((output) => this.scale(output));
  }

  /** Divides the gradients by the scale, before they are clipped or looked at; once for each step. */
  unscale_(optimizer: Optimizer): void {
    if (!this.#enabled) return;
    const scale = this.#startedScale('unscale the gradients');
    const own = this.#of(optimizer);
    if (own.stage !== 'ready') {
      throw new ShardbookError({
        code: 'SB_SCALER_ORDER',
        message: `Cannot unscale the gradients: ${own.stage === 'unscaled' ? 'they are unscaled already' : 'the optimizer has stepped'} since the last update()`,
        help: 'Call unscale_(optimizer) once, after backward and before step(optimizer)',
      });
    }
    own.foundInf = this.#unscale(optimizer, scale, false);
    own.stage = 'unscaled';
  }

  /** Steps the optimizer, unless a gradient is infinite or nan; unscales first if that is not done. */
  step<T>(optimizer: Optimizer, closure?: () => T): T | undefined {
    if (!this.#enabled) return optimizer.step(closure);
    if (closure !== undefined) {
      throw new ShardbookError({
        code: 'SB_SCALER_ORDER',
        message: 'Cannot step with a closure: a closure would compute gradients after they were checked',
        help: 'compute the loss and its gradients before, then call scaler.step(optimizer)',
      });
    }
    this.#startedScale('step the optimizer');
    const own = this.#of(optimizer);
    if (own.stage === 'stepped') {
      throw new ShardbookError({
        code: 'SB_SCALER_ORDER',
        message: 'Cannot step the optimizer: it has stepped already since the last update()',
        help: 'Call scaler.update() after every step',
      });
    }
    if (own.stage === 'ready') this.unscale_(optimizer);
    const result = own.foundInf ? undefined : optimizer.step<T>();
    own.stage = 'stepped';
    return result;
  }

  /** Backs off if any optimizer found an overflow, grows after `growthInterval` good steps; or sets the scale. */
  update(newScale?: number | Tensor): void {
    if (!this.#enabled) return;
    const scale = this.#startedScale('update the scale');
    if (newScale !== undefined) {
      this.#set(typeof newScale === 'number' ? newScale : Number(newScale.item()));
    } else {
      const checked = [...this.#optimizers.values()].filter((own) => own.stage !== 'ready');
      if (checked.length === 0) {
        throw new ShardbookError({
          code: 'SB_SCALER_ORDER',
          message: 'Cannot update the scale: no optimizer was unscaled or stepped since the last update()',
          help: 'Call scaler.step(optimizer) before scaler.update()',
        });
      }
      this.#adapt(
        Number(scale.item()),
        checked.some((own) => own.foundInf),
      );
    }
    this.#optimizers.clear();
  }

  #adapt(current: number, foundInf: boolean): void {
    if (foundInf) {
      this.#set(current * this.#backoffFactor);
      this.#growthTracker = 0;
      return;
    }
    this.#growthTracker += 1;
    if (this.#growthTracker < this.#growthInterval) return;
    const grown = Math.fround(current * this.#growthFactor);
    if (Number.isFinite(grown)) this.#set(grown);
    this.#growthTracker = 0;
  }

  #set(value: number): void {
    this.#scale = torch.tensor(value, { dtype: torch.float32 });
  }

  #startedScale(action: string): Tensor {
    if (this.#scale !== undefined) return this.#scale;
    throw new ShardbookError({
      code: 'SB_SCALER_ORDER',
      message: `Cannot ${action}: nothing has been scaled yet`,
      help: 'Compute gradients with scaler.scale(loss).backward() first',
    });
  }

  #of(optimizer: Optimizer): PerOptimizer {
    let own = this.#optimizers.get(optimizer);
    if (own === undefined) {
      own = { stage: 'ready', foundInf: false };
      this.#optimizers.set(optimizer, own);
    }
    return own;
  }

  /** True if any gradient is infinite or nan. */
  #unscale(optimizer: Optimizer, scale: Tensor, allowFloat16: boolean): boolean {
    const inverse = Math.fround(1 / Number(scale.item()));
    return noGrad(() => {
      let found = false;
      // One gradient of each mesh: what one rank found counts on all of it, or ranks would step apart.
      const meshes = new Map<string, Tensor>();
      for (const p of optimizer.paramGroups.flatMap((group) => group.params)) {
        const grad = p.grad;
        if (grad === null || grad === undefined) continue;
        if (!allowFloat16 && grad.dtype === torch.float16) {
          throw new ShardbookError({
            code: 'SB_SCALER_FLOAT16',
            message: 'Cannot unscale float16 gradients: the parameters are float16, they must be float32',
            help: 'Keep parameters in float32 and compute in float16 under autocast',
          });
        }
        if (!torch.isfinite(grad.localPart()).all().item()) found = true;
        if (!meshes.has(grad.meshKey)) meshes.set(grad.meshKey, grad);
        grad.mul_(inverse);
      }
      for (const grad of meshes.values()) found = grad.anyOnMesh(found);
      return found;
    });
  }

  /** The scale as a number; 1 if disabled. */
  getScale(): number {
    if (!this.#enabled) return 1;
    return this.#scale === undefined ? this.#initScale : Number(this.#scale.item());
  }

  getGrowthFactor(): number {
    return this.#growthFactor;
  }

  setGrowthFactor(value: number): void {
    this.#growthFactor = value;
  }

  getBackoffFactor(): number {
    return this.#backoffFactor;
  }

  setBackoffFactor(value: number): void {
    this.#backoffFactor = value;
  }

  getGrowthInterval(): number {
    return this.#growthInterval;
  }

  setGrowthInterval(value: number): void {
    this.#growthInterval = value;
  }

  isEnabled(): boolean {
    return this.#enabled;
  }

  /** In PyTorch's spelling; empty if disabled. */
  stateDict(): Record<string, number> {
    if (!this.#enabled) return {};
    return {
      scale: this.getScale(),
      growth_factor: this.#growthFactor,
      backoff_factor: this.#backoffFactor,
      growth_interval: this.#growthInterval,
      _growth_tracker: this.#growthTracker,
    };
  }

  loadStateDict(state: Record<string, number>): void {
    if (!this.#enabled) return;
    const { scale, growth_factor, backoff_factor, growth_interval, _growth_tracker } = state;
    if (scale === undefined || growth_factor === undefined || backoff_factor === undefined) {
      throw new ShardbookError({
        code: 'SB_OPTIM_STATE',
        message: 'Cannot load the state of "GradScaler": it is the state of a disabled scaler',
        help: 'load a state that an enabled scaler saved, or make this one with { enabled: false }',
      });
    }
    this.#initScale = scale;
    if (this.#scale !== undefined) this.#set(scale);
    this.#growthFactor = growth_factor;
    this.#backoffFactor = backoff_factor;
    this.#growthInterval = growth_interval ?? this.#growthInterval;
    this.#growthTracker = _growth_tracker ?? 0;
  }
}
