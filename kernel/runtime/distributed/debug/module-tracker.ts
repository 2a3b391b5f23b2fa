/** Which module runs: in forward by the modules' hooks, in backward from the gradient of its result to that of its inputs. */
import { type Module, registerModuleForwardHook, registerModuleForwardPreHook } from '../../nn/index.js';
import { isBackwardRunning, queueCallback, registerMultiGradHook, Tensor } from '../../tensor/index.js';

/** Which module runs at the moment, in forward and in backward. */
export class ModuleTracker {
  readonly #forward: string[] = [];
  readonly #backward: string[] = [];
  readonly #entering = new WeakMap<Tensor, string[]>();
  readonly #names = new WeakMap<Module, string>();
  readonly #handles: { remove(): void }[] = [];

  start(): this {
    this.stop();
    // One after the other, so that `stop` knows each of them wherever an interrupt comes.
    this.#handles.push(
      registerModuleForwardPreHook((module, args) => {
        const name = this.#nameOf(module);
        this.#forward.push(name);
        const inputs = tensorsIn(args).filter((t) => t.requiresGrad);
        if (inputs.length > 0) registerMultiGradHook(inputs, () => this.#leave(name));
      }),
    );
    this.#handles.push(
      registerModuleForwardHook(
        (module: Module, _args: readonly unknown[], output: unknown) => {
          const name = this.#nameOf(module);
          const at = this.#forward.lastIndexOf(name);
          if (at >= 0) this.#forward.length = at;
          for (const t of tensorsIn([output])) if (t.requiresGrad) this.#enterAt(t, name);
        },
        // A forward that throws is left as well.
        { alwaysCall: true },
      ),
    );
    return this;
  }

  stop(): void {
    for (const handle of this.#handles) handle.remove();
    this.#handles.length = 0;
    this.#forward.length = 0;
    this.#backward.length = 0;
  }

  /** Path of the innermost module that runs: "Transformer.layers.0.attention"; undefined outside of modules. */
  get current(): string | undefined {
    return this.#forward[this.#forward.length - 1] ?? this.#backward[this.#backward.length - 1];
  }

  /** Whether a backward pass is running. */
  get inBackward(): boolean {
    return isBackwardRunning();
  }

  #nameOf(module: Module): string {
    const known = this.#names.get(module);
    if (known !== undefined) return known;
    const root = module.constructor.name;
    for (const [path, part] of module.namedModules())
      if (!this.#names.has(part)) this.#names.set(part, path === '' ? root : `${root}.${path}`);
    return this.#names.get(module)!;
  }

  /** The gradient of `t` begins the backward of a module; of several that return the same tensor the outer first. */
  #enterAt(t: Tensor, name: string): void {
    const known = this.#entering.get(t);
    if (known !== undefined) {
      known.unshift(name);
      return;
    }
    const names = [name];
    this.#entering.set(t, names);
    t.registerHook(() => {
      if (this.#backward.length === 0) {
        queueCallback(() => {
          this.#backward.length = 0;
        });
      }
      for (const entered of names) if (!this.#backward.includes(entered)) this.#backward.push(entered);
    });
  }

  #leave(name: string): void {
    const at = this.#backward.lastIndexOf(name);
    if (at >= 0) this.#backward.splice(at, 1);
  }
}

/** Tensors in arguments, lists and plain objects. */
function tensorsIn(values: readonly unknown[]): Tensor[] {
  return values.flatMap((value): Tensor[] => {
    if (value instanceof Tensor) return [value];
    if (Array.isArray(value)) return tensorsIn(value);
    if (typeof value !== 'object' || value === null) return [];
    return Object.getPrototypeOf(value) === Object.prototype ? tensorsIn(Object.values(value)) : [];
  });
}
