/** What a training run takes on each device, by category, and what each decision changes. Closed forms; nothing runs. */
import { type Figure, formulas, type MimeBundle, table, toMime } from '../simulator/index.js';

/** Strategies that a plan of memory knows. */
export type PlanStrategy = 'ddp' | 'zero1' | 'zero2' | 'fsdp' | 'hsdp';

export interface MemoryPlanInput {
  params: number;
  world: number;
  strategy?: PlanStrategy;
  /** hsdp: ranks of a shard group. */
  shard?: number;
  /** Parameters of the largest communication group, which is gathered as a whole; default: all. */
  groupParams?: number;
  /** Groups gathered ahead; default 1. */
  prefetch?: number;
  /** Parameters of the root group, which stays whole between forward and backward; default 0. */
  rootParams?: number;
  /** Dtype of computing; parameters, gradients and moments are float32, as FSDP2 keeps them. Default bfloat16. */
  compute?: 'float32' | 'bfloat16' | 'float16';
  /** Optimizer moments per parameter: Adam 2 (default), momentum 1. */
  moments?: number;
  batch?: number;
  seq?: number;
  layers?: number;
  hidden?: number;
  heads?: number;
  vocab?: number;
  /** 'selective' stands for flash attention too. */
  recompute?: formulas.Recompute;
  /** Parameters, gradients and moments live in host memory. */
  cpuOffload?: boolean;
  /** Bytes of a device; says whether the plan fits. */
  capacity?: number;
}

const SIZE = { float32: 4, bfloat16: 2, float16: 2 } as const;

/** A plan in bytes per device (and host). Sums are exact; bytes are bytes: 1 GB is 10^9 of them. */
export class MemoryPlan {
  readonly categories: Readonly<Record<string, number>>;
  readonly hostBytes: number;

  constructor(readonly input: MemoryPlanInput) {
    const { params, world, strategy = 'fsdp', compute = 'bfloat16', moments = 2, cpuOffload = false } = input;
    const whole = strategy === 'ddp' || strategy === 'zero1' || strategy === 'zero2';
    const state = formulas.modelState({
      params,
      world,
      strategy,
      param: 'float32',
      grad: 'float32',
      master: null,
      moments,
      shard: input.shard ?? null,
    });
    const size = SIZE[compute];
    const group = input.groupParams ?? params;
    const gathered = whole
      ? compute === 'float32'
        ? 0
        : size * params
      : size * group * (1 + (input.prefetch ?? 1));
    const root = whole ? 0 : size * (input.rootParams ?? 0);
    const activations =
      input.hidden === undefined
        ? 0
        : formulas.activationModel({
            batch: input.batch ?? 1,
            seq: input.seq ?? 1,
            hidden: input.hidden,
            heads: input.heads ?? 1,
            layers: input.layers ?? 1,
            vocab: input.vocab ?? 0,
            recompute: input.recompute ?? 'none',
          })[0]! *
          (size / 2);
    const onDevice = cpuOffload ? 0 : 1;
    this.categories = {
      'sharded parameters': state.param * onDevice,
      gradients: state.grad * onDevice,
      'optimizer state': state.optim * onDevice,
      // A whole group's gradients and the reduce-scatter's input exist together.
      'gathered parameters': gathered + root,
      'gradients of a group': whole ? 0 : 2 * size * group,
      activations,
    };
    this.hostBytes = cpuOffload ? state.total : 0;
  }

  /** Bytes per device. */
  get total(): number {
    return Object.values(this.categories).reduce((sum, n) => sum + n, 0);
  }

  get fits(): boolean | null {
    return this.input.capacity === undefined ? null : this.total <= this.input.capacity;
  }

  [toMime](): MimeBundle {
    return { 'application/vnd.plotly.v1+json': planFigure([this]), 'text/plain': this.toString() };
  }

  toString(): string {
    const gb = (n: number): string => `${(n / 1e9).toFixed(3)} GB`;
    const rows = Object.entries(this.categories).map(([name, bytes]) => [name, gb(bytes)]);
    const verdict =
      this.fits === null ? '' : this.fits ? ' (fits)' : ` (does not fit ${gb(this.input.capacity!)})`;
    return table([
      [`${this.input.strategy ?? 'fsdp'} on ${this.input.world}`, 'per device'],
      ...rows,
      ['total', `${gb(this.total)}${verdict}`],
      ...(this.hostBytes > 0 ? [['on the host', gb(this.hostBytes)]] : []),
    ]);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

/** Plans side by side: one column each. */
export function planFigure(plans: readonly MemoryPlan[]): Figure {
  const names = plans.map((plan) => `${plan.input.strategy ?? 'fsdp'} x ${plan.input.world}`);
  const categories = [...new Set(plans.flatMap((plan) => Object.keys(plan.categories)))];
  return {
    data: categories.map((name) => ({
      type: 'bar',
      name,
      x: names,
      y: plans.map((plan) => (plan.categories[name] ?? 0) / 1e9),
    })),
    layout: {
      barmode: 'stack',
      title: { text: 'Memory per device' },
      yaxis: { title: { text: 'GB' } },
      height: 360,
    },
  };
}

/** The same plan with one thing after the other changed: what-if tables. */
export function planVariants(
  base: MemoryPlanInput,
  changes: readonly Partial<MemoryPlanInput>[],
): MemoryPlan[] {
  return [new MemoryPlan(base), ...changes.map((change) => new MemoryPlan({ ...base, ...change }))];
}
