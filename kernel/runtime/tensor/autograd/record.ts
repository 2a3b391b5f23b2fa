/** Recording: which operations get a node, what it saves, how in-place writes and views enter the graph. */
import { ShardbookError } from '../../base/index.js';
import { opError } from '../errors.js';
import { memory, storageOf } from '../memory.js';
import type { OpName, OpParams } from '../opnames.js';
import { enableGrad, noGrad, state, withState } from '../state.js';
import type { Storage } from '../storage.js';
import { Tensor } from '../tensor.js';
import { type Edge, type Grads, type InputMeta, Node } from './node.js';

export interface Recorder {
  apply(name: OpName, inputs: readonly (Tensor | null)[], params: OpParams[OpName]): Tensor | Tensor[];
}

export const notDifferentiable = 'notDifferentiable' as const;

/** What a backward rule sees. */
export interface RuleContext<P> {
  readonly params: P;
  /** Gradients of the results; null where a result had no part in the output. */
  readonly grads: Grads;
  /** The first gradient, of operations with one result. */
  readonly grad: Tensor;
  /** Which inputs need a gradient. */
  readonly needs: readonly boolean[];
  /** Shape and dtype of every input. */
  readonly inMeta: readonly (InputMeta | null)[];
  readonly outMeta: readonly InputMeta[];
  /** A saved input. */
  input(i: number): Tensor;
  inputOrNull(i: number): Tensor | null;
  /** A saved result. */
  output(i: number): Tensor;
}

export interface Rule<P> {
  /** Inputs (0, 1, ...) and results (-1, -2, ...) that the rule reads. */
  save?: readonly number[] | ((needs: readonly boolean[], params: P) => readonly number[]);
  /** Results that have a gradient; all floating ones unless told. */
  differentiable?: readonly number[];
  grad(ctx: RuleContext<P>): readonly (Tensor | null | undefined)[];
}

export type BackwardTable = { [K in OpName]: Rule<OpParams[K]> | typeof notDifferentiable };

let table: BackwardTable | null = null;
export function installRules(rules: BackwardTable): void {
  table = rules;
}

function ruleOf(name: OpName): Rule<OpParams[OpName]> | null {
  const rule = table?.[name];
  return rule === undefined || rule === notDifferentiable ? null : (rule as Rule<OpParams[OpName]>);
}

