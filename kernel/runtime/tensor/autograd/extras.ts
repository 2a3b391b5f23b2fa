/** Hooks over several tensors, gradient checking. */
import { ShardbookError } from '../../base/index.js';
import { getBackend } from '../state.js';
import { Tensor } from '../tensor.js';
import { grad, queueCallback, willExecute } from './engine.js';
import type { RemovableHandle } from './node.js';

/** mode 'all': once per pass with every gradient (null where there is none); 'any': at the first gradient. */
export function registerMultiGradHook(
  tensors: readonly Tensor[],
  hook: ((grads: (Tensor | null)[]) => void) | ((grad: Tensor) => void),
  options: { mode?: 'all' | 'any' } = {},
): RemovableHandle {
  const any = options.mode === 'any';
  let seen: (Tensor | null)[] = tensors.map(() => null);
  let arrived = 0;
  let expected = 0;
  let running = false;
  let fired = false;
  const fire = (): void => {
    fired = true;
    (hook as (grads: (Tensor | null)[]) => void)(seen);
  };
  const edges = tensors.map((t) => t.gradEdge());
  const handles = tensors.map((t, i) =>
    t.registerHook((g) => {
      if (!running) {
        running = true;
        fired = false;
        arrived = 0;
        seen = tensors.map(() => null);
        expected = edges.filter((e) => e && willExecute(e.node)).length;
        queueCallback(() => {
          if (!any && !fired) fire();
          running = false;
        });
      }
      if (any) {
        if (!fired) {
          fired = true;
          (hook as (grad: Tensor) => void)(g);
        }
        return;
      }
      seen[i] = g;
      if (++arrived === expected) fire();
    }),
  );
  return {
    remove() {
      for (const h of handles) h.remove();
    },
  };
}

export interface GradcheckOptions {
  eps?: number;
  atol?: number;
  rtol?: number;
  raiseException?: boolean;
}

/** Whether the derivatives of `f` agree with central differences, in float64. */
export function gradcheck(
  f: (...inputs: Tensor[]) => Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  o: GradcheckOptions = {},
): boolean {
  const { eps = 1e-6, atol = 1e-5, rtol = 1e-3, raiseException = true } = o;
  const list = inputs instanceof Tensor ? [inputs] : [...inputs];
  const outputs = (): Tensor[] => {
    const y = f(...list);
    return (y instanceof Tensor ? [y] : [...y]).filter((t) => t.dtype.isFloatingPoint);
  };
  const values = (t: Tensor): number[] => (t.detach().flatten().tolist() as number[]).map(Number);
  const checked = list.filter((t) => t.requiresGrad);
  const ys = outputs();
  for (const [k, y] of ys.entries()) {
    if (!y.requiresGrad) continue;
    const n = y.numel();
    const analytic = checked.map(() => [] as number[][]);
    for (let j = 0; j < n; j++) {
      const seed = y.detach().zerosLike().flatten();
      seed.set(j, 1);
      const gs = grad([y], checked, [seed.view(y.shape)], {
        retainGraph: true,
        allowUnused: true,
        materializeGrads: true,
      });
      gs.forEach((g, i) => {
        analytic[i]!.push(values(g!));
      });
    }
    for (const [i, x] of checked.entries()) {
      for (let e = 0; e < x.numel(); e++) {
        const shifted = (by: number): number[] => {
          const back = nudge(x, e, by);
          const out = values(outputs()[k]!);
          back();
          return out;
        };
        const [up, down] = [shifted(eps), shifted(-eps)];
        for (let j = 0; j < n; j++) {
          const numeric = (up[j]! - down[j]!) / (2 * eps);
          const got = analytic[i]![j]![e]!;
          if (Math.abs(got - numeric) <= atol + rtol * Math.abs(numeric)) continue;
          if (!raiseException) return false;
          throw new ShardbookError({
            code: 'SB_GRADCHECK',
            message: `Cannot confirm the gradient: input ${i}, element ${e}, output ${j}: backward says ${got}, differences ${numeric}`,
          });
        }
      }
    }
  }
  return true;
}

/** Whether the derivatives of the gradients of `f` agree with central differences, in float64. */
export function gradgradcheck(
  f: (...inputs: Tensor[]) => Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  o: GradcheckOptions = {},
): boolean {
  const list = inputs instanceof Tensor ? [inputs] : [...inputs];
  const run = (given: readonly Tensor[]): Tensor[] => {
    const y = f(...given);
    return (y instanceof Tensor ? [y] : [...y]).filter((t) => t.requiresGrad);
  };
  // Gradients of the outputs that are inputs too, so that the derivative for them is checked as well.
  const seeds = run(list).map((y) => y.detach().mul(0.5).add(1).requiresGrad_());
  const gradients = (...all: Tensor[]): Tensor[] => {
    const given = all.slice(0, list.length);
    const checked = given.filter((t) => t.requiresGrad);
    return grad(run(given), checked, all.slice(list.length), {
      createGraph: true,
      allowUnused: true,
      materializeGrads: true,
    }) as Tensor[];
  };
  return gradcheck(gradients, [...list, ...seeds], o);
}

/** Adds to one element without counting a version; returns what puts it back. */
function nudge(x: Tensor, element: number, by: number): () => void {
  const flat = x.detach().reshape(-1);
  if (flat.storage !== x.storage) throw new Error('gradcheck needs dense inputs');
  const one = flat.select(0, element);
  const nd = one.nd();
  const before = Number(one.item());
  getBackend().fill(before + by, nd);
  return () => getBackend().fill(before, nd);
}
