/** History of a base that was written through one of its views. */
import { applyOp } from '../dispatch.js';
import { placesOf } from '../kernels/index.js';
import { reshape } from '../ops/views.js';
import type { Tensor } from '../tensor.js';
import { type Grads, Node } from './node.js';
import { installCopySlices, metaOf } from './record.js';

/** The gradient of the written part goes through the operation that wrote it; the rest passes on. */
class CopySlices extends Node {
  readonly #at: Tensor;
  constructor(
    base: Tensor,
    view: Tensor,
    readonly inner: Node,
  ) {
    super('CopySlices');
    this.nextEdges.push(base.gradEdge(), ...inner.nextEdges.slice(1));
    this.inputMeta.push(metaOf(base));
    // Storage places of the view, as positions in the base in order.
    const all = placesOf({ shape: base.shape, strides: base.strides, offset: base.storageOffset });
    const mine = placesOf({ shape: view.shape, strides: view.strides, offset: view.storageOffset });
    const where = new Map<bigint, bigint>();
    const values = (t: Tensor): BigInt64Array => t.storage.as(t.dtype) as BigInt64Array;
    values(all).forEach((v, i) => {
      where.set(v, BigInt(i));
    });
    const data = values(mine);
    for (let i = 0; i < data.length; i++) data[i] = where.get(data[i]!) ?? 0n;
    this.#at = mine;
    this.#viewShape = view.shape;
  }
  readonly #viewShape: readonly number[];
  override release(): void {
    this.inner.release();
  }
  override apply(grads: Grads): Grads {
    const grad = grads[0]!;
    const flat = reshape(grad, [-1]);
    const part = reshape(applyOp('indexSelect', [flat, this.#at], { dim: 0 }), this.#viewShape);
    const inner = this.inner.apply([part]);
    const written = inner[0] ? reshape(inner[0], [-1]) : part.zerosLike().reshape([-1]);
    const base = reshape(applyOp('indexCopy', [flat, this.#at, written], { dim: 0 }), grad.shape);
    return [base, ...inner.slice(1)];
  }
}

/** The same for tensor subclasses: strides say nothing of them, so the view is made again of the gradient. */
class ReplayedSlices extends Node {
  readonly #replay: (base: Tensor) => Tensor;
  constructor(
    base: Tensor,
    view: Tensor,
    readonly inner: Node,
  ) {
    super('CopySlices');
    this.nextEdges.push(base.gradEdge(), ...inner.nextEdges.slice(1));
    this.inputMeta.push(metaOf(base));
    this.#replay = view.viewReplay!;
  }
  override release(): void {
    this.inner.release();
  }
  override apply(grads: Grads): Grads {
    const whole = grads[0]!.clone();
    const part = this.#replay(whole);
    const inner = this.inner.apply([part.clone()]);
    part.copy_(inner[0] ?? part.zerosLike());
    return [whole, ...inner.slice(1)];
  }
}

installCopySlices((base, view, node) => {
  // The operation differentiates the view even where the view itself had no gradient before.
  const inner = node as Node & { needs?: boolean[] };
  if (inner.needs && base.requiresGrad) inner.needs[0] = true;
  return view.viewReplay ? new ReplayedSlices(base, view, node) : new CopySlices(base, view, node);
});
