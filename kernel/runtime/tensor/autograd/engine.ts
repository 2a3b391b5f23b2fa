/** The backward pass: nodes in order of readiness, gradients summed where paths meet, hooks, callbacks at the end. */
import { runThen, ShardbookError } from '../../base/index.js';
import { activeModes } from '../dispatch.js';
import { memory, storageOf } from '../memory.js';
import { numelOf, sameShape } from '../shape.js';
import { state, withGradMode, withState } from '../state.js';
import { Storage } from '../storage.js';
import { type AccumulateGrad, installGradAccess, Tensor } from '../tensor.js';
import type { Edge, Grads, InputMeta, Node } from './node.js';
import { OpNode, viewEdge } from './record.js';

interface Pass {
  callbacks: (() => void)[];
  /** Nodes that take part. */
  nodes: { has(node: Node): boolean };
  /** Memory of gradients that nobody but this pass can see: a leaf may keep it without a copy. */
  owned: Set<Storage>;
}

let passes: readonly Pass[] = [];

/** Queues a function for the end of the running backward pass, after every gradient is accumulated. */
export function queueCallback(callback: () => void): void {
  const pass = passes[passes.length - 1];
  if (!pass)
    throw new ShardbookError({
      code: 'SB_NO_BACKWARD',
      message: 'Cannot queue a callback: no backward pass is running',
    });
  pass.callbacks.push(callback);
}

/** Whether a node takes part in the running backward pass. */
export const willExecute = (node: Node): boolean => passes[passes.length - 1]?.nodes.has(node) ?? false;

export const isBackwardRunning = (): boolean => passes.length > 0;

export interface BackwardOptions {
  retainGraph?: boolean | undefined;
  createGraph?: boolean | undefined;
  inputs?: Tensor | readonly Tensor[] | undefined;
}

/** Gradients of the sum of `outputs . gradOutputs` accumulated into the leaves. */
export function backward(
  outputs: Tensor | readonly Tensor[],
  gradOutputs?: Tensor | null | readonly (Tensor | null)[],
  options: BackwardOptions = {},
): void {
  const roots = asList(outputs);
  const grads = rootGrads(roots, gradOutputs, 'backward', options.createGraph ?? false);
  const inputs = options.inputs === undefined ? null : asList(options.inputs);
  execute(
    roots,
    grads,
    options.retainGraph ?? options.createGraph ?? false,
    options.createGraph ?? false,
    inputs,
    true,
  );
}

export interface GradOptions {
  gradOutputs?: Tensor | null | readonly (Tensor | null)[];
  retainGraph?: boolean | null;
  createGraph?: boolean;
  allowUnused?: boolean;
  /** Zeros instead of null for unused inputs. */
  materializeGrads?: boolean;
}

/** Gradients with respect to `inputs`, returned; no .grad is touched. */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  gradOutputs?: Tensor | null | readonly (Tensor | null)[] | GradOptions,
  options?: GradOptions,
): (Tensor | null)[] {
  const positional = gradOutputs instanceof Tensor || Array.isArray(gradOutputs) || gradOutputs === null;
  const o: GradOptions =
    options ?? (positional || gradOutputs === undefined ? {} : (gradOutputs as GradOptions));
  const given = positional ? (gradOutputs as Tensor | null | readonly (Tensor | null)[]) : o.gradOutputs;
  const roots = asList(outputs);
  const targets = asList(inputs);
  const create = o.createGraph ?? false;
  const grads = rootGrads(roots, given, 'autograd.grad', create);
  for (const t of targets) {
    if (!t.requiresGrad)
      throw new ShardbookError({
        code: 'SB_NO_GRAD',
        message: `Cannot compute a gradient of ${t.describe()}: it does not require one`,
        help: 'call requiresGrad_() before it is used',
      });
  }
  const result = execute(roots, grads, o.retainGraph ?? create, create, targets, false);
  return result.map((g, i) => {
    if (g) return g;
    if (o.materializeGrads) return targets[i]!.detach().zerosLike();
    if (!(o.allowUnused ?? false)) {
      throw new ShardbookError({
        code: 'SB_UNUSED_INPUT',
        message: `Cannot compute the gradient of input ${i}: the outputs do not depend on it`,
        help: 'pass { allowUnused: true } to get null instead',
      });
    }
    return null;
  });
}

function asList(x: Tensor | readonly Tensor[]): Tensor[] {
  return x instanceof Tensor ? [x] : [...x];
}

