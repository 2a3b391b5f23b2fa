/** Nodes of the backward graph. */
import type { DType } from '../dtype.js';
import type { Tensor } from '../tensor.js';

export interface Edge {
  node: Node;
  /** Which of the node's results in the forward pass, so which of its gradients in the backward pass. */
  index: number;
}

// biome-ignore lint/suspicious/noConfusingVoidType: a hook may return nothing
export type GradHook = (grad: Tensor) => Tensor | null | undefined | void;
export type Grads = (Tensor | null)[];

export interface RemovableHandle {
  remove(): void;
}

export interface InputMeta {
  shape: readonly number[];
  dtype: DType;
  device: string;
  /** How it lay in memory, where that is known. */
  strides?: readonly number[];
  offset?: number;
}

let sequence = 0;
const nextSequence = (): number => ++sequence;

/** One operation of the forward pass, able to turn the gradients of its results into those of its inputs. */
export abstract class Node {
  readonly nextEdges: (Edge | null)[] = [];
  /** What each of the results looked like: gradients must agree with it. */
  readonly inputMeta: InputMeta[] = [];
  /** One that does not see the gradient is not given it to keep. */
  readonly tensorHooks: { index: number; hook: GradHook; sees: boolean }[] = [];
  /** Results whose gradient is kept (`retainGrad`), by index; they see what the hooks made of it. */
  readonly retained = new Map<number, Tensor>();
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook may return nothing
  readonly preHooks: ((grads: Grads) => Grads | undefined | void)[] = [];
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook may return nothing
  readonly postHooks: ((gradInputs: Grads, gradOutputs: Grads) => Grads | undefined | void)[] = [];
  constructor(
    readonly name: string,
    /** Later operations run first in the backward pass. */
    readonly sequenceNr: number = nextSequence(),
  ) {}
  abstract apply(grads: Grads): Grads;
  /** Lets go of what was saved. */
  release(): void {}

  /** Edges as PyTorch's `next_functions`. */
  get nextFunctions(): [Node | null, number][] {
    return this.nextEdges.map((e) => (e ? [e.node, e.index] : [null, 0]));
  }

  /** Called with the gradients of the results before the node runs; may return others. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook may return nothing
  registerPrehook(hook: (grads: Grads) => Grads | undefined | void): RemovableHandle {
    return register(this.preHooks, hook);
  }

  /** Called after the node ran, with the gradients of its inputs and of its results. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook may return nothing
  registerHook(hook: (gradInputs: Grads, gradOutputs: Grads) => Grads | undefined | void): RemovableHandle {
    return register(this.postHooks, hook);
  }
}

export function register<T>(list: T[], item: T): RemovableHandle {
  const entry = item;
  list.push(entry);
  let there = true;
  return {
    remove() {
      if (!there) return;
      there = false;
      const at = list.indexOf(entry);
      if (at >= 0) list.splice(at, 1);
    },
  };
}
