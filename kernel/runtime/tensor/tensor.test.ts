import { beforeAll, describe, expect, it } from 'vitest';
import { referenceBackend } from '../backend/index.js';
import { autograd, noGrad, setBackend, slice, type Tensor, torch } from './index.js';

beforeAll(() => setBackend(referenceBackend));

describe('Tensor', () => {
  it('prints as PyTorch does', () => {
    expect(
      String(
        torch.tensor([
          [1.5, 2],
          [3, 4],
        ]),
      ),
    ).toBe('tensor([[1.5000, 2.0000],\n        [3.0000, 4.0000]])');
    expect(String(torch.arange(3))).toBe('tensor([0, 1, 2])');
  });
  it('prints gaps, widths, ties and long suffixes as PyTorch does', () => {
    expect(String(torch.arange(2000))).toBe('tensor([   0,    1,    2,  ..., 1997, 1998, 1999])');
    expect(String(torch.tensor([Infinity, 1, 2]))).toBe('tensor([inf, 1., 2.])');
    expect(String(torch.tensor(49.78125))).toBe('tensor(49.7812)');
    expect(String(torch.tensor([1e-6, -0]))).toBe('tensor([1.0000e-06, -0.0000e+00])');
    const wide = torch.full([1, 4], 12345.5, { dtype: torch.bfloat16, requiresGrad: true });
    expect(String(wide)).toBe(
      'tensor([[12352., 12352., 12352., 12352.]], dtype=torch.bfloat16,\n       requires_grad=True)',
    );
    expect(String(torch.ones([2]).requiresGrad_().mul(2))).toBe('tensor([2., 2.], grad_fn=<MulBackward0>)');
  });
  it('a default device holds inside a scope or until it is changed', () => {
    const inside = torch.device('meta', () => [torch.zeros([2]), torch.randn([2]), torch.tensor([1])]);
    expect(inside.map((t) => t.device)).toEqual(['meta', 'meta', 'meta']);
    expect(torch.zeros([2]).device).toBe('cpu');
    torch.setDefaultDevice('meta');
    try {
      expect([torch.ones([2]).device, torch.ones([2], { device: 'cpu' }).device]).toEqual(['meta', 'cpu']);
    } finally {
      torch.setDefaultDevice('cpu');
    }
    expect(() => torch.setDefaultDevice('cuda' as 'cpu')).toThrow(/no device "cuda"/);
  });
  it('get gives views that share storage; writing one is seen by the other', () => {
    const x = torch.zeros([2, 3]);
    x.get(1, slice(0, 2)).fill_(7);
    expect(x.tolist()).toEqual([
      [0, 0, 0],
      [7, 7, 0],
    ]);
  });
  it('keeps int64 exact and wraps on overflow', () => {
    const x = torch.tensor([9223372036854775807n]);
    expect(x.add(1).item()).toBe(-9223372036854775808n);
  });
  it('promotes by category: a number does not widen a tensor', () => {
    expect(torch.ones([2], { dtype: torch.float16 }).mul(1.5).dtype).toBe(torch.float16);
    expect(torch.ones([2], { dtype: torch.int32 }).add(1.5).dtype).toBe(torch.float32);
  });
  it('matmul names the operands whose sizes differ', () => {
    expect(() => torch.zeros([3, 4]).matmul(torch.zeros([5, 6]))).toThrow(
      'Cannot run "matmul": f32[3, 4] and f32[5, 6]: inner sizes 4 and 5 differ',
    );
  });
  it('data that is not allocated is refused with a code', () => {
    const meta = torch.zeros([2], { device: 'meta' });
    expect(() => meta.storage.buffer).toThrow(expect.objectContaining({ code: 'SB_META' }));
  });

  it('meta tensors carry shape and dtype through operations', () => {
    const y = torch.empty([2, 3], { device: 'meta' }).matmul(torch.empty([3, 5], { device: 'meta' }));
    expect([y.device, ...y.shape]).toEqual(['meta', 2, 5]);
  });
});

describe('autograd', () => {
  const leaf = (data: number[]): Tensor => torch.tensor(data, { dtype: torch.float64, requiresGrad: true });
  it('accumulates into leaves and refuses a second pass', () => {
    const x = leaf([1, 2]);
    const y = x.mul(x).sum();
    y.backward();
    expect(x.grad!.tolist()).toEqual([2, 4]);
    expect(() => y.backward()).toThrow('second time');
  });
  it('in-place on a view rewrites the history of the base', () => {
    const x = leaf([1, 2]);
    const y = x.mul(1);
    y.get(0).mul_(10);
    y.sum().backward();
    expect(x.grad!.tolist()).toEqual([10, 1]);
  });
  it('names the version when a saved tensor was changed', () => {
    const x = leaf([1, 2]);
    const y = x.exp();
    y.add_(1);
    expect(() => y.sum().backward()).toThrow('modified by an in-place operation');
  });
  it('grad with createGraph differentiates twice', () => {
    const x = leaf([3]);
    const [g] = autograd.grad(x.pow(3).sum(), [x], { createGraph: true });
    const [h] = autograd.grad(g!.sum(), [x]);
    expect(h!.item()).toBeCloseTo(18);
  });
  it('gradcheck confirms fused operations', () => {
    const x = torch.rand([3, 4], { dtype: torch.float64, requiresGrad: true });
    expect(autograd.gradcheck((t) => t.logSoftmax(1).mul(t), [x])).toBe(true);
    expect(autograd.gradcheck((t) => torch.layerNorm(t, [4]).square(), [x])).toBe(true);
  });
  it('noGrad records nothing', () => {
    const x = leaf([1]);
    expect(noGrad(() => x.mul(2)).requiresGrad).toBe(false);
  });
});