/** A tensor kept for backward, guarded by its version or handed to the saved-tensor hooks. */
export class SavedTensor {
  #tensor: Tensor | null;
  readonly #version: number;
  readonly #unpack: ((packed: unknown) => Tensor) | null = null;
  #packed: unknown;
  #released = false;
  /** What is on the accounts: the storages that `memory` was told of. */
  #held: Storage[] | null = null;
  constructor(tensor: Tensor, isResult = false) {
    this.#version = tensor.version;
    this.#tensor = tensor;
    const hooks = state.savedHooks[state.savedHooks.length - 1];
    if (hooks) {
      // Hooks see data, not history.
      const bare = isResult || tensor.requiresGrad ? bareView(tensor) : tensor;
      this.#packed = state.gradEnabled ? noGrad(() => hooks.pack(bare)) : hooks.pack(bare);
      this.#unpack = hooks.unpack;
      this.#original = tensor;
      this.#tensor = null;
    }
    if (memory.listener !== null) this.#hold(tensor);
  }
  /** What hooks made of it is theirs: memory counts if they keep a tensor, or say what they keep. */
  #hold(tensor: Tensor): void {
    const kept = this.#unpack === null ? tensor : this.#packed;
    const keeps = (kept as { keeps?: unknown } | null | undefined)?.keeps;
    const tensors =
      kept instanceof Tensor
        ? [kept]
        : Array.isArray(keeps)
          ? keeps.filter((t): t is Tensor => t instanceof Tensor)
          : [];
    if (tensors.length === 0) return;
    this.#held = tensors.map(storageOf);
    for (const storage of this.#held) memory.listener!.hold(storage, 'Activation', undefined);
  }
  #original: Tensor | null = null;
  release(): void {
    this.#tensor = null;
    this.#packed = undefined;
    this.#original = null;
    this.#released = true;
    if (this.#held !== null) {
      for (const storage of this.#held) memory.listener?.drop(storage, 'Activation');
      this.#held = null;
    }
  }
  unpack(op: string): Tensor {
    if (this.#released) throw freedError();
    if (this.#unpack) {
      const data = noGrad(() => this.#unpack!(this.#packed));
      const source = this.#original;
      if (!source?.requiresGrad) return data;
      // Give the unpacked data the history of what was saved.
      const out = bareView(data);
      const edge = source.gradEdge();
      if (edge) attachEdge(out, edge);
      return out;
    }
    const t = this.#tensor!;
    if (t.version !== this.#version) {
      throw new ShardbookError({
        code: 'SB_VERSION',
        message: `Cannot compute the gradient of "${op}": one of the tensors it needs, ${t.describe()}, was modified by an in-place operation: it is at version ${t.version}, expected version ${this.#version}`,
        help: 'use the out-of-place operation, or clone() before writing',
      });
    }
    return t;
  }
}

function withoutHooks<R>(body: () => R): R {
  return state.savedHooks.length === 0 ? body() : withState({ savedHooks: [] }, body);
}

function bareView(t: Tensor): Tensor {
  if (t.constructor !== Tensor) return t.detach();
  const out = new Tensor({
    storage: t.storage,
    shape: t.shape,
    strides: t.strides,
    storageOffset: t.storageOffset,
    dtype: t.dtype,
    device: t.device,
  });
  out.versionCounter = t.versionCounter;
  return out;
}

/** Passes gradients on unchanged: stands for a tensor whose own object is gone. */
class Passage extends Node {
  override apply(grads: Grads): Grads {
    return grads;
  }
}

function attachEdge(t: Tensor, edge: Edge): void {
  const node = new Passage('Passage');
  node.nextEdges.push(edge);
  node.inputMeta.push({ shape: t.shape, dtype: t.dtype, device: t.device });
  t.setHistory(node, 0);
}

function freedError(): ShardbookError {
  return new ShardbookError({
    code: 'SB_GRAPH_FREED',
    message: 'Cannot run backward through the graph a second time: what it saved was freed by the first pass',
    help: 'pass { retainGraph: true } to the first backward',
  });
}

export const metaOf = (t: Tensor): InputMeta => ({
  shape: t.shape,
  dtype: t.dtype,
  device: t.device,
  strides: t.strides,
  offset: t.storageOffset,
});

export class OpNode extends Node {
  readonly saved = new Map<number, SavedTensor>();
  readonly absent = new Set<number>();
  #released = false;
  constructor(
    readonly op: OpName,
    readonly params: OpParams[OpName],
    readonly rule: Rule<OpParams[OpName]>,
    readonly needs: readonly boolean[],
    readonly inMeta: readonly (InputMeta | null)[],
  ) {
    super(`${op[0]!.toUpperCase()}${op.slice(1)}Backward0`);
  }
  keep(slot: number, t: Tensor | null | undefined): void {
    // A number is no tensor for hooks to see.
    if (t?.wrapped) withoutHooks(() => this.saved.set(slot, new SavedTensor(t)));
    else if (t) this.saved.set(slot, new SavedTensor(t, slot < 0));
    else this.absent.add(slot);
  }
  override release(): void {
    for (const s of this.saved.values()) s.release();
    this.#released = true;
  }
  get released(): boolean {
    return this.#released;
  }
  override apply(grads: Grads): Grads {
    const get = (slot: number): Tensor => {
      const saved = this.saved.get(slot);
      if (!saved) throw new Error(`rule of ${this.op} reads slot ${slot} that it does not save`);
      return saved.unpack(this.op);
    };
    const result = this.rule.grad({
      params: this.params,
      grads,
      grad: grads[0]!,
      needs: this.needs,
      inMeta: this.inMeta,
      outMeta: this.inputMeta,
      input: (i) => get(i),
      inputOrNull: (i) => (this.absent.has(i) ? null : get(i)),
      output: (i) => get(-1 - i),
    });
    return this.needs.map((need, i) => (need ? (result[i] ?? null) : null));
  }
}

/** Which inputs need gradients; null when nothing is to be recorded. */
export function ruleNeeds(name: OpName, inputs: readonly (Tensor | null)[]): boolean[] | null {
  let any = false;
  for (const t of inputs) if (t?.requiresGrad) any = true;
  if (!any || !ruleOf(name)) return null;
  return inputs.map((t) => t?.requiresGrad === true);
}

function slots(node: OpNode): readonly number[] {
  const { save } = node.rule;
  return typeof save === 'function' ? save(node.needs, node.params) : (save ?? []);
}

function makeNode(
  name: OpName,
  inputs: readonly (Tensor | null)[],
  params: OpParams[OpName],
  needs: readonly boolean[],
): OpNode {
  for (const t of inputs) {
    if (t?.isInference && !state.inferenceMode) {
      throw opError(
        name,
        inputs,
        'an inference tensor cannot be saved for backward',
        'clone it outside inferenceMode',
        'SB_INFERENCE',
      );
    }
  }
  const node = new OpNode(
    name,
    params,
    ruleOf(name)!,
    needs,
    inputs.map((t) => (t ? metaOf(t) : null)),
  );
  for (let i = 0; i < inputs.length; i++) node.nextEdges.push(needs[i] ? inputs[i]!.gradEdge() : null);
  return node;
}

/** Marks views and gives results of a recorded operation their node. */
export function recordNode(
  name: OpName,
  inputs: readonly (Tensor | null)[],
  params: OpParams[OpName],
  result: Tensor | Tensor[],
  needs: readonly boolean[] | null,
  replay: Recorder | null,
): void {
  const results = Array.isArray(result) ? result : [result];
  const first = inputs[0];
  if (first && name !== 'detach' && !state.belowAutograd) {
    for (const r of results) {
      if (r.versionCounter !== first.versionCounter || r === first) continue;
      r.viewBase = first.viewBase ?? first;
      r.viewKind = state.inferenceMode
        ? 'inference'
        : !state.gradEnabled
          ? 'noGrad'
          : Array.isArray(result)
            ? 'multiOutput'
            : first.viewBase
              ? first.viewKind
              : 'normal';
      r.attrVersion = r.version;
      if (replay) r.viewReplay = replayOf(replay, name, inputs, params, results.indexOf(r));
    }
  }
  if (!needs) return;
  const node = makeNode(name, inputs, params, needs);
  for (const slot of slots(node)) node.keep(slot, slot >= 0 ? inputs[slot] : results[-1 - slot]);
  const { differentiable } = node.rule;
  results.forEach((r, i) => {
    node.inputMeta.push(metaOf(r));
    if (r.dtype.isFloatingPoint && (!differentiable || differentiable.includes(i))) r.setHistory(node, i);
  });
}

/** The operation again, on what the views before it make of another base. */
function replayOf(
  recorder: Recorder,
  name: OpName,
  inputs: readonly (Tensor | null)[],
  params: OpParams[OpName],
  index: number,
): (base: Tensor) => Tensor {
  const before = inputs[0]!.viewReplay;
  const rest = inputs.slice(1);
  return (base) => {
    const out = recorder.apply(name, [before ? before(base) : base, ...rest], params);
    return Array.isArray(out) ? out[index]! : out;
  };
}

function checkInplace(name: string, inputs: readonly (Tensor | null)[]): void {
  const self = inputs[0]!;
  const fail = (why: string, help: string): never => {
    throw opError(`${name}_`, inputs, why, help, 'SB_INPLACE');
  };
  if (self.isLeaf && self.requiresGrad)
    fail(
      'a leaf that requires a gradient cannot be written in place',
      'do it inside torch.noGrad, or use the out-of-place operation',
    );
  const base = self.viewBase;
  if (!base) return;
  if (base.isLeaf && base.requiresGrad)
    fail(
      'this is a view of a leaf that requires a gradient',
      'do it inside torch.noGrad, or clone() the leaf first',
    );
  if (self.viewKind === 'multiOutput')
    fail('this view is one of several that one operation returned', 'clone() it first');
  if (self.viewKind === 'noGrad')
    fail('this view was made inside noGrad and is written with gradients on', 'make the view outside noGrad');
}

function copyWithHistory(t: Tensor): Tensor {
  const out = noGrad(() => t.ownCopy());
  const edge = t.gradEdge();
  if (edge) attachEdge(out, edge);
  return out;
}

/** Runs an in-place operation and rebases the history of what it wrote to. */
export function recordInplace(
  name: OpName,
  inputs: readonly (Tensor | null)[],
  params: OpParams[OpName],
  write: () => void,
): void {
  const self = inputs[0]!;
  if (self.isInference && !state.inferenceMode) {
    throw opError(
      `${name}_`,
      inputs,
      'an inference tensor cannot be written outside inferenceMode',
      'clone it first',
      'SB_INFERENCE',
    );
  }
  const needs = state.gradEnabled ? ruleNeeds(name, inputs) : null;
  if (state.gradEnabled && self.viewKind === 'noGrad' && self.viewBase?.requiresGrad)
    checkInplace(name, inputs);
  if (!needs || !self.dtype.isFloatingPoint) {
    write();
    return;
  }
  checkInplace(name, inputs);
  needs[0] = self.requiresGrad;
  const node = makeNode(name, inputs, params, needs);
  const wanted = slots(node);
  const before = new Map<number, Tensor | null>();
  // The old value of what is overwritten is kept as a copy; with its history, for derivatives of the derivative.
  for (const s of wanted) if (s >= 0) before.set(s, s === 0 ? copyWithHistory(self) : (inputs[s] ?? null));
  for (const [s, t] of before) if (s !== 0) node.keep(s, t);
  write();
  if (before.has(0)) node.keep(0, before.get(0));
  for (const s of wanted) if (s < 0) node.keep(s, self);
  node.inputMeta.push(metaOf(self));
  rebase(self, node);
}

let copySlices: (base: Tensor, view: Tensor, node: Node) => Node = () => {
  throw new Error('not wired');
};
export function installCopySlices(make: typeof copySlices): void {
  copySlices = make;
}

/** Makes `node` the history of `self`; of a view, through its base. */
export function rebase(self: Tensor, node: Node): void {
  const base = self.viewBase;
  if (base) {
    const slices = copySlices(base, self, node);
    base.moveRetainTo(slices, 0);
    base.setHistory(slices, 0);
    return;
  }
  self.moveRetainTo(node, 0);
  self.setHistory(node, 0);
}

/** Where the gradient of a view goes whose base was written since: the view is made anew from the base. */
export function viewEdge(view: Tensor): Edge | null {
  const base = view.viewBase!;
  if (view.viewKind === 'multiOutput') {
    throw new ShardbookError({
      code: 'SB_INPLACE',
      message: `Cannot use ${view.describe()}: it is one of several views that one operation returned, and what they are views of was written in place since`,
      help: 'clone() it before the write, or take it again afterwards',
    });
  }
  if (!view.viewReplay) {
    const node = asStridedNode(base, view);
    return node && { node, index: 0 };
  }
  if (view.viewKind === 'noGrad' || view.viewKind === 'inference') return null;
  const { viewReplay } = view;
  return enableGrad(() => viewReplay(base).gradEdge());
}

function asStridedNode(base: Tensor, view: Tensor): Node | null {
  const edge = base.gradEdge();
  const rule = ruleOf('asStrided');
  if (!edge || !rule || view.viewKind === 'noGrad' || view.viewKind === 'inference') return null;
  const node = new OpNode(
    'asStrided',
    { shape: view.shape, strides: view.strides, offset: view.storageOffset },
    rule,
    [true],
    [metaOf(base)],
  );
  node.nextEdges.push(edge);
  node.inputMeta.push(metaOf(view));
  return node;
}
