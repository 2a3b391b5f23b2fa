import { describe, expect, it } from 'vitest';
import { referenceBackend } from '../backend/index.js';
import { ShardbookError } from '../base/index.js';
import { setBackend, Tensor, torch } from '../tensor/index.js';
import * as nn from './index.js';

setBackend(referenceBackend);

class Net extends nn.Module {
  #offset = 1;
  fc = new nn.Linear(2, 3);
  scale = new nn.Parameter(torch.ones([3]));
  override name = 'net';
  head = new nn.Linear(3, 1, { bias: false });

  forward(x: Tensor, options: { twice?: boolean } = {}): Tensor {
    const y = this.head(this.fc(x).mul(this.scale)).add(this.#offset);
    return options.twice ? y.mul(2) : y;
  }
}

class Any extends nn.Module {
  forward(x: Tensor, _options: Record<string, unknown> = {}): Tensor {
    return x;
  }
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof ShardbookError) return error.code;
    throw error;
  }
  return 'no error';
}

describe('Module registration', () => {
  it('registers class fields in PyTorch order: own parameters first, then children', () => {
    const net = new Net();
    expect(net.namedParameters().map(([n]) => n)).toEqual(['scale', 'fc.weight', 'fc.bias', 'head.weight']);
    expect(net.namedModules().map(([n]) => n)).toEqual(['', 'fc', 'head']);
    expect(Object.keys(net.stateDict())).toEqual(['scale', 'fc.weight', 'fc.bias', 'head.weight']);
  });

  it('keeps the place of a member that is assigned again and forgets deleted ones', () => {
    const net = new Net();
    net.fc = new nn.Linear(2, 3, { bias: false });
    expect(net.namedParameters().map(([n]) => n)).toEqual(['scale', 'fc.weight', 'head.weight']);
    Reflect.deleteProperty(net, 'head');
    expect(net.children()).toEqual([net.fc]);
  });

  it('keeps fields called name, length and #private fields of a subclass', () => {
    const net = new Net();
    expect(net.name).toBe('net');
    expect(net(torch.zeros([1, 2])).shape).toEqual([1, 1]);
  });

  it('counts a shared parameter once in parameters and under every name in the state dictionary', () => {
    const model = new nn.Sequential(new nn.Embedding(5, 3), new nn.Linear(3, 5, { bias: false }));
    (model.at(1) as nn.Linear).weight = (model.at(0) as nn.Embedding).weight;
    expect(model.namedParameters().map(([n]) => n)).toEqual(['0.weight']);
    expect(Object.keys(model.stateDict())).toEqual(['0.weight', '1.weight']);
  });

  it('refuses a plain tensor in place of a parameter and says what to write', () => {
    const fc = new nn.Linear(2, 2);
    expect(codeOf(() => Reflect.set(fc, 'weight', torch.ones([2, 2])))).toBe('SB_NN_ASSIGN');
    class Marked extends Tensor {}
    const { storage, shape, dtype } = torch.ones([2, 2]);
    expect(() => Reflect.set(fc, 'weight', new Marked({ storage, shape, dtype }))).toThrow(
      /given a Marked that is no Parameter, wanted a Parameter or null/,
    );
    expect(fc.getParameter('weight')).toBe(fc.weight);
    Reflect.set(fc, 'bias', null);
    expect(fc.namedParameters().map(([n]) => n)).toEqual(['weight']);
  });

  it('replaces a buffer by a plain tensor and leaves other plain tensors alone', () => {
    const bn = new nn.BatchNorm1d(2);
    bn.running_mean = torch.ones([2]);
    Reflect.set(bn, 'note', torch.ones([1]));
    expect(bn.namedBuffers().map(([n]) => n)).toEqual(['running_mean', 'running_var', 'num_batches_tracked']);
    expect(bn.getBuffer('running_mean').tolist()).toEqual([1, 1]);
  });

  it('suggests the nearest name for an unknown path', () => {
    expect(() => new Net().getParameter('fc.wieght')).toThrow(/did you mean "weight"/);
    expect(codeOf(() => new Net().getSubmodule('nothing'))).toBe('SB_NN_PATH');
  });
});

