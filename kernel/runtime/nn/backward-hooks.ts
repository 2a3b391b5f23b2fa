import { ShardbookError } from '../base/index.js';
import { AutogradFunction, type FunctionContext, isGradEnabled, Tensor } from '../tensor/index.js';
import type { Args, BackwardHook, BackwardPreHook, Grads } from './hooks.js';
import type { Module } from './module.js';

/** An identity whose backward pass shows the gradients to a callback, which may replace them. */
class GradientGate extends AutogradFunction {
  static override forward(ctx: FunctionContext, gate: Gate, ...tensors: Tensor[]): Tensor[] {
    // Integer outputs and unused ones must arrive as null, not as zeros.
    ctx.setMaterializeGrads(false);
    gates.set(ctx, gate);
    return tensors.map((t) => t.viewAs(t));
  }

  static override backward(ctx: FunctionContext, ...grads: (Tensor | null)[]): (Tensor | null)[] {
    return [null, ...gates.get(ctx)!.pass(grads)];
  }
}

interface Gate {
  pass(grads: readonly (Tensor | null)[]): readonly (Tensor | null)[];
}

const gates = new WeakMap<object, Gate>();

/**
 * Runs the full backward hooks of one call of a module: one gate after the outputs, where the gradients of the outputs
 * arrive, and one before the inputs, where the module's backward pass is complete.
 */
export class BackwardHooks {
  #gradOutputs: Grads | null = null;
  #inputIndex: number[] | null = null;
  #inputCount = 0;

  constructor(
    private readonly module: Module,
    private readonly hooks: readonly BackwardHook[],
    private readonly preHooks: readonly BackwardPreHook[],
  ) {}

  watchInputs(args: Args): Args {
    this.#inputCount = args.length;
    const [watched, index] = through(args, { pass: (grads) => this.#inputsReady(grads) });
    this.#inputIndex = index;
    return watched;
  }

  watchOutputs(result: unknown): unknown {
    if (!(result instanceof Tensor) && !Array.isArray(result)) return result;
    const outputs: Args = Array.isArray(result) ? result : [result];
    const index: number[] = [];
    const gate: Gate = { pass: (grads) => this.#outputsReady(grads, index, outputs.length) };
    const [watched, found] = through(outputs, gate);
    if (found !== null) index.push(...found);
    return Array.isArray(result) ? watched : watched[0];
  }

  #outputsReady(
    grads: readonly (Tensor | null)[],
    index: readonly number[],
    count: number,
  ): readonly (Tensor | null)[] {
    let gradOutputs: Grads = pack(grads, index, count);
    for (const hook of this.preHooks) {
      const replaced = hook(this.module, gradOutputs);
      if (replaced === undefined || replaced === null) continue;
      gradOutputs = this.#checked(replaced, gradOutputs.length, 'backward pre-hook');
    }
    this.#gradOutputs = gradOutputs;
    if (this.#inputIndex === null) {
      // No input needs a gradient: nothing will come past the inputs, so the hooks run here.
      const nothing = pack([], [], this.#inputCount);
      for (const hook of this.hooks) {
        const replaced = hook(this.module, nothing, gradOutputs);
        if (replaced !== undefined && replaced !== null && !asGrads(replaced).every((g) => g === null)) {
          throw this.#hookError(
            'backward hook',
            'no input of the module requires a gradient, so there is none to replace',
          );
        }
      }
      this.#gradOutputs = null;
    }
    return index.map((i) => gradOutputs[i] ?? null);
  }

  #inputsReady(grads: readonly (Tensor | null)[]): readonly (Tensor | null)[] {
    const index = this.#inputIndex!;
    // The gradient reached the inputs without going through the outputs: there is nothing to show.
    if (this.#gradOutputs === null) return grads;
    let gradInputs: Grads = pack(grads, index, this.#inputCount);
    for (const hook of this.hooks) {
      const replaced = hook(this.module, gradInputs, this.#gradOutputs);
      if (replaced === undefined || replaced === null) continue;
      gradInputs = this.#checked(replaced, gradInputs.length, 'backward hook');
    }
    this.#gradOutputs = null;
    return index.map((i) => gradInputs[i] ?? null);
  }

  #checked(replaced: Grads | Tensor, count: number, kind: string): Grads {
    const list = asGrads(replaced);
    if (list.length !== count)
      throw this.#hookError(kind, `it returned ${list.length} gradients, wanted ${count}`);
    return list;
  }

  #hookError(kind: string, why: string): ShardbookError {
    return new ShardbookError({
      code: 'SB_NN_HOOK',
      message: `Cannot use what a ${kind} of ${this.module._getName()} returned: ${why}`,
    });
  }
}

function asGrads(value: Grads | Tensor): Grads {
  return value instanceof Tensor ? [value] : value;
}

/** Sends the tensors among `values` through a gate; the index is null when none of them needs a gradient. */
function through(values: Args, gate: Gate): [Args, number[] | null] {
  const index = values.flatMap((v, i) => (v instanceof Tensor ? [i] : []));
  const tensors = index.map((i) => values[i] as Tensor);
  if (!isGradEnabled() || !tensors.some((t) => t.requiresGrad)) return [values, null];
  const passed = GradientGate.apply(gate, ...tensors) as Tensor[];
  const result = [...values];
  for (const [k, i] of index.entries()) result[i] = passed[k];
  return [result, index];
}

function pack(values: readonly (Tensor | null)[], index: readonly number[], size: number): (Tensor | null)[] {
  const packed: (Tensor | null)[] = Array.from({ length: size }, () => null);
  for (const [k, i] of index.entries()) packed[i] = values[k] ?? null;
  return packed;
}
