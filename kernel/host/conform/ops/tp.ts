/** Tensor parallelism: the operations of the recorder's spmd_ops and ops_tp, with the modules that they name. */
import { F, nn, type Tensor } from '../../../runtime/index.js';
import { apply, callIn, camelCase, construct, member, method, type TensorLike } from '../access.js';
import { isPlainObject, placementIn, placementOut } from '../values.js';
import { fill, fullTensor, noGrad, toNumber } from './core.js';
import { buildModule, clipGradNorm, crossEntropy, namedParameters } from './modules.js';
import { op } from './registry.js';

type Spec = Readonly<Record<string, unknown>>;

// ---------------------------------------------------------------- modules
/** down(act(up(x))). */
class MLP extends nn.Module {
  up: nn.Linear;
  down: nn.Linear;
  constructor(
    dim: number,
    hidden: number,
    bias: boolean,
    readonly act: string,
  ) {
    super();
    this.up = new nn.Linear(dim, hidden, { bias });
    this.down = new nn.Linear(hidden, dim, { bias });
  }
  forward(x: Tensor): Tensor {
    const h = this.up(x);
    return this.down(this.act === 'gelu' ? F.gelu(h) : F.relu(h));
  }
}

/** down(silu(gate(x)) * up(x)). */
class SwiGLU extends nn.Module {
  gate: nn.Linear;
  up: nn.Linear;
  down: nn.Linear;
  constructor(dim: number, hidden: number) {
    super();
    this.gate = new nn.Linear(dim, hidden, { bias: false });
    this.up = new nn.Linear(dim, hidden, { bias: false });
    this.down = new nn.Linear(hidden, dim, { bias: false });
  }
  forward(x: Tensor): Tensor {
    return this.down(F.silu(this.gate(x)).mul(this.up(x)));
  }
}

/** Causal self-attention over as many heads as the projections' outputs hold here. */
class Attention extends nn.Module {
  wq: nn.Linear;
  wk: nn.Linear;
  wv: nn.Linear;
  wo: nn.Linear;
  readonly headDim: number;
  constructor(dim: number, heads: number) {
    super();
    this.wq = new nn.Linear(dim, dim);
    this.wk = new nn.Linear(dim, dim);
    this.wv = new nn.Linear(dim, dim);
    this.wo = new nn.Linear(dim, dim);
    this.headDim = Math.floor(dim / heads);
  }
  forward(x: Tensor): Tensor {
    const [q, k, v] = [this.wq(x), this.wk(x), this.wv(x)];
    const [b, s] = q.shape as [number, number];
    const heads = (t: Tensor): Tensor => t.view([b, s, -1, this.headDim]).transpose(1, 2);
    const a = F.scaledDotProductAttention(heads(q), heads(k), heads(v), { isCausal: true });
    return this.wo(a.transpose(1, 2).reshape([b, s, -1]));
  }
}

/** h = x + attn(norm1(x)); h + mlp(norm2(h)). */
class TPBlock extends nn.Module {
  norm1: nn.LayerNorm;
  norm2: nn.LayerNorm;
  attn: Attention;
  mlp: MLP;
  constructor(dim: number, heads: number, hidden: number) {
    super();
    this.norm1 = new nn.LayerNorm(dim);
    this.norm2 = new nn.LayerNorm(dim);
    this.attn = new Attention(dim, heads);
    this.mlp = new MLP(dim, hidden, true, 'gelu');
  }
  forward(x: Tensor): Tensor {
    const h = x.add(this.attn(this.norm1(x)));
    return h.add(this.mlp(this.norm2(h)));
  }
}

/** Embedding, blocks, norm, head without bias: ids [b, s] -> logits. */
class LM extends nn.Module {
  tok: nn.Embedding;
  blocks: nn.ModuleList<TPBlock>;
  norm: nn.LayerNorm;
  head: nn.Linear;
  constructor(vocab: number, dim: number, heads: number, layers: number, hidden: number) {
    super();
    this.tok = new nn.Embedding(vocab, dim);
    this.blocks = new nn.ModuleList(Array.from({ length: layers }, () => new TPBlock(dim, heads, hidden)));
    this.norm = new nn.LayerNorm(dim);
    this.head = new nn.Linear(dim, vocab, { bias: false });
  }
  forward(ids: Tensor): Tensor {
    let x = this.tok(ids);
    for (const block of this.blocks) x = block(x);
    return this.head(this.norm(x));
  }
}

/** (lin(a) + b, a * scale). */
class Mix extends nn.Module {
  lin: nn.Linear;
  constructor(dim: number) {
    super();
    this.lin = new nn.Linear(dim, dim);
  }
  forward(a: Tensor, b: Tensor, { scale = 2 }: { scale?: Tensor | number } = {}): Tensor[] {
    return [this.lin(a).add(b), a.mul(scale)];
  }
}

/** Arguments by name or in this order, and what makes the module of them. */
const KINDS: Readonly<Record<string, [params: string, make: (...values: never[]) => nn.Module]>> = {
  MLP: [
    'dim hidden bias act',
    (dim: number, hidden: number, bias = true, act = 'gelu') => new MLP(dim, hidden, bias, act),
  ],
  SwiGLU: ['dim hidden', (dim: number, hidden: number) => new SwiGLU(dim, hidden)],
  Attention: ['dim heads', (dim: number, heads: number) => new Attention(dim, heads)],
  TPBlock: [
    'dim heads hidden',
    (dim: number, heads: number, hidden: number) => new TPBlock(dim, heads, hidden),
  ],
  LM: [
    'vocab dim heads layers hidden',
    (vocab: number, dim: number, heads: number, layers: number, hidden: number) =>
      new LM(vocab, dim, heads, layers, hidden),
  ],
  Mix: ['dim', (dim: number) => new Mix(dim)],
};