describe('Module calls', () => {
  it('is a function: model(x) and model.call(x) run forward', () => {
    const net = new Net();
    const x = torch.ones([2, 2]);
    expect(torch.equal(net(x), net.call(x))).toBe(true);
    expect(torch.equal(net(x, { twice: true }), net.forward(x).mul(2))).toBe(true);
    expect(net instanceof nn.Module).toBe(true);
  });

  it('runs hooks in order: prepended first, global before own, with keyword arguments when asked', () => {
    const net = new Any();
    const log: unknown[] = [];
    net.registerForwardPreHook(() => void log.push('pre'));
    net.registerForwardPreHook(() => void log.push('pre first'), { prepend: true });
    net.registerForwardPreHook((_m, _args, kwargs) => void log.push(kwargs), { withKwargs: true });
    net.registerForwardHook(() => void log.push('post'));
    const handle = nn.registerModuleForwardPreHook(() => void log.push('global'));
    net(torch.ones([1]), { a: 1 });
    handle.remove();
    net(torch.ones([1]));
    expect(log).toEqual(['global', 'pre first', 'pre', { a: 1 }, 'post', 'pre first', 'pre', {}, 'post']);
  });

  it('uses what forward hooks return and runs alwaysCall hooks when forward throws', () => {
    const net = new nn.Identity();
    net.registerForwardPreHook((_m, args) => (args[0] as Tensor).mul(3));
    net.registerForwardHook((_m, _args, out) => (out as Tensor).add(1));
    expect(net(torch.ones([1])).tolist()).toEqual([4]);
    class Fails extends nn.Module {
      forward(): Tensor {
        throw new Error('inside');
      }
    }
    const fails = new Fails();
    let called = 0;
    fails.registerForwardHook(() => void called++, { alwaysCall: true });
    expect(() => fails()).toThrow('inside');
    expect(called).toBe(1);
  });

  it('shows full backward hooks the gradients of inputs and outputs and lets them replace them', () => {
    const fc = new nn.Linear(2, 1, { bias: false });
    torch.noGrad(() => fc.weight.fill_(3));
    const seen: unknown[] = [];
    fc.registerFullBackwardPreHook((_m, gradOut) => gradOut.map((g) => g?.mul(10) ?? null));
    fc.registerFullBackwardHook((_m, gradIn, gradOut) => {
      seen.push(gradIn[0]?.tolist(), gradOut[0]?.tolist());
      return gradIn.map((g) => g?.mul(2) ?? null);
    });
    const x = torch.ones([1, 2]).requiresGrad_(true);
    fc(x).sum().backward();
    expect(seen).toEqual([[[30, 30]], [[10]]]);
    expect(x.grad?.tolist()).toEqual([[60, 60]]);
    expect(fc.weight.grad?.tolist()).toEqual([[10, 10]]);
  });

  it('calls full backward hooks with null input gradients when no input requires one', () => {
    const fc = new nn.Linear(2, 1);
    const seen: unknown[] = [];
    fc.registerFullBackwardHook((_m, gradIn) => void seen.push(gradIn));
    fc(torch.ones([1, 2]))
      .sum()
      .backward();
    expect(seen).toEqual([[null]]);
  });
});

describe('Module state dictionary', () => {
  it('reports every missing, unexpected and misshapen entry in one error', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 1));
    const bad = { '0.weight': torch.ones([2, 3]), '0.bias': torch.ones([2]), 'x.y': torch.ones([1]) };
    let message = '';
    try {
      model.loadStateDict(bad);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain('size mismatch for "0.weight": given [2, 3], the module has [2, 2]');
    expect(message).toContain('missing keys: "1.weight", "1.bias"');
    expect(message).toContain('unexpected keys: "x.y"');
    expect(codeOf(() => model.loadStateDict({ '0.weight': torch.ones([2, 3]) }, { strict: false }))).toBe(
      'SB_NN_STATE_DICT',
    );
  });

  it('copies into the same parameters, or takes the tensors themselves with assign', () => {
    const fc = new nn.Linear(1, 1);
    const { weight } = fc;
    const given = { weight: torch.tensor([[5]]), bias: torch.tensor([6]) };
    fc.loadStateDict({ weight: torch.tensor([[5]]).to(torch.float64), bias: torch.tensor([6]) });
    expect(fc.weight).toBe(weight);
    expect(weight.dtype).toBe(torch.float32);
    expect(weight.tolist()).toEqual([[5]]);
    const f64 = { weight: given.weight.to(torch.float64), bias: given.bias.to(torch.float64) };
    fc.loadStateDict(f64, { assign: true });
    expect(fc.weight).not.toBe(weight);
    expect(fc.weight.dtype).toBe(torch.float64);
    expect(fc.weight.requiresGrad).toBe(true);
  });

  it('carries extra state and runs the hooks around saving and loading', () => {
    class WithExtra extends nn.Module {
      count = 0;
      override getExtraState(): unknown {
        return { count: this.count };
      }
      override setExtraState(state: unknown): void {
        this.count = (state as { count: number }).count;
      }
      forward(): number {
        return this.count;
      }
    }
    const from = new WithExtra();
    from.count = 7;
    const to = new WithExtra();
    const log: string[] = [];
    from.registerStateDictPreHook(() => void log.push('save'));
    from.registerStateDictPostHook(() => void log.push('saved'));
    to.registerLoadStateDictPreHook(() => void log.push('load'));
    to.registerLoadStateDictPostHook(() => void log.push('loaded'));
    to.loadStateDict(from.stateDict());
    expect(to()).toBe(7);
    expect(log).toEqual(['save', 'saved', 'load', 'loaded']);
  });

  it('leaves buffers out that are not persistent', () => {
    const model = new nn.Identity();
    model.registerBuffer('kept', torch.ones([1]));
    model.registerBuffer('dropped', torch.ones([1]), { persistent: false });
    expect(Object.keys(model.stateDict())).toEqual(['kept']);
    expect(model.namedBuffers().map(([n]) => n)).toEqual(['kept', 'dropped']);
  });
});

