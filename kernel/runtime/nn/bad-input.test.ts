/** Mistakes a user makes: every one is a coded error that names the operation and what it was given. */
import { beforeAll, describe, expect, it } from 'vitest';
import { referenceBackend } from '../backend/index.js';
import { ShardbookError } from '../base/index.js';
import * as optim from '../optim/index.js';
import { setBackend, slice, type Tensor, torch } from '../tensor/index.js';
import * as F from './functional/index.js';
import * as nn from './index.js';

beforeAll(() => setBackend(referenceBackend));

const ones = (...shape: number[]): Tensor => torch.ones(shape);
const ids = (...v: number[]): Tensor => torch.tensor(v);
const leaf = (): Tensor => torch.ones([2]).requiresGrad_();
/** What a caller without types may hand over. */
const wrong = (v: unknown): Tensor => v as Tensor;
const meta = (): Tensor => torch.ones([4, 2], { device: 'meta' });

type Mistake = [what: string, code: string, text: RegExp, make: () => unknown];

const shapes: Mistake[] = [
  [
    'matmul',
    'SB_OP_INPUT',
    /"matmul": f32\[3, 4\] and f32\[5, 6\]: inner sizes 4 and 5/,
    () => ones(3, 4).matmul(ones(5, 6)),
  ],
  [
    'mm',
    'SB_OP_INPUT',
    /"mm": f32\[3\] and f32\[3, 4\]: both must have 2/,
    () => torch.mm(ones(3), ones(3, 4)),
  ],
  ['bmm', 'SB_OP_INPUT', /batch sizes 2 and 3 differ/, () => torch.bmm(ones(2, 3, 4), ones(3, 4, 5))],
  [
    'add',
    'SB_BROADCAST',
    /"add": f32\[3, 4\] and f32\[2\]: sizes 4 and 2 at dimension 1/,
    () => ones(3, 4).add(ones(2)),
  ],
  [
    'view',
    'SB_SHAPE',
    /"view": f32\[3, 4\] to \[5, 2\]: 12 elements against 10/,
    () => ones(3, 4).view(5, 2),
  ],
  [
    'view of strides',
    'SB_VIEW',
    /"view": f32\[4, 3\]: to \[12\]: strides \[1, 4\]/,
    () => ones(3, 4).t().view(12),
  ],
  ['reshape', 'SB_SHAPE', /12 elements do not divide by 5/, () => ones(3, 4).reshape(5, -1)],
  ['expand', 'SB_BROADCAST', /"expand": f32\[2, 3\]: to \[4, 3\]/, () => ones(2, 3).expand(4, 3)],
  ['cat', 'SB_OP_INPUT', /"cat": f32\[2, 3\] and f32\[3, 4\]/, () => torch.cat([ones(2, 3), ones(3, 4)])],
  ['an empty cat', 'SB_OP_INPUT', /"cat": wanted a list of at least one tensor/, () => torch.cat([])],
  ['split', 'SB_OP_INPUT', /sizes \[2, 2\] do not add up to 5/, () => ones(5).split([2, 2])],
  ['set', 'SB_BROADCAST', /does not broadcast to \[2\]/, () => ones(5).set(slice(0, 2), ones(3))],
  ['triu', 'SB_OP_INPUT', /"triu": f32\[2\]: needs at least 2/, () => ones(2).triu()],
  ['tensor of ragged lists', 'SB_OP_INPUT', /lengths 2 and 1 at depth 1/, () => torch.tensor([[1, 2], [3]])],
  [
    'einsum',
    'SB_OP_INPUT',
    /index "j" has sizes 3 and 4/,
    () => torch.einsum('ij,jk->ik', ones(2, 3), ones(4, 5)),
  ],
  ['linear', 'SB_OP_INPUT', /"linear": f32\[2, 5\] and f32\[4, 3\]/, () => new nn.Linear(3, 4)(ones(2, 5))],
  ['layerNorm', 'SB_NN_SHAPE', /f32\[2, 3\]: the last dimensions/, () => new nn.LayerNorm(4)(ones(2, 3))],
  [
    'attention',
    'SB_NN_SHAPE',
    /queries are 3 wide and keys 4/,
    () => F.scaledDotProductAttention(ones(1, 2, 3), ones(1, 2, 4), ones(1, 2, 4)),
  ],
  ['crossEntropy', 'SB_NN_SHAPE', /f32\[2, 3\] and i64\[1\]/, () => F.crossEntropy(ones(2, 3), ids(0))],
];

