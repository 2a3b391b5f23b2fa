/** Tensors inside arguments and outputs: lists, plain objects and maps of them, to any depth. */
import { Tensor } from '../../tensor/index.js';

/** The same structure with every tensor replaced; returned as it is when nothing changes. */
export function mapTensors<T>(value: T, fn: (tensor: Tensor) => Tensor): T {
  return visit(value, fn) as T;
}

function visit(value: unknown, fn: (tensor: Tensor) => Tensor): unknown {
  if (value instanceof Tensor) return fn(value);
  if (Array.isArray(value)) {
    const mapped = value.map((item) => visit(item, fn));
    return mapped.some((item, i) => item !== value[i]) ? mapped : value;
  }
  if (value instanceof Map) {
    const mapped = new Map([...value].map(([key, item]) => [key, visit(item, fn)] as const));
    return [...mapped].some(([key, item]) => item !== value.get(key)) ? mapped : value;
  }
  if (!isPlain(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, visit(item, fn)] as const);
  return entries.some(([key, item]) => item !== value[key]) ? Object.fromEntries(entries) : value;
}

/** Every tensor of a structure that takes part in autograd, in order. */
export function gradTensors(value: unknown): Tensor[] {
  const found: Tensor[] = [];
  visit(value, (tensor) => {
    if (tensor.requiresGrad) found.push(tensor);
    return tensor;
  });
  return found;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
