/** Operations with a backward of the user's own. */
import { ShardbookError } from '../../base/index.js';
import { zeros } from '../ops/creation.js';
import { noGrad, state } from '../state.js';
import { Tensor } from '../tensor.js';
import { type Grads, Node } from './node.js';
import { metaOf, rebase, SavedTensor } from './record.js';

/** What forward leaves for backward; free to carry fields of the user's. */
export class FunctionContext {
  [field: string]: unknown;
  needsInputGrad: boolean[] = [];
  #saved: (SavedTensor | null)[] = [];
  #pending: (Tensor | null)[] = [];
  #dirty: Tensor[] = [];
  #fixed: Tensor[] = [];
  materialize = true;

  /** Tensors that backward reads, guarded against in-place changes and seen by saved-tensor hooks. */
  saveForBackward(...tensors: (Tensor | null)[]): void {
    this.#pending = tensors;
  }
  get savedTensors(): Tensor[] {
    return this.#saved.map((s) => (s ? s.unpack('Function') : null)) as Tensor[];
  }
  /** Inputs that forward wrote in place and returns. */
  markDirty(...tensors: Tensor[]): void {
    this.#dirty = tensors;
  }
  markNonDifferentiable(...tensors: Tensor[]): void {
    this.#fixed = tensors;
  }
  /** Whether missing gradients come as zeros (default) or null. */
  setMaterializeGrads(on: boolean): void {
    this.materialize = on;
  }
  /** @internal */
  seal(results: readonly Tensor[]): { dirty: readonly Tensor[]; fixed: readonly Tensor[] } {
    this.#saved = this.#pending.map((t) => (t ? new SavedTensor(t, results.includes(t)) : null));
    return { dirty: this.#dirty, fixed: this.#fixed };
  }
  /** @internal */
  drop(): void {
    for (const s of this.#saved) s?.release();
  }
}

interface FunctionClass {
  name: string;
  forward(ctx: FunctionContext, ...args: never[]): Tensor | Tensor[];
  backward(
    ctx: FunctionContext,
    ...grads: (Tensor | null)[]
  ): Tensor | null | undefined | (Tensor | null | undefined)[];
}

class FunctionNode extends Node {
  constructor(
    readonly owner: FunctionClass,
    readonly ctx: FunctionContext,
    readonly tensorAt: readonly number[],
  ) {
    super(`${owner.name}Backward`);
  }
  override release(): void {
    this.ctx.drop();
  }
  override apply(grads: Grads): Grads {
    const full = grads.map((g, i) => {
      if (g || !this.ctx.materialize) return g;
      const m = this.inputMeta[i]!;
      return zeros([...m.shape], { dtype: m.dtype });
    });
    const given = this.owner.backward(this.ctx, ...full);
    const list = Array.isArray(given) ? given : [given];
    return this.tensorAt.map((at) => list[at] ?? null);
  }
}

function undefinedPart(name: string, part: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_AUTOGRAD_FUNCTION',
    message: `Cannot run "${name}": it has no static ${part}`,
    help: `add "static ${part}(ctx, ...)" to the class`,
  });
}

/** Base of custom operations: static `forward(ctx, ...)` and `backward(ctx, ...grads)`, used by `MyFunction.apply(...)`. */
export class AutogradFunction {
  static forward(_ctx: FunctionContext, ..._args: never[]): Tensor | Tensor[] {
    // biome-ignore lint/complexity/noThisInStatic: the subclass that lacks it
    throw undefinedPart(this.name, 'forward');
  }
  static backward(
    _ctx: FunctionContext,
    ..._grads: (Tensor | null)[]
  ): Tensor | null | undefined | (Tensor | null | undefined)[] {
    // biome-ignore lint/complexity/noThisInStatic: the subclass that lacks it
    throw undefinedPart(this.name, 'backward');
  }
  // biome-ignore lint/suspicious/noExplicitAny: the result type is the subclass's own
  static apply(this: FunctionClass, ...args: unknown[]): any {
    // biome-ignore lint/complexity/noThisInStatic: the subclass that apply was called on, not this base
    return applyFunction(this, args);
  }
}

function applyFunction(owner: FunctionClass, args: readonly unknown[]): Tensor | Tensor[] | undefined {
  const ctx = new FunctionContext();
  const tensorAt = args.map((a, i) => (a instanceof Tensor ? i : -1)).filter((i) => i >= 0);
  const inputs = tensorAt.map((i) => args[i] as Tensor);
  ctx.needsInputGrad = args.map((a) => a instanceof Tensor && a.requiresGrad);
  const track = state.gradEnabled && inputs.some((t) => t.requiresGrad);
  const edges = inputs.map((t) => (t.requiresGrad ? t.gradEdge() : null));
  const result = noGrad(() => owner.forward(ctx, ...(args as never[])));
  const results = Array.isArray(result) ? result : [result];
  if (!track) {
    ctx.seal(results);
    return result;
  }
  const node = new FunctionNode(owner, ctx, tensorAt);
  node.nextEdges.push(...edges);
  // An input returned unchanged is a new tensor in the graph, unless forward says it wrote it.
  const { dirty, fixed } = ctx.seal(results);
  const out = results.map((r) => (inputs.includes(r) && !dirty.includes(r) ? noGrad(() => r.alias()) : r));
  out.forEach((r, i) => {
    node.inputMeta.push(metaOf(r));
    if (fixed.includes(results[i]!) || !r.dtype.isFloatingPoint) return;
    if (dirty.includes(r)) rebase(r, node);
    else {
      r.viewBase = null;
      r.setHistory(node, i);
    }
  });
  return Array.isArray(result) ? out : out[0];
}

/** For backward functions whose own gradient is not wanted: runs them without recording. */
export function onceDifferentiable<A extends unknown[], R>(
  backward: (ctx: FunctionContext, ...grads: A) => R,
): (ctx: FunctionContext, ...grads: A) => R {
  return (ctx, ...grads) => noGrad(() => backward(ctx, ...grads));
}
