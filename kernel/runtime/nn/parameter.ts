import { Tensor } from '../tensor/index.js';

/**
 * Being a parameter or a buffer is a mark on a tensor, not a class of its own: a parameter may at the same time be an
 * instance of any tensor subclass (a sharded parameter is one), exactly as in PyTorch.
 */
const parameters = new WeakSet<Tensor>();
const buffers = new WeakMap<Tensor, { persistent: boolean }>();

/** A tensor that a module counts among its parameters when it is assigned as a property. */
export type Parameter = Tensor;

/** A tensor that a module counts among its buffers when it is assigned as a property. */
export type Buffer = Tensor;

interface ParameterConstructor {
  /** A parameter over the data of `data` (shared, not copied); requires a gradient unless told otherwise. */
  new (data: Tensor, requiresGrad?: boolean | { requiresGrad?: boolean }): Parameter;
  [Symbol.hasInstance](value: unknown): boolean;
}

interface BufferConstructor {
  /** A buffer over `data`; part of the state dictionary unless `persistent` is false. */
  new (data: Tensor, options?: { persistent?: boolean }): Buffer;
  [Symbol.hasInstance](value: unknown): boolean;
}

class ParameterMark {
  constructor(data: Tensor, requiresGrad: boolean | { requiresGrad?: boolean } = true) {
    const wanted = typeof requiresGrad === 'boolean' ? requiresGrad : (requiresGrad.requiresGrad ?? true);
    const parameter = ofKind(data.detach(), data).requiresGrad_(wanted);
    parameters.add(parameter);
    // biome-ignore lint/correctness/noConstructorReturn: the result is the marked tensor itself
    return parameter as unknown as ParameterMark;
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return isParameter(value);
  }
}

class BufferMark {
  constructor(data: Tensor, { persistent = true }: { persistent?: boolean } = {}) {
    const buffer = data.detach().requiresGrad_(data.requiresGrad);
    buffers.set(buffer, { persistent });
    // biome-ignore lint/correctness/noConstructorReturn: the result is the marked tensor itself
    return buffer as unknown as BufferMark;
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Tensor && buffers.has(value);
  }
}

export const Parameter = ParameterMark as unknown as ParameterConstructor;
export const Buffer = BufferMark as unknown as BufferConstructor;

/** The same tensor as an instance of another's class, with what else that one holds. */
export function ofKind(t: Tensor, kind: Tensor): Tensor {
  if (Object.getPrototypeOf(t) === Object.getPrototypeOf(kind)) return t;
  const plain = new Tensor({
    storage: t.storage,
    shape: t.shape,
    strides: t.strides,
    storageOffset: t.storageOffset,
    dtype: t.dtype,
  });
  const extra = Object.entries(kind).filter(([key]) => !(key in plain));
  return Object.assign(Object.setPrototypeOf(plain, Object.getPrototypeOf(kind) as object) as Tensor, {
    ...Object.fromEntries(extra),
  });
}

/** Whether a value was made by `new Parameter(...)`. */
export function isParameter(value: unknown): boolean {
  return value instanceof Tensor && parameters.has(value);
}

/** Marks a tensor as a parameter in place, for subclasses that build their own parameter objects. */
export function markParameter<T extends Tensor>(tensor: T): T {
  parameters.add(tensor);
  return tensor;
}

/** How a tensor was marked by `new Buffer(...)`; undefined for other values. */
export function bufferMark(value: unknown): { persistent: boolean } | undefined {
  return value instanceof Tensor ? buffers.get(value) : undefined;
}