const dtypes: Mistake[] = [
  ['matmul', 'SB_DTYPE', /dtypes float32 and float64 differ/, () => ones(3, 4).matmul(ones(4, 2).double())],
  [
    'softmax of integers',
    'SB_DTYPE',
    /"softmax": i64\[2\]: not defined for int64/,
    () => torch.softmax(ids(1, 2), 0),
  ],
  ['mean of integers', 'SB_DTYPE', /"mean": i64\[2\]/, () => ids(1, 2).mean()],
  [
    'float8 arithmetic',
    'SB_DTYPE',
    /no arithmetic in float8_e4m3fn/,
    () => ones(2).to(torch.float8_e4m3fn).add(1),
  ],
  [
    'a bool minus',
    'SB_DTYPE',
    /subtraction is not defined for bool/,
    () => torch.tensor([true]).sub(ones(1)),
  ],
  [
    'in-place into integers',
    'SB_OP_INPUT',
    /is float32 and cannot be written into int64/,
    () => ids(1, 2).add_(0.5),
  ],
  [
    'a float index',
    'SB_INDEX_DTYPE',
    /"gather": f32\[2, 3\] and f32\[1, 1\]/,
    () => ones(2, 3).gather(1, ones(1, 1)),
  ],
  [
    'a mask of numbers',
    'SB_DTYPE',
    /"maskedFill".*the mask is float32/,
    () => ones(2).maskedFill(ones(2), 1),
  ],
  [
    'a dtype by name',
    'SB_DTYPE',
    /"float32" is not a dtype/,
    () => torch.ones([2], { dtype: wrong('float32') as never }),
  ],
  [
    'integer division by zero',
    'SB_ZERO_DIVISION',
    /integer division by zero/,
    () => ids(1).div(ids(0), { roundingMode: 'floor' }),
  ],
  [
    'class indices of floats',
    'SB_NN_SHAPE',
    /float32, wanted int64/,
    () => F.crossEntropy(ones(2, 3), ones(2)),
  ],
];

const ranges: Mistake[] = [
  [
    'an index',
    'SB_INDEX_RANGE',
    /f32\[5\]: index 7 is out of range for dimension 0 with size 5/,
    () => ones(5).get(7),
  ],
  ['too many indices', 'SB_INDEX_RANGE', /2 indices for 1 dim/, () => ones(5).get(0, 1)],
  [
    'an index tensor',
    'SB_INDEX_RANGE',
    /index 9 is out of range for a dimension of 5/,
    () => ones(5).get(ids(9)),
  ],
  [
    'a mask',
    'SB_INDEX_RANGE',
    /size 2 where the tensor has 5/,
    () => ones(5).get(torch.tensor([true, false])),
  ],
  [
    'embedding',
    'SB_INDEX_RANGE',
    /"embedding": f32\[4, 2\] and i64\[1\]: index 4/,
    () => new nn.Embedding(4, 2)(ids(4)),
  ],
  [
    'a class',
    'SB_INDEX_RANGE',
    /target 5 is out of range for 3 classes/,
    () => F.crossEntropy(ones(2, 3), ids(0, 5)),
  ],
  [
    'a dimension',
    'SB_DIM_RANGE',
    /"sum": dimension 3 is out of range: expected -1 to 0/,
    () => ones(2).sum(3),
  ],
  [
    'a dimension twice',
    'SB_DIM_REPEATED',
    /\[0, 0\] name one dimension twice/,
    () => ones(2, 2).permute(0, 0),
  ],
  ['topk', 'SB_OP_INPUT', /k 5 is out of range: dimension 0 has 3/, () => ones(3).topk(5)],
  ['a reduction of nothing', 'SB_EMPTY', /"max": f32\[0\]/, () => ones(0).max()],
  ['a negative size', 'SB_OP_INPUT', /sizes \[-1\] must be whole numbers/, () => torch.zeros([-1])],
  ['an empty range', 'SB_OP_INPUT', /range from 5 to 5 is empty/, () => torch.randint(5, 5, [2])],
];

const devices: Mistake[] = [
  ['unknown', 'SB_DEVICE', /no device "cuda"/, () => torch.ones([2], { device: 'cuda' })],
  ['two of them', 'SB_DEVICE', /operands are on cpu and meta/, () => ones(3, 4).matmul(meta())],
  ['data of meta', 'SB_META', /a meta tensor has no data/, () => meta().tolist()],
];

