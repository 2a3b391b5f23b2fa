import { describe, expect, it } from 'vitest';
import { referenceBackend } from '../backend/index.js';
import { ShardbookError } from '../base/index.js';
import { setBackend, type Tensor, torch } from '../tensor/index.js';
import * as F from './functional/index.js';
import * as nn from './index.js';

setBackend(referenceBackend);

const close = (a: Tensor, b: Tensor, atol = 1e-5): boolean => torch.allclose(a, b, { atol });

describe('F.scaledDotProductAttention', () => {
  it('gives zeros in rows that may see nothing', () => {
    const x = torch.ones([1, 1, 2, 4]);
    const mask = torch.tensor([
      [true, true],
      [false, false],
    ]);
    const out = F.scaledDotProductAttention(x, x, x, { attnMask: mask });
    expect(out.select(2, 1).abs().sum().item()).toBe(0);
    expect(out.select(2, 0).tolist()).toEqual([[[1, 1, 1, 1]]]);
  });

  it('attends every packed sequence on its own with cumulative lengths', () => {
    torch.manualSeed(1);
    const [q, k, v] = [torch.randn([5, 2, 4]), torch.randn([5, 2, 4]), torch.randn([5, 2, 4])] as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const [out, lse] = F.varlenAttention(q, k, v, [0, 2, 5], [0, 2, 5], { isCausal: true });
    const part = (t: Tensor): Tensor => t.narrow(0, 2, 3).transpose(0, 1);
    const alone = F.scaledDotProductAttention(part(q), part(k), part(v), { isCausal: true }).transpose(0, 1);
    expect(close(out.narrow(0, 2, 3), alone)).toBe(true);
    expect(lse.shape).toEqual([2, 5]);
    expect(() => F.varlenAttention(q, k, v, [0, 2, 4])).toThrow(ShardbookError);
  });

  it('merges blocks of keys by their log-sum-exp', () => {
    torch.manualSeed(2);
    const [q, k, v] = [torch.randn([1, 3, 4]), torch.randn([1, 4, 4]), torch.randn([1, 4, 4])] as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const block = (start: number): [Tensor, Tensor] =>
      F.attentionWithLse(q, k.narrow(1, start, 2), v.narrow(1, start, 2));
    const [o1, l1] = block(0);
    const [o2, l2] = block(2);
    const total = torch.logaddexp(l1, l2);
    const merged = o1.mul(l1.sub(total).exp().unsqueeze(-1)).add(o2.mul(l2.sub(total).exp().unsqueeze(-1)));
    expect(close(merged, F.scaledDotProductAttention(q, k, v))).toBe(true);
  });

  it('names shapes and the cure when query heads share key heads without enableGqa', () => {
    const q = torch.ones([1, 4, 2, 4]);
    const k = torch.ones([1, 2, 2, 4]);
    expect(() => F.scaledDotProductAttention(q, k, k)).toThrow(/f32\[1, 4, 2, 4\].*enableGqa/s);
    expect(F.scaledDotProductAttention(q, k, k, { enableGqa: true }).shape).toEqual([1, 4, 2, 4]);
  });

  it('drops attention weights with dropoutP and keeps the expectation', () => {
    torch.manualSeed(3);
    const v = torch.ones([1, 64, 4]);
    const out = F.scaledDotProductAttention(v, v, v, { dropoutP: 0.5 });
    expect(Number(out.mean().item())).toBeCloseTo(1, 0);
    expect(torch.equal(out, torch.ones([1, 64, 4]))).toBe(false);
  });
});

