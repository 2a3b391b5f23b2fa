/** Tensor subclasses: gradients stay of their kind, views written in place find their history. */
import { beforeAll, describe, expect, it } from 'vitest';
import { referenceBackend } from '../backend/index.js';
import { applyInplace, applyOp, type OpCall, registerSubclass } from './dispatch.js';
import { setBackend, slice, Tensor, torch } from './index.js';
import { Storage } from './storage.js';

/** Holds a plain tensor; answers only for itself and for plain 0-dim and index tensors, as DTensor does. */
class Boxed extends Tensor {
  constructor(readonly held: Tensor) {
    super({ storage: Storage.meta(0), shape: held.shape, dtype: held.dtype, device: 'meta' });
  }
}
const mixed: string[] = [];

function unbox(t: Tensor | null, call: OpCall): Tensor | null {
  if (t && !(t instanceof Boxed) && t.shape.length > 0 && t.dtype.isFloatingPoint) mixed.push(call.name);
  return t instanceof Boxed ? t.held : t;
}
function handle(call: OpCall): Tensor | Tensor[] {
  const inputs = call.inputs.map((t) => unbox(t, call));
  if (call.inplace) {
    applyInplace(call.name, inputs, call.params as never);
    return call.inputs[0]!;
  }
  const out = applyOp(call.name, inputs, call.params as never) as Tensor | Tensor[];
  const box = (t: Tensor): Tensor => {
    const boxed = new Boxed(t);
    const from = call.inputs[0];
    if (t.versionCounter === inputs[0]?.versionCounter && from) boxed.versionCounter = from.versionCounter;
    return boxed;
  };
  return Array.isArray(out) ? out.map(box) : box(out);
}

const data = (): Tensor => torch.arange(12, { dtype: torch.float32 }).reshape(3, 4).add(1);
const at = (...v: number[]): Tensor => torch.tensor(v);

const uses: Record<string, (x: Tensor) => Tensor> = {
  select: (x) => x.get(1),
  'slice with a step': (x) => x.get(slice(0, 3, 2)),
  slice: (x) => x.get(slice(1, 3)),
  diagonal: (x) => x.diagonal(1),
  unfold: (x) => x.unfold(1, 2, 1),
  gather: (x) =>
    x.gather(
      1,
      torch.tensor([
        [0, 0],
        [1, 2],
        [3, 3],
      ]),
    ),
  index: (x) => x.get(at(0, 2, 0)),
  indexSelect: (x) => x.indexSelect(1, at(0, 0, 3)),
  maskedSelect: (x) => x.maskedSelect(torch.tensor([true, false, true, true])),
  max: (x) => x.max(1)[0],
  topk: (x) => x.topk(2, 0)[0],
  sort: (x) => x.sort(0, { descending: true })[0],
  median: (x) => x.median(1)[0],
  cummax: (x) => x.cummax(1)[0],
  split: (x) => x.split(2, 1)[1]!,
  unbind: (x) => x.unbind(0)[2]!,
  relu: (x) => x.sub(4).relu(),
  floor: (x) => x.floor(),
  fill: (x) => x.clone().fill_(2),
  maximum: (x) => torch.maximum(x, x.flip(0)),
  'in-place on a view': (x) => {
    const y = x.mul(2);
    y.get(0).mul_(x.get(1));
    return y.mul(y);
  },
  'a view of what is written': (x) => {
    const y = x.mul(2);
    const row = y.get(2, slice(1, 3));
    y.mul_(x);
    return row.mul(row);
  },
  'in-place on a view of a view': (x) => {
    const y = x.mul(2);
    y.transpose(0, 1).get(1).add_(1).mul_(3);
    return y.mul(y);
  },
};

describe('Tensor subclasses', () => {
  beforeAll(() => {
    setBackend(referenceBackend);
    registerSubclass(Boxed, handle);
  });
  it.each(Object.keys(uses))('gradient of %s is a subclass and equals the plain one', (name) => {
    const plain = data().requiresGrad_();
    uses[name]!(plain).sum().backward();
    const boxed = new Boxed(data());
    boxed.requiresGrad = true;
    mixed.length = 0;
    uses[name]!(boxed).sum().backward();
    expect(boxed.grad).toBeInstanceOf(Boxed);
    expect((boxed.grad as Boxed).held.tolist()).toEqual(plain.grad!.tolist());
    expect(mixed).toEqual([]);
  });
});
