import { ShardbookError } from '../base/index.js';
import { BackwardHooks } from './backward-hooks.js';
import {
  type Args,
  type ForwardHook,
  type ForwardHookWithKwargs,
  type ForwardPreHook,
  type ForwardPreHookWithKwargs,
  globalHooks,
  type HookEntry,
  type Kwargs,
  type ModuleHooks,
} from './hooks.js';
import type { Module } from './module.js';

/** A call's keyword arguments are the plain object that stands last among its arguments. */
export function splitKwargs(args: Args): [Args, Kwargs] {
  const last = args.at(-1);
  return isPlainObject(last) ? [args.slice(0, -1), last] : [args, {}];
}

/** Arguments as `forward` takes them: keyword arguments, where there are any, are the last one. */
export function joinKwargs(args: Args, kwargs: Kwargs): Args {
  return Object.keys(kwargs).length === 0 ? args : [...args, kwargs];
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Calls a module with its hooks and the global ones, in PyTorch's order: global hooks of each kind first. */
export function callWithHooks(module: Module, hooks: ModuleHooks, callArgs: Args): unknown {
  let [args, kwargs] = splitKwargs(callArgs);
  let result: unknown;
  const called = new Set<HookEntry<unknown>>();
  const runForwardHook = (entry: HookEntry<ForwardHook | ForwardHookWithKwargs>): unknown =>
    entry.withKwargs
      ? (entry.hook as ForwardHookWithKwargs)(module, args, kwargs, result)
      : (entry.hook as ForwardHook)(module, args, result);
  const forwardHooks = (): HookEntry<ForwardHook | ForwardHookWithKwargs>[] => [
    ...globalHooks.forward.entries,
    ...hooks.forward.entries,
  ];
  try {
    const backwardPre = [...globalHooks.backwardPre.entries, ...hooks.backwardPre.entries].map((e) => e.hook);
    const backward = [...globalHooks.backward.entries, ...hooks.backward.entries].map((e) => e.hook);
    for (const entry of [...globalHooks.forwardPre.entries, ...hooks.forwardPre.entries]) {
      [args, kwargs] = runForwardPreHook(module, entry, args, kwargs);
    }
    const watch =
      backwardPre.length + backward.length > 0 ? new BackwardHooks(module, backward, backwardPre) : undefined;
    if (watch !== undefined) args = watch.watchInputs(args);
    result = module.forward(...joinKwargs(args, kwargs));
    for (const entry of forwardHooks()) {
      if (entry.alwaysCall) called.add(entry);
      const replaced = runForwardHook(entry);
      if (replaced !== undefined && replaced !== null) result = replaced;
    }
    return watch === undefined ? result : watch.watchOutputs(result);
  } catch (error) {
    for (const entry of forwardHooks()) {
      if (!entry.alwaysCall || called.has(entry)) continue;
      try {
        const replaced = runForwardHook(entry);
        if (replaced !== undefined && replaced !== null) result = replaced;
      } catch {
        // The first error is the one to report, as in PyTorch, which only warns here.
      }
    }
    throw error;
  }
}

function runForwardPreHook(
  module: Module,
  entry: HookEntry<ForwardPreHook | ForwardPreHookWithKwargs>,
  args: Args,
  kwargs: Kwargs,
): [Args, Kwargs] {
  if (!entry.withKwargs) {
    const replaced = (entry.hook as ForwardPreHook)(module, args);
    if (replaced === undefined || replaced === null) return [args, kwargs];
    return [Array.isArray(replaced) ? replaced : [replaced], kwargs];
  }
  const replaced: unknown = (entry.hook as ForwardPreHookWithKwargs)(module, args, kwargs);
  if (replaced === undefined || replaced === null) return [args, kwargs];
  if (
    !Array.isArray(replaced) ||
    replaced.length !== 2 ||
    !Array.isArray(replaced[0]) ||
    !isPlainObject(replaced[1])
  ) {
    throw new ShardbookError({
      code: 'SB_NN_HOOK',
      message: `Cannot use what a forward pre-hook of ${module._getName()} returned: wanted nothing or [args, kwargs]`,
    });
  }
  return [replaced[0], replaced[1]];
}