describe('F losses', () => {
  it('crossEntropy divides the mean by the weights of the targets that count', () => {
    const logits = torch
      .tensor([
        [1, 2, 0.5],
        [0, 0.5, 1],
        [1, 1, 1.5],
      ])
      .requiresGrad_(true);
    const target = torch.tensor([0, -100, 2]);
    const weight = torch.tensor([1, 2, 3.5]);
    const options = { weight, ignoreIndex: -100 } as const;
    const each = F.crossEntropy(logits, target, { ...options, reduction: 'none' });
    const mean = F.crossEntropy(logits, target, options);
    expect(close(mean, each.sum().div(4.5))).toBe(true);
    mean.backward();
    expect(logits.grad?.select(0, 1).abs().sum().item()).toBe(0);
  });

  it('crossEntropy with class indices equals the one with one-hot probabilities, also with smoothing', () => {
    const logits = torch.tensor([
      [1, 2, 0.5],
      [0, 0.5, 1],
    ]);
    const target = torch.tensor([0, 2]);
    const dense = F.oneHot(target, 3).to(torch.float32);
    for (const labelSmoothing of [0, 0.3]) {
      expect(
        close(
          F.crossEntropy(logits, target, { labelSmoothing }),
          F.crossEntropy(logits, dense, { labelSmoothing }),
        ),
      ).toBe(true);
    }
  });

  it('refuses class indices out of range, of another dtype or shape, and unknown reductions', () => {
    const logits = torch.zeros([2, 3]);
    const bad: (() => unknown)[] = [
      () => F.crossEntropy(logits, torch.tensor([0, 3])),
      () => F.crossEntropy(logits, torch.tensor([0, 1], { dtype: torch.int32 })),
      () => F.crossEntropy(logits, torch.tensor([0])),
      () => F.crossEntropy(logits, torch.tensor([0, 1]), { reduction: 'avg' as 'mean' }),
    ];
    for (const call of bad) expect(call).toThrow(ShardbookError);
  });

  it('binaryCrossEntropy stays finite at 0 and 1', () => {
    const p = torch.tensor([0, 1, 0.5]).requiresGrad_(true);
    const loss = F.binaryCrossEntropy(p, torch.tensor([1, 1, 1]).to(torch.float32));
    loss.backward();
    expect(loss.item()).toBeCloseTo((100 + Math.log(2)) / 3, 3);
    expect(p.grad?.isfinite().all().item()).toBe(true);
  });

  it('hardtanh has no gradient at its ends', () => {
    const x = torch.tensor([-1, 0.5, 1]).requiresGrad_(true);
    F.hardtanh(x).sum().backward();
    expect(x.grad?.tolist()).toEqual([0, 1, 0]);
  });
});

describe('F padding and convolution', () => {
  it('pads by reflection, replication and wrapping', () => {
    const x = torch.tensor([[1, 2, 3]]);
    expect(F.pad(x, [2, 1], { mode: 'reflect' }).tolist()).toEqual(
      [[3, 2, 1, 2, 3, 2].map(BigInt)].map((r) => r.map(Number)),
    );
    expect(F.pad(x, [1, 1], { mode: 'replicate' }).tolist()).toEqual([[1, 1, 2, 3, 3]]);
    expect(F.pad(x, [1, 1], { mode: 'circular' }).tolist()).toEqual([[3, 1, 2, 3, 1]]);
  });

  it('conv1d and conv2d equal sums over the kernel, with stride, padding and groups', () => {
    const x = torch.tensor([[[1, 2, 3, 4, 5.5]]]);
    const w = torch.tensor([[[1, 0, -1.5]]]);
    expect(F.conv1d(x, w, { stride: 2, padding: 1 }).tolist()).toEqual([[[-3, 2 - 6, 4]]]);
    const conv = new nn.Conv2d(2, 4, 2, { groups: 2 });
    const image = torch.ones([1, 2, 3, 3]);
    const expected = conv.weight.sum([1, 2, 3]).add(conv.bias!);
    expect(close(conv(image).select(3, 0).select(2, 1).reshape([4]), expected)).toBe(true);
  });
});

describe('nn.init', () => {
  it('draws a Linear as PyTorch does', () => {
    torch.manualSeed(0);
    const fc = new nn.Linear(2, 2);
    // What PyTorch 2.13 prints for torch.manual_seed(0); nn.Linear(2, 2).
    expect(fc.weight.tolist()).toEqual([
      [-0.005293981172144413, 0.37932288646698],
      [-0.5819807648658752, -0.5203874707221985],
    ]);
    expect(fc.bias?.tolist()).toEqual([-0.27234524488449097, 0.1896158903837204]);
  });

  it('orthogonal_ gives orthonormal rows', () => {
    const w = nn.init.orthogonal_(torch.empty([3, 5]));
    expect(close(w.matmul(w.t()), torch.eye(3), 1e-5)).toBe(true);
  });

  it('skipInit draws nothing', () => {
    torch.manualSeed(5);
    const before = torch.rand([1]).item();
    torch.manualSeed(5);
    nn.utils.skipInit(nn.Linear, 2, 3);
    expect(torch.rand([1]).item()).toBe(before);
  });
});

describe('second derivatives', () => {
  const at = (...shape: number[]): Tensor => torch.randn(shape, { dtype: torch.float64 }).requiresGrad_();
  const forms: [string, (q: Tensor, k: Tensor, v: Tensor) => Tensor][] = [
    ['plain', (q, k, v) => F.scaledDotProductAttention(q, k, v)],
    ['causal', (q, k, v) => F.scaledDotProductAttention(q, k, v, { isCausal: true, scale: 0.7 })],
    [
      'masked',
      (q, k, v) => {
        const attnMask = torch.ones([3, 3], { dtype: torch.bool }).tril().logicalNot();
        return F.scaledDotProductAttention(q, k, v, { attnMask });
      },
    ],
  ];
  it.each(forms)('of %s attention agree with finite differences', (_, attention) => {
    torch.manualSeed(3);
    const inputs = [at(2, 3, 2), at(2, 3, 2), at(2, 3, 2)] as const;
    expect(torch.autograd.gradgradcheck(attention as never, [...inputs])).toBe(true);
  });
});
