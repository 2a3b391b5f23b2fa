/** What is switched on in this rank: backend, grad mode, inference mode, autocast, dispatch modes, saved-tensor hooks. */

import type { Backend } from '../backend/backend.js';
import { assert, onGivenUp, runThen } from '../base/index.js';
import type { DType } from './dtype.js';
import type { Device, Tensor } from './tensor.js';

export interface SavedTensorsHooks {
  pack(t: Tensor): unknown;
  unpack(packed: unknown): Tensor;
}

interface State {
  backend: Backend | null;
  gradEnabled: boolean;
  inferenceMode: boolean;
  /** Inside a kernel or a subclass handler: nothing is recorded. */
  belowAutograd: boolean;
  autocast: DType | null;
  savedHooks: SavedTensorsHooks[];
  /** Where tensors are made that are not told. */
  defaultDevice: Device;
}

export const state: State = {
  backend: null,
  gradEnabled: true,
  inferenceMode: false,
  belowAutograd: false,
  autocast: null,
  savedHooks: [],
  defaultDevice: 'cpu',
};

// Set around each operation, too often for a scope.
onGivenUp(() => {
  state.belowAutograd = false;
});

/** Chooses what computes; done once at the root. */
export function setBackend(backend: Backend): void {
  state.backend = backend;
}

export function getBackend(): Backend {
  assert(state.backend, 'no backend was set');
  return state.backend;
}

/** Runs `body` while the state is other in what `change` names. */
export function withState<R>(change: Partial<State>, body: () => R): R {
  const before = { ...state };
  const restore = (): void => {
    for (const key of Object.keys(change) as (keyof State)[])
      (state as unknown as Record<string, unknown>)[key] = before[key];
  };
  return runThen(() => {
    Object.assign(state, change);
    return body();
  }, restore);
}

export const isGradEnabled = (): boolean => state.gradEnabled;
export const isInferenceModeEnabled = (): boolean => state.inferenceMode;

/** Turns recording on or off until changed again; returns what it was. */
export function setGradEnabled(on: boolean): boolean {
  const before = state.gradEnabled;
  state.gradEnabled = on;
  return before;
}

/** Runs `body` without recording operations for backward. */
export const noGrad = <R>(body: () => R): R => withState({ gradEnabled: false }, body);
export const enableGrad = <R>(body: () => R): R => withState({ gradEnabled: true }, body);
/** As noGrad, and the tensors made inside can never take part in autograd. */
export const inferenceMode = <R>(body: () => R): R =>
  withState({ gradEnabled: false, inferenceMode: true }, body);
export const withGradMode = <R>(on: boolean, body: () => R): R => withState({ gradEnabled: on }, body);

/** Runs `body` with another device for tensors that are not told theirs: `torch.device('meta', () => new Model())`. */
export const withDevice = <R>(device: Device, body: () => R): R => withState({ defaultDevice: device }, body);

/** The device of tensors that are not told theirs, until changed again. */
export function setDefaultDevice(device: Device): void {
  state.defaultDevice = device;
}
export const getDefaultDevice = (): Device => state.defaultDevice;

/** Runs matrix products inside `body` in `dtype` (bfloat16 unless told), as torch.autocast('cpu', ...). */
export function autocast<R>(
  options: { dtype?: DType; enabled?: boolean },
  body: () => R,
  fallback?: DType,
): R {
  const on = options.enabled ?? true;
  return withState({ autocast: on ? (options.dtype ?? fallback ?? null) : null }, body);
}

export function savedTensorsHooks<R>(
  pack: (t: Tensor) => unknown,
  unpack: (packed: never) => Tensor,
  body: () => R,
): R {
  const hooks: SavedTensorsHooks = { pack, unpack: unpack as (packed: unknown) => Tensor };
  return withState({ savedHooks: [...state.savedHooks, hooks] }, body);
}