const graph: Mistake[] = [
  [
    'a leaf in place',
    'SB_INPLACE',
    /"add_": f32\[2\].*a leaf that requires a gradient/,
    () => leaf().add_(1),
  ],
  ['a view of a leaf in place', 'SB_INPLACE', /a view of a leaf/, () => leaf().get(0).add_(1)],
  [
    'backward twice',
    'SB_GRAPH_FREED',
    /a second time/,
    () => {
      const y = leaf().square().sum();
      y.backward();
      y.backward();
    },
  ],
  ['backward of no scalar', 'SB_NOT_SCALAR', /the output is f32\[2\]/, () => leaf().mul(2).backward()],
  ['backward without history', 'SB_NO_GRAD', /f32\[\] does not require a gradient/, () => ones().backward()],
  [
    'a saved tensor written',
    'SB_VERSION',
    /gradient of "exp".*at version 1, expected version 0/,
    () => {
      const y = leaf().exp();
      y.add_(1);
      y.sum().backward();
    },
  ],
  ['a gradient of integers', 'SB_GRAD_DTYPE', /i64\[1\]/, () => ids(1).requiresGrad_()],
  [
    'a gradient of another shape',
    'SB_GRAD_MISMATCH',
    /f32\[3\] and the output f32\[2\]/,
    () => leaf().mul(2).backward(ones(3)),
  ],
  [
    'an unused input',
    'SB_UNUSED_INPUT',
    /input 0: the outputs do not depend on it/,
    () => torch.autograd.grad(leaf().sum(), [leaf()]),
  ],
  ['an expanded tensor in place', 'SB_OP_INPUT', /one place in memory/, () => ones(1).expand(3).add_(1)],
  [
    'checkpoint of no function',
    'SB_CHECKPOINT',
    /the body is a number/,
    () => torch.utils.checkpoint.checkpoint(wrong(5) as never),
  ],
];

const operands: Mistake[] = [
  ['undefined', 'SB_OPERAND', /undefined as an operand/, () => ones(2).add(wrong(undefined))],
  ['text', 'SB_OPERAND', /a string as an operand/, () => ones(2).mul(wrong('2'))],
  ['a number in cat', 'SB_OPERAND', /"cat": entry 1 is a number/, () => torch.cat([ones(2), wrong(3)])],
  [
    'a number for a module',
    'SB_OPERAND',
    /"linear": the input is a number/,
    () => new nn.Linear(3, 4)(wrong(5)),
  ],
  ['text as data', 'SB_OP_INPUT', /"tensor": the data hold a string/, () => torch.tensor(wrong('abc'))],
  [
    'text as dimension',
    'SB_DIM_RANGE',
    /"sum": dimensions are a number/,
    () => ones(2).sum(wrong('x') as never),
  ],
];

const options: Mistake[] = [
  [
    'roundingMode',
    'SB_OP_INPUT',
    /roundingMode is "up"/,
    () => ones(2).div(2, { roundingMode: wrong('up') as never }),
  ],
  [
    'reduction',
    'SB_NN_REDUCTION',
    /reduction is "avg"/,
    () => F.mseLoss(ones(2), ones(2), { reduction: wrong('avg') as never }),
  ],
  ['dropout', 'SB_NN_ARGUMENT', /1\.5, wanted 0 to 1/, () => F.dropout(ones(2), 1.5)],
  ['gelu', 'SB_NN_ARGUMENT', /"fast"/, () => F.gelu(ones(2), { approximate: wrong('fast') as never })],
  ['heads', 'SB_NN_ARGUMENT', /width 5 is not divisible by 2 heads/, () => new nn.MultiheadAttention(5, 2)],
  [
    'Sequential',
    'SB_NN_REGISTER',
    /given number, wanted a Module/,
    () => new nn.Sequential(wrong(3) as never),
  ],
  [
    'a state of another shape',
    'SB_NN_STATE_DICT',
    /Cannot load/,
    () => new nn.Linear(2, 2).loadStateDict({ weight: ones(3, 2), bias: ones(2) }),
  ],
  ['lr', 'SB_OPTIM_OPTION', /"lr" is -1/, () => new optim.SGD([leaf()], { lr: -1 })],
  [
    'a misspelt option',
    'SB_OPTIM_ARGUMENT',
    /no option "momentun"/,
    () => new optim.SGD([leaf()], { lr: 1, momentun: 0.9 } as never),
  ],
  ['no parameters', 'SB_OPTIM_PARAMS', /list of parameters is empty/, () => new optim.SGD([], { lr: 1 })],
  [
    'a parameter that is no leaf',
    'SB_OPTIM_PARAMS',
    /only leaves can be optimized/,
    () => new optim.SGD([leaf().mul(2)], { lr: 1 }),
  ],
  [
    'targets of binaryCrossEntropy',
    'SB_NN',
    /a target is not in 0 to 1/,
    () => F.binaryCrossEntropy(ones(2).div(2), ones(2).mul(2)),
  ],
];

describe.each([
  ['shapes', shapes],
  ['dtypes', dtypes],
  ['ranges', ranges],
  ['devices', devices],
  ['the graph', graph],
  ['operands', operands],
  ['options', options],
] as const)('Wrong %s', (_, mistakes) => {
  it.each(mistakes)('%s: %s', (_what, code, text, make) => {
    let caught: unknown;
    try {
      make();
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(ShardbookError);
    const { code: got, message } = caught as ShardbookError;
    expect(message).toMatch(/^Cannot /);
    expect(message).toMatch(text);
    expect(got.startsWith(code)).toBe(true);
  });
});