function rootGrads(
  roots: readonly Tensor[],
  given: Tensor | null | undefined | readonly (Tensor | null)[],
  what: string,
  create: boolean,
): Tensor[] {
  const list =
    given === null || given === undefined ? roots.map(() => null) : given instanceof Tensor ? [given] : given;
  return roots.map((root, i) => {
    if (!root.requiresGrad) {
      throw new ShardbookError({
        code: 'SB_NO_GRAD',
        message: `Cannot run ${what}: ${root.describe()} does not require a gradient and has no history`,
        help: 'some input must require a gradient, and the operations must not run inside noGrad',
      });
    }
    const g = list[i] ?? null;
    if (!g) {
      if (numelOf(root.shape) !== 1) {
        throw new ShardbookError({
          code: 'SB_NOT_SCALAR',
          message: `Cannot run ${what}: a gradient is made only for scalars, the output is ${root.describe()}`,
          help: 'pass the gradient of the output, or reduce it with sum() or mean()',
        });
      }
      return withGradMode(create, () => root.detach().onesLike());
    }
    if (!sameShape(g.shape, root.shape)) {
      throw new ShardbookError({
        code: 'SB_GRAD_MISMATCH',
        message: `Cannot run ${what}: the gradient is ${g.describe()} and the output ${root.describe()}`,
      });
    }
    return g;
  });
}

/** Ready nodes: later operations first; of equals (leaves) the one that became ready first. */
class Queue {
  readonly #heap: { node: Node; order: number }[] = [];
  #order = 0;
  get size(): number {
    return this.#heap.length;
  }
  #before(a: { node: Node; order: number }, b: { node: Node; order: number }): boolean {
    return a.node.sequenceNr !== b.node.sequenceNr
      ? a.node.sequenceNr > b.node.sequenceNr
      : a.order < b.order;
  }
  push(node: Node): void {
    const h = this.#heap;
    const item = { node, order: this.#order++ };
    let i = h.length;
    h.push(item);
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!this.#before(item, h[up]!)) break;
      h[i] = h[up]!;
      i = up;
    }
    h[i] = item;
  }
  pop(): Node {
    const h = this.#heap;
    const top = h[0]!;
    const last = h.pop()!;
    if (h.length > 0) {
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= h.length) break;
        if (child + 1 < h.length && this.#before(h[child + 1]!, h[child]!)) child++;
        if (!this.#before(h[child]!, last)) break;
        h[i] = h[child]!;
        i = child;
      }
      h[i] = last;
    }
    return top.node;
  }
}

/** How many edges of the graph below `roots` lead to each node. */
function countDependencies(roots: readonly Node[]): Map<Node, number> {
  const count = new Map<Node, number>();
  const seen = new Set<Node>(roots);
  const stack = [...seen];
  while (stack.length > 0) {
    for (const edge of stack.pop()!.nextEdges) {
      if (!edge) continue;
      count.set(edge.node, (count.get(edge.node) ?? 0) + 1);
      if (!seen.has(edge.node)) {
        seen.add(edge.node);
        stack.push(edge.node);
      }
    }
  }
  return count;
}

/** The nodes from which some target can be reached. */
function reaching(roots: readonly Node[], targets: ReadonlySet<Node>): Set<Node> {
  const needed = new Set<Node>();
  const done = new Set<Node>();
  const stack: [Node, number][] = roots.map((n) => [n, 0]);
  while (stack.length > 0) {
    const top = stack[stack.length - 1]!;
    const [node, at] = top;
    if (at === 0 && done.has(node)) {
      stack.pop();
      continue;
    }
    if (at < node.nextEdges.length) {
      top[1]++;
      done.add(node);
      const next = node.nextEdges[at]?.node;
      if (next && !done.has(next)) stack.push([next, 0]);
      continue;
    }
    done.add(node);
    stack.pop();
    if (targets.has(node) || node.nextEdges.some((e) => e && needed.has(e.node))) needed.add(node);
  }
  return needed;
}

function execute(
  roots: readonly Tensor[],
  rootGradients: readonly Tensor[],
  keep: boolean,
  create: boolean,
  inputs: readonly Tensor[] | null,
  accumulate: boolean,
): (Tensor | null)[] {
  const pass: Pass = { callbacks: [], nodes: new Set<Node>(), owned: new Set() };
  const passesBefore = passes;
  const run = (): (Tensor | null)[] => {
    const result = walk(pass, roots, rootGradients, keep, inputs, accumulate);
    for (let i = 0; i < pass.callbacks.length; i++) pass.callbacks[i]!();
    return result;
  };
  return runThen(
    () => {
      passes = [...passes, pass];
      return withState({ gradEnabled: create, belowAutograd: false, autocast: null }, run);
    },
    () => {
      passes = passesBefore;
    },
  );
}

