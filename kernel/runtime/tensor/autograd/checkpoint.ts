/** Activation recompute without reentrancy: forward saves nothing, the first look at a saved tensor runs it again. */
import { runThen, ShardbookError } from '../../base/index.js';
import { type DispatchMode, withMode } from '../dispatch.js';
import { memory, storageOf } from '../memory.js';
import type { OpName } from '../opnames.js';
import { defaultGenerator } from '../ops/generator.js';
import { savedTensorsHooks, state, withState } from '../state.js';
import { Tensor } from '../tensor.js';

const stop = Symbol('enough recomputed');

/** What stands for a saved tensor: which one it is, and what has to stay alive to make it again. */
interface Slot {
  index: number;
  keeps: readonly Tensor[];
}

export type ContextFn = () => [<R>(body: () => R) => R, <R>(body: () => R) => R];
export interface CheckpointOptions {
  /** Kept for PyTorch's signature; only the non-reentrant kind exists. */
  useReentrant?: boolean;
  preserveRngState?: boolean;
  /** Wrappers around the first and the repeated run. */
  contextFn?: ContextFn;
  earlyStop?: boolean;
}

/** Runs `body` keeping only what it was called with; its activations are computed again in backward. */
export function checkpoint<R>(body: () => R, options?: CheckpointOptions): R;
export function checkpoint<A extends unknown[], R>(
  body: (...args: A) => R,
  ...args: [...A, CheckpointOptions?]
): R;
export function checkpoint<A extends unknown[], R>(body: (...args: A) => R, ...given: unknown[]): R {
  if (typeof body !== 'function') {
    throw new ShardbookError({
      code: 'SB_CHECKPOINT',
      message: `Cannot checkpoint: the body is ${body === null ? 'null' : `a ${typeof body}`}, wanted a function`,
      help: 'call checkpoint(f, ...inputs)',
    });
  }
  const last = given[given.length - 1];
  const isOptions =
    typeof last === 'object' &&
    last !== null &&
    ['useReentrant', 'preserveRngState', 'contextFn', 'earlyStop'].some((k) => k in last);
  const o = (isOptions ? last : {}) as CheckpointOptions;
  const args = (isOptions ? given.slice(0, -1) : given) as A;
  const same = <T>(b: () => T): T => b();
  const [first, again] = o.contextFn?.() ?? [same, same];
  if (!state.gradEnabled) return first(() => body(...args));
  const rng = o.preserveRngState === false ? null : defaultGenerator.clone();
  const autocast = state.autocast;
  const keeps = args.filter((arg): arg is Tensor & A[number] => arg instanceof Tensor);
  // One handle for every save of the first run; a repeated run fills a frame of its own for each backward pass.
  let saves = 0;
  let frame: { tensors: (Tensor | undefined)[] } | null = null;
  const recompute = (): void => {
    const tensors: (Tensor | undefined)[] = [];
    frame = { tensors };
    const now = defaultGenerator.clone();
    const repeat = (): void => {
      if (rng) defaultGenerator.stream.copyFrom(rng.stream);
      withState({ gradEnabled: true, autocast, savedHooks: [] }, () =>
        savedTensorsHooks(
          (t) => {
            tensors.push(t);
            memory.listener?.hold(storageOf(t), 'Activation', undefined);
            if ((o.earlyStop ?? true) && tensors.length === saves) throw stop;
            // Not the tensor itself: it is the frame that keeps it, this graph is never walked.
            return [t];
          },
          ([t]: [Tensor]) => t,
          () => again(() => body(...args)),
        ),
      );
    };
    try {
      runThen(repeat, () => {
        if (rng) defaultGenerator.stream.copyFrom(now.stream);
      });
    } catch (e) {
      if (e !== stop) throw e;
    }
    if (tensors.length !== saves) {
      throw new ShardbookError({
        code: 'SB_CHECKPOINT',
        message: `Cannot recompute the checkpointed forward: it saved ${saves} tensors first and ${tensors.length} when repeated`,
        help: 'the function must do the same operations each time it is called',
      });
    }
  };
  return first(() =>
    savedTensorsHooks(
      (): Slot => ({ index: saves++, keeps }),
      ({ index }: Slot) => {
        if (!frame || frame.tensors[index] === undefined) recompute();
        const t = frame!.tensors[index]!;
        frame!.tensors[index] = undefined;
        memory.listener?.drop(storageOf(t), 'Activation');
        return t;
      },
      () => body(...args),
    ),
  );
}

/** checkpoint over the parts of a sequence of functions; the last part runs plainly. */
export function checkpointSequential(
  functions: readonly ((x: Tensor) => Tensor)[],
  segments: number,
  x: Tensor,
  options: CheckpointOptions = {},
): Tensor {
  const size = Math.floor(functions.length / segments);
  const run =
    (start: number, end: number) =>
    (input: Tensor): Tensor =>
      functions.slice(start, end).reduce((h, f) => f(h), input);
  let out = x;
  let at = 0;
  for (let i = 0; i < segments - 1; i++, at += size) out = checkpoint(run(at, at + size), out, options);
  return run(at, functions.length)(out);
}

export type CheckpointPolicy = 'mustSave' | 'preferSave' | 'mustRecompute' | 'preferRecompute';

/** Contexts for `contextFn`: results of operations the policy saves are kept from the first run and not computed again. */
export function createSelectiveCheckpointContexts(
  policy: readonly OpName[] | ((op: OpName) => CheckpointPolicy | boolean),
): ReturnType<ContextFn> {
  const keeps = (op: OpName): boolean => {
    const answer = typeof policy === 'function' ? policy(op) : policy.includes(op);
    return answer === true || answer === 'mustSave' || answer === 'preferSave';
  };
  const kept = new Map<OpName, (Tensor | Tensor[])[]>();
  const used = new Map<OpName, number>();
  const save: DispatchMode = {
    dispatch(call, next) {
      const result = next(call);
      if (!call.inplace && keeps(call.name)) kept.set(call.name, [...(kept.get(call.name) ?? []), result]);
      return result;
    },
  };
  const load: DispatchMode = {
    dispatch(call, next) {
      if (call.inplace || !keeps(call.name)) return next(call);
      const at = used.get(call.name) ?? 0;
      used.set(call.name, at + 1);
      const stored = kept.get(call.name)?.[at];
      if (stored === undefined) return next(call);
      return Array.isArray(stored) ? stored.map((t) => t.detach()) : stored.detach();
    },
  };
  return [
    (body) => withMode(save, body),
    (body) => {
      used.clear();
      return withMode(load, body);
    },
  ];
}
