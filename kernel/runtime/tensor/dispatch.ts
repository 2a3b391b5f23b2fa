/**
 * The one door of every operation: autocast, autograd (records a node from the backward table), modes, tensor subclasses, kernel.
 * Below autograd nothing is recorded; backward rules call the public operations, so gradients take the same way.
 */
import { assert, runThen } from '../base/index.js';
import { autocastInputs } from './autocast.js';
import { type Recorder, recordInplace, recordNode, ruleNeeds } from './autograd/record.js';
import { canCast } from './dtype.js';
import { expectTensor, opError } from './errors.js';
import { kernels } from './kernels/index.js';
import { memory } from './memory.js';
import type { OpName, OpParams } from './opnames.js';
import { sameShape } from './shape.js';
import { getBackend, state } from './state.js';
import { Tensor } from './tensor.js';

export type OpInputs = readonly (Tensor | null)[];
export type OpResult = Tensor | Tensor[];

/** An operation on its way down. */
export interface OpCall<K extends OpName = OpName> {
  readonly name: K;
  readonly inputs: OpInputs;
  readonly params: OpParams[K];
  /** Writes into inputs[0] and returns it. */
  readonly inplace: boolean;
}

/** What a tensor subclass does with an operation any of whose inputs is an instance. */
export type SubclassHandler = (call: OpCall) => OpResult;

/** Sees every operation below autograd: counters, ledgers, selective recompute. `next` goes on. */
export interface DispatchMode {
  dispatch(call: OpCall, next: (call: OpCall) => OpResult): OpResult;
}

const subclasses: { type: abstract new (...args: never[]) => Tensor; handler: SubclassHandler }[] = [];

/** Makes operations on instances of `type` go to `handler`; handlers registered later are asked first. */
export function registerSubclass(
  type: abstract new (...args: never[]) => Tensor,
  handler: SubclassHandler,
): void {
  subclasses.unshift({ type, handler });
}

function isSubclass(t: Tensor | null | undefined): boolean {
  return t != null && t.constructor !== Tensor && subclasses.some(({ type }) => t instanceof type);
}

let modes: readonly DispatchMode[] = [];

/** Runs `body` with a mode on top of the stack. */
export function withMode<R>(mode: DispatchMode, body: () => R): R {
  let isPushed = false;
  return runThen(
    () => {
      modes = [...modes, mode];
      isPushed = true;
      return body();
    },
    () => {
      // Without a call in between: the same mode may be on the stack several times, and each end takes one away.
      if (isPushed) modes = modes.toSpliced(modes.lastIndexOf(mode), 1);
      isPushed = false;
    },
  );
}

export function pushMode(mode: DispatchMode): void {
  modes = [...modes, mode];
}

export function popMode(mode: DispatchMode): void {
  const at = modes.lastIndexOf(mode);
  if (at >= 0) modes = modes.toSpliced(at, 1);
}

export function activeModes(): readonly DispatchMode[] {
  return modes;
}

function descend(call: OpCall, level: number): OpResult {
  if (level >= 0) {
    const before = modes;
    return runThen(
      () => {
        // A mode's own operations are not its business: it is off the stack while it works.
        modes = before.slice(0, level);
        return before[level]!.dispatch(call, (next) => descend(next, level - 1));
      },
      () => {
        modes = before;
      },
    );
  }
  if (subclasses.length > 0) {
    for (const input of call.inputs) {
      if (input === null || input.constructor === Tensor) continue;
      for (const { type, handler } of subclasses) if (input instanceof type) return handler(call);
    }
  }
  return call.inplace ? runInplace(call) : runKernel(call.name, call.inputs, call.params);
}

/** The kernel alone, without modes or subclasses. */
export function runKernel<K extends OpName>(name: K, inputs: OpInputs, params: OpParams[K]): OpResult {
  const kernel = kernels[name] as (inputs: OpInputs, params: OpParams[K], out: Tensor | null) => OpResult;
  const result = kernel(inputs, params, null);
  if (memory.listener !== null) tellRan(name, inputs, result, params);
  return result;
}

function tellRan(name: string, inputs: OpInputs, result: OpResult, params: unknown): void {
  memory.listener!.ran(name, inputs, Array.isArray(result) ? result : [result], params);
}

function runInplace(call: OpCall): Tensor {
  const self = writeInplace(call);
  if (memory.listener !== null) tellRan(call.name, call.inputs, self, call.params);
  return self;
}