function walk(
  pass: Pass,
  roots: readonly Tensor[],
  rootGradients: readonly Tensor[],
  keep: boolean,
  inputs: readonly Tensor[] | null,
  accumulate: boolean,
): (Tensor | null)[] {
  const edges = roots.map((r) => r.gradEdge()!);
  const rootNodes = [...new Set(edges.map((e) => e.node))];
  const captures = inputs ? inputs.map((t) => t.gradEdge()) : [];
  const captured: (Tensor | null)[] = captures.map(() => null);
  const captureAt = new Map<Node, { index: number; slot: number }[]>();
  captures.forEach((e, slot) => {
    if (!e) return;
    captureAt.set(e.node, [...(captureAt.get(e.node) ?? []), { index: e.index, slot }]);
  });
  const needed = inputs ? reaching(rootNodes, new Set(captureAt.keys())) : null;
  const waiting = countDependencies(rootNodes);
  pass.nodes = needed ?? { has: (node) => waiting.has(node) || rootNodes.includes(node) };
  const buffers = new Map<Node, Grads>();
  const queue = new Queue();
  const add = (edge: Edge, gradient: Tensor): void => {
    const buffer = buffers.get(edge.node) ?? [];
    const old = buffer[edge.index];
    const sum = old ? old.add(gradient) : gradient;
    buffer[edge.index] = sum;
    buffers.set(edge.node, buffer);
    if (memory.listener !== null) {
      memory.listener.hold(storageOf(sum), 'Temp', undefined);
      if (old) memory.listener.drop(storageOf(old), 'Temp');
    }
    if (old && tracks(sum)) {
      recycle(pass.owned, [old, gradient]);
      pass.owned.add(sum.storage);
    }
  };
  edges.forEach((e, i) => {
    add(e, rootGradients[i]!);
  });
  for (const node of rootNodes) if (!waiting.get(node)) queue.push(node);
  while (queue.size > 0) {
    const node = queue.pop();
    const buffer = buffers.get(node) ?? [];
    let grads = fill(buffer, node);
    buffers.delete(node);
    const taken = captureAt.get(node);
    const active = !needed || needed.has(node);
    let results: Grads = [];
    let dead: readonly Storage[] = [];
    if (active) {
      const leads = !needed || node.nextEdges.some((e) => e && needed.has(e.node));
      // Of a node that is run as well PyTorch returns what its hooks are given.
      if (leads && taken) {
        for (const { index, slot } of taken) captured[slot] = grads[index] ?? null;
        disown(pass.owned, grads);
      }
      grads = runHooks(node, grads);
      if (!leads) for (const { index, slot } of taken ?? []) captured[slot] = grads[index] ?? null;
      const isLeaf = node.sequenceNr === Number.POSITIVE_INFINITY;
      if (isLeaf ? accumulate : leads) {
        for (const hook of [...node.preHooks]) grads = hook(grads) ?? grads;
        // Who saw a gradient may have kept it.
        const seen =
          node.tensorHooks.some(({ sees }) => sees) || node.preHooks.length + node.retained.size > 0 || taken;
        if (seen) disown(pass.owned, grads);
        const latest = Storage.latestId;
        results = grads.some((g) => g) ? node.apply(grads) : node.nextEdges.map(() => null);
        if (node.postHooks.length > 0 || !(node instanceof OpNode)) disown(pass.owned, grads);
        else dead = own(pass.owned, grads, results, latest);
        for (const hook of [...node.postHooks]) results = hook(results, grads) ?? results;
        if (!keep) node.release();
      }
    }
    node.nextEdges.forEach((edge, i) => {
      if (!edge) return;
      const g = results[i];
      if (g) add(edge, validate(node, g, edge));
      const left = waiting.get(edge.node)! - 1;
      waiting.set(edge.node, left);
      if (left === 0) queue.push(edge.node);
    });
    if (memory.listener !== null) for (const g of buffer) if (g) memory.listener.drop(storageOf(g), 'Temp');
    for (const storage of dead) storage.recycle();
  }
  return captured;
}

/** Whether it can be known who shares a gradient's memory: a plain tensor, first derivatives, no mode that listens. */
function tracks(g: Tensor): boolean {
  return !state.gradEnabled && g.constructor === Tensor && activeModes().length === 0;
}

function disown(owned: Set<Storage>, grads: Grads): void {
  if (owned.size === 0) return;
  for (const g of grads) if (g?.constructor === Tensor) owned.delete(g.storage);
}

