/** Figures counted by hand for small programs. */
import { describe, expect, it } from 'vitest';
import {
  claimMemory,
  dist,
  F,
  MemoryLedger,
  nn,
  noGrad,
  optim,
  ShardbookError,
  type Tensor,
  torch,
} from '../index.js';

const KIB = 1024;
const floats = (n: number): Tensor => torch.zeros([n]);

describe('MemoryLedger', () => {
  it('counts a module, its gradients and its optimizer state', () => {
    const model = new nn.Linear(8, 4);
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1 });
    const ledger = new MemoryLedger().start().track(model).track(optimizer);
    const bytes = (8 * 4 + 4) * 4;
    expect(ledger.categories).toEqual({ Parameter: bytes });
    const step = (): void => {
      model
        .call(torch.ones([2, 8]))
        .sum()
        .backward();
      expect(ledger.categories['Gradient']).toBe(bytes);
      expect(ledger.categories['Activation']).toBeUndefined();
      optimizer.step();
    };
    step();
    const moments = ledger.categories['Optstate']!;
    expect(moments).toBeGreaterThanOrEqual(2 * bytes);
    optimizer.zeroGrad();
    expect(ledger.categories['Gradient']).toBeUndefined();
    step();
    expect(ledger.categories['Optstate']).toBe(moments);
    ledger.stop();
  });

  it('keeps what autograd saves until backward has used it', () => {
    const w = torch.ones([16, 16], { requiresGrad: true });
    const x = torch.ones([4, 16]);
    const ledger = new MemoryLedger().start();
    const y = x.matmul(w).relu();
    // x for the gradient of w, the result of relu for its own; x needs no gradient, so w is not kept.
    expect(ledger.categories['Activation']).toBe(4 * 16 * 4 + 4 * 16 * 4);
    y.sum().backward();
    expect(ledger.categories['Activation']).toBeUndefined();
    expect(ledger.categories['Gradient']).toBe(16 * 16 * 4);
    ledger.stop();
  });

  it('counts what passes by while an operation runs, in the peak only', () => {
    const x = floats(KIB);
    const ledger = new MemoryLedger().track(x, 'Inputs').start();
    noGrad(() => x.add(1).mul(2).sum());
    // x, the sum and the product: 4 KiB each.
    expect(ledger.peak.bytes).toBe(12 * KIB);
    expect(ledger.peak.at).toBe('mul');
    expect(ledger.peak.categories).toEqual({ Inputs: 4 * KIB, Temp: 8 * KIB });
    ledger.stop();
  });

  it('follows claims, moves and storages that are resized', () => {
    const ledger = new MemoryLedger().start();
    const t = floats(KIB);
    const claim = claimMemory(t, 'All Gather', 'block 0');
    expect(ledger.categories).toEqual({ 'All Gather': 4 * KIB });
    claim.move('Unsharded Param');
    t.storage.resize(0);
    expect(ledger.total).toBe(0);
    t.storage.resize(4 * KIB);
    expect(ledger.categories).toEqual({ 'Unsharded Param': 4 * KIB });
    claim.release();
    claim.release();
    expect(ledger.total).toBe(0);
    expect(ledger.peak.bytes).toBe(4 * KIB);
    ledger.stop();
  });

  it('holds the buffers of a call until it has been waited for', () => {
    dist.initProcessGroup();
    const [shard, full] = [floats(KIB), floats(KIB)];
    const ledger = new MemoryLedger().start();
    const work = dist.allGatherSingle(full, shard, { asyncOp: true });
    expect(ledger.categories).toEqual({ 'All Gather': 8 * KIB });
    work!.wait();
    expect(ledger.total).toBe(0);
    ledger.track(full, 'Parameter');
    dist.allReduce(full);
    expect(ledger.categories).toEqual({ Parameter: 4 * KIB });
    ledger.stop();
    dist.destroyProcessGroup();
  });

  it('throws when the capacity is exceeded, and lists what was alive', () => {
    const ledger = new MemoryLedger({ capacity: 10 * KIB, rank: 3 }).start();
    const weights = floats(2 * KIB);
    ledger.track(weights, 'Parameter');
    let error: unknown;
    try {
      noGrad(() => weights.add(1));
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(ShardbookError);
    const { code, message, notes } = error as ShardbookError;
    expect(code).toBe('SB_OUT_OF_MEMORY');
    expect(message).toContain(
      'Cannot go on with "add" on rank 3: it needs 16 KiB in all, the device has 10 KiB',
    );
    expect(notes.join('\n')).toMatch(/8 KiB {2}Parameter[\s\S]*8 KiB {2}Temp {2}f32\[2048\] of add/);
    expect(ledger.total).toBe(8 * KIB);
    ledger.stop();
  });

  it('gives the same peak on every run, and less with checkpointing', () => {
    const layers = Array.from({ length: 6 }, () => new nn.Linear(32, 32));
    const peak = (checkpointed: boolean): number => {
      const ledger = new MemoryLedger();
      for (const layer of layers) for (const p of layer.parameters()) p.grad = null;
      ledger.run(() => {
        let h: Tensor = torch.ones([64, 32]);
        for (const layer of layers) {
          const block = (x: Tensor): Tensor => F.gelu(layer.call(x) as Tensor);
          h = checkpointed ? torch.utils.checkpoint.checkpoint(block, h) : block(h);
        }
        h.sum().backward();
      });
      expect(ledger.categories['Activation']).toBeUndefined();
      return ledger.peak.bytes;
    };
    const plain = peak(false);
    expect(peak(false)).toBe(plain);
    expect(peak(true)).toBeLessThan(plain);
  });

  it("has the figures of PyTorch's MemTracker, but for what only variables hold", () => {
    // torch 2.13, torch.distributed._tools.mem_tracker, second of two steps of AdamW(foreach=False): after backward, and the peak.
    const recorded = [
      { batch: 64, d: 32, param: 28208, grad: 28208, opt: 56440, peak: 156640 },
      { batch: 256, d: 64, param: 105520, grad: 105520, opt: 211064, peak: 859360 },
    ];
    for (const { batch, d, param, grad, opt, peak } of recorded) {
      const model = new nn.Sequential(
        new nn.Linear(d, 2 * d),
        new nn.ReLU(),
        new nn.Linear(2 * d, 2 * d),
        new nn.GELU(),
        new nn.Linear(2 * d, 12),
      );
      const optimizer = new optim.AdamW(model.parameters());
      const x = torch.ones([batch, d]);
      const ledger = new MemoryLedger().track(model).track(optimizer).track(x, 'Inputs').start();
      let after: Record<string, number> = {};
      for (let step = 0; step < 2; step++) {
        (model.call(x) as Tensor).sum().backward();
        after = ledger.categories;
        optimizer.step();
        optimizer.zeroGrad();
        if (step === 0) ledger.resetPeak();
      }
      ledger.stop();
      const inputs = batch * d * 4;
      expect(after).toEqual({ Parameter: param, Gradient: grad, Optstate: opt, Inputs: inputs });
      // PyTorch does not see x, which was there before, and sees the output and the loss in their variables.
      const variables = batch * 12 * 4 + 8;
      expect(ledger.peak.bytes).toBe(peak - variables + inputs);
    }
  });

  it('sees meta tensors as memory that would be there', () => {
    const ledger = new MemoryLedger().start();
    ledger.track(torch.empty([1024, 1024, 1024], { device: 'meta' }), 'Parameter');
    expect(ledger.total).toBe(4 * 1024 ** 3);
    ledger.stop();
  });
});