function writeInplace(call: OpCall): Tensor {
  const self = call.inputs[0]!;
  const name = call.name as OpName;
  if (name === 'copy') {
    const source = call.inputs[1]!;
    if (!self.isMeta && !source.isMeta) copyInto(self, source);
    return self;
  }
  if (name === 'fill') {
    if (!self.isMeta) getBackend().fill((call.params as OpParams['fill']).value, self.nd());
    return self;
  }
  const kernel = kernels[name] as (inputs: OpInputs, params: unknown, out: Tensor | null) => OpResult;
  const out = self.isContiguous() && !self.isMeta ? self : null;
  const result = kernel(call.inputs, call.params, out) as Tensor;
  if (result === self) return self;
  if (!canCast(result.dtype, self.dtype)) {
    throw opError(
      `${name}_`,
      call.inputs,
      `the result is ${result.dtype.name} and cannot be written into ${self.dtype.name}`,
    );
  }
  if (!sameShape(result.shape, self.shape)) {
    throw opError(
      `${name}_`,
      call.inputs,
      `the result has shape [${result.shape.join(', ')}], but an in-place operation keeps [${self.shape.join(', ')}]`,
    );
  }
  if (!self.isMeta) copyInto(self, result);
  return self;
}

function copyInto(self: Tensor, source: Tensor): void {
  const strides = source.shape.length === self.shape.length ? source.strides : null;
  let from = source.nd();
  if (!strides || !sameShape(source.shape, self.shape)) {
    const shift = self.shape.length - source.shape.length;
    from = {
      ...from,
      shape: self.shape,
      strides: self.shape.map((n, d) =>
        d < shift || (source.shape[d - shift] === 1 && n !== 1) ? 0 : source.strides[d - shift]!,
      ),
    };
  }
  getBackend().copy(from, self.nd());
}

const recorder: Recorder = { apply: run };

function below(call: OpCall): OpResult {
  const before = state.belowAutograd;
  state.belowAutograd = true;
  try {
    return descend(call, modes.length - 1);
  } finally {
    state.belowAutograd = before;
  }
}

function run(name: OpName, given: OpInputs, params: OpParams[OpName]): OpResult {
  for (const input of given) if (input !== null && !(input instanceof Tensor)) expectTensor(name, input);
  const inputs = state.autocast && !state.belowAutograd ? autocastInputs(name, given, recorder) : given;
  const call: OpCall = { name, inputs, params, inplace: false };
  const needs = !state.belowAutograd && state.gradEnabled ? ruleNeeds(name, inputs) : null;
  const result = below(call);
  recordNode(name, inputs, params, result, needs, isSubclass(inputs[0]) ? recorder : null);
  return result;
}

/** Runs an operation with one result. */
export function applyOp<K extends OpName>(name: K, inputs: OpInputs, params: OpParams[K]): Tensor {
  return run(name, inputs, params) as Tensor;
}

/** Runs an operation with several results. */
export function applyMulti<K extends OpName>(name: K, inputs: OpInputs, params: OpParams[K]): Tensor[] {
  const result = run(name, inputs, params);
  assert(Array.isArray(result), `${name} has one result`);
  return result;
}

/** Runs an operation and writes its result into the first input. */
export function applyInplace<K extends OpName>(name: K, inputs: OpInputs, params: OpParams[K]): Tensor {
  const self = inputs[0]!;
  checkWritable(name, inputs);
  const call = { name, inputs, params, inplace: true } as OpCall;
  if (state.belowAutograd) {
    below(call);
    self.versionCounter.value++;
    return self;
  }
  recordInplace(name, inputs, params, () => {
    const result = below(call);
    self.versionCounter.value++;
    return result;
  });
  return self;
}

const FILLS: ReadonlySet<string> = new Set(['fill', 'maskedFill']);

function checkWritable(name: string, inputs: OpInputs): void {
  const self = inputs[0]!;
  // Filling writes the same into every place.
  if (!FILLS.has(name) && self.strides.some((s, d) => s === 0 && self.shape[d]! > 1) && self.numel() > 0) {
    throw opError(
      `${name}_`,
      inputs,
      'several elements of the written tensor are one place in memory',
      'clone() it first',
    );
  }
  for (const other of inputs) {
    if (
      !other ||
      other === self ||
      other.storage !== self.storage ||
      other.numel() === 0 ||
      self.numel() === 0
    )
      continue;
    if (sameLayout(self, other)) continue;
    if (self.isContiguous() && other.isContiguous()) {
      const [a, b] = [self.storageOffset, other.storageOffset];
      if (a < b + other.numel() && b < a + self.numel()) {
        throw opError(
          `${name}_`,
          inputs,
          'the written and the read tensor overlap in memory',
          'clone() the one that is read',
        );
      }
    }
  }
}

function sameLayout(a: Tensor, b: Tensor): boolean {
  return (
    a.storageOffset === b.storageOffset && sameShape(a.shape, b.shape) && sameShape(a.strides, b.strides)
  );
}