/** The memory of gradients that went into a sum and are nobody else's. */
function recycle(owned: Set<Storage>, grads: Grads): void {
  for (const g of grads) if (g && tracks(g) && owned.delete(g.storage)) g.storage.recycle();
}

/**
 * After a rule ran: its results own memory that is new, or that was their gradient's and went into one result only. Returns the
 * memory of gradients that went into none, which nobody will look at again.
 */
function own(owned: Set<Storage>, grads: Grads, results: Grads, latest: number): Storage[] {
  const mine = new Set<Storage>();
  const shared = new Set<Storage>();
  for (const r of results) {
    if (!r || !tracks(r)) continue;
    const { storage } = r;
    if (mine.has(storage)) shared.add(storage);
    else if (storage.id > latest || owned.has(storage)) mine.add(storage);
  }
  // A result that stands for other tensors may have the gradient inside.
  const plain = results.every((r) => !r || r.constructor === Tensor);
  const dead = new Set<Storage>();
  if (plain) for (const g of grads) if (g && tracks(g) && owned.has(g.storage)) dead.add(g.storage);
  for (const r of results) if (r?.constructor === Tensor) dead.delete(r.storage);
  disown(owned, grads);
  for (const storage of mine) if (!shared.has(storage)) owned.add(storage);
  return [...dead];
}

/** The gradient itself as a leaf's .grad where nobody else has it and it fills its memory in order. */
function unshared(gradient: Tensor): Tensor | null {
  const owned = passes[passes.length - 1]?.owned;
  if (!owned?.has(gradient.storage) || !tracks(gradient)) return null;
  owned.delete(gradient.storage);
  const { storage, shape, dtype } = gradient;
  if (!gradient.isContiguous() || storage.nbytes !== gradient.numel() * dtype.itemsize) return null;
  return new Tensor({ storage, shape, dtype, device: gradient.device });
}

function fill(grads: Grads, node: Node): Grads {
  const n = Math.max(node.inputMeta.length, grads.length);
  return Array.from({ length: n }, (_, i) => grads[i] ?? null);
}

function runHooks(node: Node, given: Grads): Grads {
  let grads = given;
  for (const { index, hook } of [...node.tensorHooks]) {
    const g = grads[index];
    if (!g) continue;
    const next = hook(g);
    if (next) {
      if (!sameShape(next.shape, g.shape)) {
        throw new ShardbookError({
          code: 'SB_HOOK',
          message: `Cannot use what a hook returned: it is ${next.describe()} and the gradient ${g.describe()}`,
        });
      }
      if (next.dtype !== g.dtype) {
        throw new ShardbookError({
          code: 'SB_HOOK',
          message: `Cannot use what a hook returned: it is ${next.dtype.name} and the gradient ${g.dtype.name}`,
        });
      }
      grads = [...grads.slice(0, index), next, ...grads.slice(index + 1)];
    }
  }
  for (const [index, tensor] of node.retained) {
    const g = grads[index];
    if (!g) continue;
    const old = tensor.grad;
    tensor.setGrad(old ? old.add(g) : state.gradEnabled ? g : g.detach());
  }
  return grads;
}

/** A gradient must look like the tensor it belongs to: broadcast dimensions are summed, the dtype is cast. */
function validate(node: Node, g: Tensor, edge: Edge): Tensor {
  const meta: InputMeta | undefined = edge.node.inputMeta[edge.index];
  if (!meta) return g;
  let out = g;
  if (!sameShape(out.shape, meta.shape)) {
    if (out.shape.length < meta.shape.length && numelOf(out.shape) !== numelOf(meta.shape)) {
      throw new ShardbookError({
        code: 'SB_GRAD_MISMATCH',
        message: `Cannot go on backward: "${node.name}" returned a gradient ${g.describe()} for a tensor of shape [${meta.shape.join(', ')}]`,
      });
    }
    out = out.sumToSize(meta.shape);
  }
  return out.dtype === meta.dtype ? out : out.to(meta.dtype);
}

installGradAccess({
  accumulate(variable: Tensor, gradient: Tensor): void {
    const old = variable.peekGrad();
    if (!old) {
      // A gradient that is a view or still used elsewhere is copied: .grad is the leaf's own.
      if (state.gradEnabled) variable.setGrad(gradient.clone());
      else variable.setGrad(unshared(gradient) ?? gradient.ownCopy(), true);
    } else if (state.gradEnabled) variable.setGrad(old.add(gradient));
    else {
      // In place, so that who holds .grad sees the sum.
      old.add_(gradient);
    }
  },
  refreshView: viewEdge,
});

export type { AccumulateGrad };
