/** Activation recompute as a module around a module. */
import { type CheckpointOptions, checkpoint, type Tensor } from '../tensor/index.js';
import { joinKwargs, splitKwargs } from './call.js';
import { Module } from './module.js';

const INNER = '_checkpoint_wrapped_module';

/**
 * Keeps none of the activations of the module inside: calling it, hooks included, is repeated in backward. Parameter
 * names get `_checkpoint_wrapped_module.` in between; state dictionaries keep the names without it.
 */
export class CheckpointWrapper<M extends Module = Module> extends Module {
  declare _checkpoint_wrapped_module: M;
  readonly checkpointOptions: CheckpointOptions;

  constructor(module: M, options: CheckpointOptions = {}) {
    super();
    this._checkpoint_wrapped_module = module;
    this.checkpointOptions = options;
    this.registerStateDictPostHook((_m, dict, prefix) => renamed(dict, `${prefix}${INNER}.`, prefix));
    this.registerLoadStateDictPreHook((_m, dict, prefix) => {
      const added = Object.keys(dict).filter(
        (key) => key.startsWith(prefix) && !key.startsWith(`${prefix}${INNER}.`),
      );
      for (const key of added) {
        dict[`${prefix}${INNER}.${key.slice(prefix.length)}`] = dict[key]!;
        delete dict[key];
      }
    });
  }

  /** The module inside. */
  get inner(): M {
    return this._checkpoint_wrapped_module;
  }

  forward(...given: Parameters<M['forward']>): ReturnType<M['forward']> {
    const [args, kwargs] = splitKwargs(given);
    const call = this._checkpoint_wrapped_module as unknown as (...a: unknown[]) => ReturnType<M['forward']>;
    return checkpoint(
      (...inputs: unknown[]) => call(...joinKwargs(inputs, kwargs)),
      ...([...args, { useReentrant: false, ...this.checkpointOptions }] as unknown[]),
    ) as ReturnType<M['forward']>;
  }
}

function renamed(dict: Record<string, Tensor>, from: string, to: string): Record<string, Tensor> {
  // In place and in order: a dictionary under way is shared with the parents.
  const entries = Object.entries(dict);
  for (const key of Object.keys(dict)) delete dict[key];
  for (const [key, value] of entries) dict[key.startsWith(from) ? to + key.slice(from.length) : key] = value;
  return dict;
}

/** Wraps a module so that its activations are computed again in backward. */
export function checkpointWrapper<M extends Module>(
  module: M,
  options: CheckpointOptions = {},
): CheckpointWrapper<M> {
  return new CheckpointWrapper(module, options);
}

/** Wraps every submodule that `check` chooses, in place. */
export function applyActivationCheckpointing(
  model: Module,
  options: { check: (module: Module) => boolean; checkpoint?: CheckpointOptions },
): void {
  for (const [path, module] of model.namedModules().reverse()) {
    if (path === '' || module instanceof CheckpointWrapper || !options.check(module)) continue;
    model.setSubmodule(path, checkpointWrapper(module, options.checkpoint));
  }
}
