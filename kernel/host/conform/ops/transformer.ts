/** The corpus's own transformer, built from public modules: pre-norm, causal, GELU(tanh), no dropout. */
import { F, nn, type Tensor, torch } from '../../../runtime/index.js';

type Named = Readonly<Record<string, number>>;
type ModuleClass = new (named: Named, positional: readonly number[]) => nn.Module;

function take(names: readonly string[], named: Named, positional: readonly number[]): number[] {
  return names.map((name, i) => {
    const value = positional[i] ?? named[name];
    if (value === undefined) throw new Error(`"${name}" is missing`);
    return Number(value);
  });
}

/** x + attn(ln1(x)), then x + mlp(ln2(x)). */
class Block extends nn.Module {
  ln1: nn.LayerNorm;
  ln2: nn.LayerNorm;
  wq: nn.Linear;
  wk: nn.Linear;
  wv: nn.Linear;
  wo: nn.Linear;
  up: nn.Linear;
  down: nn.Linear;
  readonly heads: number;

  constructor(named: Named, positional: readonly number[] = []) {
    super();
    const [dim, heads, hidden] = take(['dim', 'heads', 'hidden'], named, positional) as [
      number,
      number,
      number,
    ];
    this.ln1 = new nn.LayerNorm(dim);
    this.ln2 = new nn.LayerNorm(dim);
    this.wq = new nn.Linear(dim, dim, { bias: false });
    this.wk = new nn.Linear(dim, dim, { bias: false });
    this.wv = new nn.Linear(dim, dim, { bias: false });
    this.wo = new nn.Linear(dim, dim, { bias: false });
    this.up = new nn.Linear(dim, hidden);
    this.down = new nn.Linear(hidden, dim);
    this.heads = heads;
  }

  forward(x: Tensor): Tensor {
    const [b, s, d] = x.shape as [number, number, number];
    const h = this.ln1(x);
    // -1 heads: under tensor parallelism the local projection holds a share of the heads.
    const split = (w: nn.Linear): Tensor =>
      w(h)
        .view([b, s, -1, d / this.heads])
        .transpose(1, 2);
    const a = F.scaledDotProductAttention(split(this.wq), split(this.wk), split(this.wv), { isCausal: true });
    const y = x.add(this.wo(a.transpose(1, 2).reshape([b, s, -1])));
    return y.add(this.down(F.gelu(this.up(this.ln2(y)), { approximate: 'tanh' })));
  }
}

/** Token and position embeddings, blocks, a final LayerNorm, an untied head without bias. */
class TinyTransformer extends nn.Module {
  tok: nn.Embedding;
  pos: nn.Embedding;
  blocks: nn.ModuleList<Block>;
  ln: nn.LayerNorm;
  head: nn.Linear;

  constructor(named: Named, positional: readonly number[] = []) {
    super();
    const names = ['vocab', 'dim', 'heads', 'layers', 'hidden', 'max_len'];
    const [vocab, dim, heads, layers, hidden, maxLen] = take(names, named, positional) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    this.tok = new nn.Embedding(vocab, dim);
    this.pos = new nn.Embedding(maxLen, dim);
    this.blocks = new nn.ModuleList(Array.from({ length: layers }, () => new Block({ dim, heads, hidden })));
    this.ln = new nn.LayerNorm(dim);
    this.head = new nn.Linear(dim, vocab, { bias: false });
  }

  forward(ids: Tensor): Tensor {
    let x = this.tok(ids).add(this.pos(torch.arange(ids.shape[1]!)));
    for (const block of this.blocks) x = block(x);
    return this.head(this.ln(x));
  }
}

export function transformerClasses(): Record<'Block' | 'TinyTransformer', ModuleClass> {
  return { Block, TinyTransformer };
}