function moduleOf(spec: Spec): unknown {
  const [entry] = Object.entries(spec);
  if (entry === undefined) throw new Error('the module spec is empty');
  const [kind, given] = entry;
  const known = KINDS[kind];
  if (known === undefined) return buildModule(spec);
  const [params, make] = known;
  const named = given as Readonly<Record<string, unknown>>;
  return make(...(params.split(' ').map((name) => named[name]) as never[]));
}

op('tp.module', 'spec seed scale', (a) => {
  const module = moduleOf(a.get('spec'));
  noGrad(() => {
    namedParameters(module).forEach(([, parameter], i) => {
      method(parameter, 'copy_', fill(parameter.shape, a.number('seed', 0) + i, a.number('scale', 0.5)));
    });
  });
  return module;
});

// ---------------------------------------------------------------- plans
const STYLES: Readonly<Record<string, string>> = {
  Colwise: 'ColwiseParallel',
  Rowwise: 'RowwiseParallel',
  Sequence: 'SequenceParallel',
  PrepareInput: 'PrepareModuleInput',
  PrepareOutput: 'PrepareModuleOutput',
  PrepareInputOutput: 'PrepareModuleInputOutput',
};

const one = (text: unknown): unknown => (typeof text === 'string' ? placementIn(text) : text);

function layoutsIn(key: string, value: unknown): unknown {
  if (key.endsWith('kwarg_layouts') && isPlainObject(value))
    return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, one(text)]));
  if (!key.endsWith('layouts')) return value;
  return Array.isArray(value) ? value.map(one) : one(value);
}

function styleIn(style: unknown): unknown {
  const [kind, options] =
    typeof style === 'string' ? [style, {}] : (Object.entries(style as Spec)[0] as [string, Spec]);
  const name = STYLES[kind];
  if (name === undefined) throw new Error(`"${kind}" is no style`);
  const given = Object.entries(options).map(([key, value]) => [camelCase(key), layoutsIn(key, value)]);
  return construct('dist', name, Object.fromEntries(given));
}

function planIn(plan: unknown): unknown {
  if (typeof plan === 'string') return styleIn(plan);
  const entries = Object.entries(plan as Spec);
  if (entries.length === 1 && entries[0]![0] in STYLES) return styleIn(plan);
  return Object.fromEntries(entries.map(([path, style]) => [path, styleIn(style)]));
}

op('tp.parallelize', 'mod mesh plan', (a) =>
  callIn(
    'dist',
    'parallelizeModule',
    a.get('mod'),
    a.get('mesh'),
    Object.fromEntries(Object.entries(a.get<Spec>('plan')).map(([path, style]) => [path, styleIn(style)])),
  ),
);
op('tp.apply', 'mod mesh plan src_data_rank', (a) =>
  callIn('dist', 'parallelizeModule', a.get('mod'), a.get('mesh'), planIn(a.get('plan')), {
    srcDataRank: a.get<number | null>('src_data_rank', 0),
  }),
);

// ---------------------------------------------------------------- what programs ask
const placementsOut = (tensor: unknown): string[] | null =>
  (member(tensor, 'placements') as unknown[] | undefined)?.map(placementOut) ?? null;

op('tp.params', 'mod', (a) =>
  Object.fromEntries(
    namedParameters(a.get('mod')).map(([name, p]) => {
      const placements = placementsOut(p);
      const local = placements === null ? p : (method(p, 'toLocal') as TensorLike);
      return [name, { shape: [...p.shape], local: [...local.shape], placements }];
    }),
  ),
);
op('tp.grad_placements', 'mod', (a) =>
  Object.fromEntries(
    namedParameters(a.get('mod')).map(([name, p]) => [name, p.grad === null ? null : placementsOut(p.grad)]),
  ),
);

const scalar = (t: TensorLike): number => toNumber(method(fullTensor(t), 'detach'));

op('tp.train', 'mod optimizer ids targets clip', (a) => {
  const [module, optimizer] = [a.get<unknown>('mod'), a.get<unknown>('optimizer')];
  const targets = a.get<TensorLike[]>('targets');
  const clip = a.get<number | null>('clip', null);
  return a.get<TensorLike[]>('ids').map((ids, i) => {
    const loss = crossEntropy(apply(module, ids) as TensorLike, targets[i]!);
    method(loss, 'backward');
    const norm = clip ? scalar(clipGradNorm(module, clip)) : null;
    method(optimizer, 'step');
    method(optimizer, 'zeroGrad');
    return [scalar(loss), norm];
  });
});

op('tp.loss_parallel', 'mod ids targets', (a) =>
  callIn('dist', 'lossParallel', () => {
    const logits = method(apply(a.get('mod'), a.get('ids')), 'flatten', 0, 1) as TensorLike;
    const loss = callIn('F', 'crossEntropy', logits, method(a.get('targets'), 'flatten', 0, 1)) as TensorLike;
    method(loss, 'backward');
    return method(fullTensor(loss), 'detach');
  }),
);