describe('Module conversions', () => {
  it('keeps parameter objects when the dtype changes and refuses integer dtypes', () => {
    const fc = new nn.Linear(2, 1);
    const { weight } = fc;
    fc.to(torch.bfloat16);
    expect(fc.weight).toBe(weight);
    expect(weight.dtype).toBe(torch.bfloat16);
    expect(codeOf(() => fc.to(torch.int64))).toBe('SB_NN_DTYPE');
  });

  it('leaves the meta device only through toEmpty', () => {
    const fc = new nn.Linear(2, 1, { device: 'meta' });
    expect(fc.weight.isMeta).toBe(true);
    expect(codeOf(() => fc.to('cpu'))).toBe('SB_NN_META');
    fc.toEmpty({ device: 'cpu' });
    expect(fc.weight.isMeta).toBe(false);
    expect(fc.namedParameters().map(([n]) => n)).toEqual(['weight', 'bias']);
  });

  it('deepcopy shares nothing, keeps ties and starts without gradients', () => {
    const model = new nn.Sequential(new nn.Embedding(5, 3), new nn.Linear(3, 5, { bias: false }));
    (model.at(1) as nn.Linear).weight = (model.at(0) as nn.Embedding).weight;
    model(torch.tensor([1]))
      .sum()
      .backward();
    const copy = nn.deepcopy(model);
    expect(copy.parameters()).toHaveLength(1);
    const [original] = model.parameters();
    const [copied] = copy.parameters();
    torch.noGrad(() => original!.zero_());
    expect(copied!.abs().sum().item()).toBeGreaterThan(0);
    expect(copied!.grad).toBeNull();
    expect(copy(torch.tensor([1])).shape).toEqual([1, 5]);
  });

  it('sets training mode and requiresGrad on every descendant', () => {
    const model = new nn.Sequential(new nn.Linear(1, 1), new nn.Sequential(new nn.Dropout(0.5)));
    model.eval();
    expect(model.modules().map((m) => m.training)).toEqual([false, false, false, false]);
    model.requiresGrad_(false);
    expect(model.parameters().some((p) => p.requiresGrad)).toBe(false);
  });

  it('functionalCall swaps tensors for one call', () => {
    const fc = new nn.Linear(2, 1, { bias: false });
    const { weight } = fc;
    const out = nn.functionalCall(fc, { weight: torch.ones([1, 2]) }, [torch.ones([1, 2])]) as Tensor;
    expect(out.tolist()).toEqual([[2]]);
    expect(fc.weight).toBe(weight);
    expect(codeOf(() => nn.functionalCall(fc, { wight: torch.ones([1, 2]) }))).toBe('SB_NN_PATH');
  });
});

describe('Module printing', () => {
  it('prints as PyTorch does', () => {
    const model = new nn.Sequential(
      new nn.Linear(2, 3),
      new nn.ReLU(),
      new nn.ModuleList([new nn.LayerNorm(3), new nn.LayerNorm(3)]),
    );
    expect(String(model)).toBe(
      [
        'Sequential(',
        '  (0): Linear(in_features=2, out_features=3, bias=True)',
        '  (1): ReLU()',
        '  (2): ModuleList(',
        '    (0-1): 2 x LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=True)',
        '  )',
        ')',
      ].join('\n'),
    );
  });
});
